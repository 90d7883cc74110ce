"""VGG19: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1,
column E (arXiv 1409.1556), with torchvision's names of parameters. SRGAN's perceptual loss is made of its features.

Images B C H W of any size, values 0 to 1 -> features B 512.

Deviations: without its classifier, whose place a global average takes; images are resized to 224x224 (bilinear,
antialiased) and normalised inside, as in `features.SqueezeNet11`.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.models.features import as_imagenet

__all__ = ["VGG19"]

# Convolutions in each stage; their width doubles from stage to stage up to eight times the first.
_DEPTHS, _WIDTHS = (2, 2, 4, 4, 4), (1, 2, 4, 8, 8)


def _layers() -> dict[str, int]:
    """How many modules of `features` lead to each layer; a pooling is the end of its stage."""
    ends: dict[str, int] = {}
    for stage, depth in enumerate(_DEPTHS, 1):
        for index in range(1, depth + 1):
            ends[f"conv{stage}_{index}"] = len(ends) + 1
            ends[f"relu{stage}_{index}"] = len(ends) + 1
        ends[f"pool{stage}"] = len(ends) + 1
    return ends


class VGG19(nn.Module):
    """The features of VGG19: 3x3 convolutions with ReLU in five stages, each ended by a pooling.

    `layers` are named as in the literature: SRGAN's VGG54 is "relu5_4", and "conv5_4" is the same before its ReLU.
    """

    layers: ClassVar[dict[str, int]] = _layers()

    def __init__(self, channels: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        modules: list[nn.Module] = []
        before = 3
        for depth, factor in zip(_DEPTHS, _WIDTHS, strict=True):
            for _ in range(depth):
                convolution = nn.Conv2d(before, factor * channels, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
                # Not in place: what comes before a ReLU is a layer of its own.
                modules += [convolution, nn.ReLU()]
                before = factor * channels
            modules.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*modules)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images -> features."""
        x = F.interpolate(images, size=(224, 224), mode="bilinear", align_corners=False, antialias=True)
        return cast(torch.Tensor, self.features(as_imagenet(x))).mean((2, 3))
