"""Networks that turn images into features to compare images by; they neither generate nor restore.

SqueezeNet11: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
section 3 and table 1 (arXiv 1602.07360), in version 1.1 with torchvision's names of parameters.
Images B C H W of any size, values 0 to 1 -> features B 512.

SmallClassifier: a plain convolutional classifier for small labelled images, as the classification accuracy score needs
(Ravuri and Vinyals 2019, section 3, arXiv 1905.10887, where it is a ResNet-50).
Images B C H W, of 28x28 to 64x64, values 0 to 1 -> logits B classes; its `features` are B 128.

Deviations: SqueezeNet without its classifier, whose place a global average takes; images are resized to 224x224 (bilinear,
antialiased) and normalised inside, so that a number never depends on what the caller did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["SmallClassifier", "SqueezeNet11"]

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SqueezeNet11(nn.Module):
    """The features of SqueezeNet 1.1. Grey images (`in_channels` of 1) are seen as three equal channels."""

    # How many modules of `features` lead to each layer.
    layers: ClassVar[dict[str, int]] = {
        "relu1": 2, "fire2": 4, "fire3": 5, "fire4": 7, "fire5": 8, "fire6": 10, "fire7": 11, "fire8": 12, "fire9": 13,
    }  # fmt: skip

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            _Fire(64, 16, 64),
            _Fire(128, 16, 64),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            _Fire(128, 32, 128),
            _Fire(256, 32, 128),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            _Fire(256, 48, 192),
            _Fire(384, 48, 192),
            _Fire(384, 64, 256),
            _Fire(512, 64, 256),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images -> features B 512."""
        x = F.interpolate(images, size=(224, 224), mode="bilinear", align_corners=False, antialias=True)
        return cast(torch.Tensor, self.features(as_imagenet(x))).mean((2, 3))


class FeatureLayers(nn.Module):
    """What the layers `names` of a network make of images, to compare images by: frozen, in evaluation mode.

    `stages` are the network's parts by name, each fed with the one before; those after the last of `names` are dropped.
    Images B C H W, values 0 to 1 -> a list of features B c h w, in the order of `stages`. With `imagenet`, images are
    normalised as ImageNet's classifiers want them; either way grey ones are seen as three equal channels.
    """

    def __init__(self, stages: Mapping[str, nn.Module], names: Iterable[str], imagenet: bool) -> None:
        super().__init__()
        wanted = set(names)
        last = max(index for index, name in enumerate(stages) if name in wanted)
        self.names = [name for name in stages if name in wanted]
        self.imagenet = imagenet
        self.stages = nn.ModuleDict(dict(list(stages.items())[: last + 1]))
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Images -> features, in the order of `names`."""
        x = as_imagenet(images) if self.imagenet else images.expand(-1, 3, -1, -1)
        found = []
        for name, stage in self.stages.items():
            x = stage(x)
            if name in self.names:
                found.append(x)
        return found


def cut(features: nn.Sequential, ends: Mapping[str, int]) -> dict[str, nn.Module]:
    """`features` as one stage for each layer, which ends after so many modules."""
    return {name: features[begin:end] for name, (begin, end) in zip(ends, pairwise((0, *ends.values())), strict=True)}


def as_imagenet(images: torch.Tensor) -> torch.Tensor:
    """B C H W, 0 to 1, C of 1 or 3 -> B 3 H W with ImageNet's mean of 0 and deviation of 1 in each channel."""
    x = images.expand(-1, 3, -1, -1)
    return (x - x.new_tensor(_MEAN).view(3, 1, 1)) / x.new_tensor(_DEVIATION).view(3, 1, 1)


class SmallClassifier(nn.Module):
    """Four 3x3 convolutions with batch norm, halved by their largest values after every second, and two dense layers.

    Convolutions of stride 2 in their place learn less from images, most of all from generated ones (docs/log.md).
    """

    def __init__(self, in_channels: int = 1, channels: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.in_channels = in_channels
        layers: list[nn.Module] = []
        for before, width in ((in_channels, channels), (channels, 2 * channels)):
            for entering in (before, width):
                layers += [nn.Conv2d(entering, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
                layers += [nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(2)]
        # Whatever the size of the images, 7x7 places remain, which is all that 28x28 pixels have here.
        layers += [nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(98 * channels, 128), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(128, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images -> logits B classes."""
        return self.head(self.features(images))


class _Fire(nn.Module):
    """Squeeze to few channels, then expand by 1x1 and 3x3 convolutions side by side (section 3.2)."""

    def __init__(self, before: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)
