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

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["SmallClassifier", "SqueezeNet11"]

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SqueezeNet11(nn.Module):
    """The features of SqueezeNet 1.1. Grey images (`in_channels` of 1) are seen as three equal channels."""

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
        x = x.expand(-1, 3, -1, -1)
        x = (x - x.new_tensor(_MEAN).view(3, 1, 1)) / x.new_tensor(_DEVIATION).view(3, 1, 1)
        return cast(torch.Tensor, self.features(x)).mean((2, 3))


class SmallClassifier(nn.Module):
    """Three 3x3 convolutions with batch norm, the first two of stride 2, and two dense layers."""

    def __init__(self, in_channels: int = 1, channels: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.in_channels = in_channels
        layers: list[nn.Module] = []
        for before, after, stride in (
            (in_channels, channels, 2),
            (channels, 2 * channels, 2),
            (2 * channels, 2 * channels, 1),
        ):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
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
