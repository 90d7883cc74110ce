"""SRCNN, the first convolutional network for super-resolution: Dong et al. 2014, "Image Super-Resolution Using Deep
Convolutional Networks", sections 3.1 and 4.1 (arXiv 1501.00092): patches -> features -> their non-linear mapping -> picture.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

Deviations: the paper enlarges bicubically before the network; here the enlargement is part of it and bilinear, which sees
fewer pixels and is exact in tiles. The paper's convolutions have no padding and shrink the picture; these pad with zeros.
The paper trains on luma alone, which is `in_channels=1`.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from mezzotint.models.upsampling import BilinearUpsampling

__all__ = ["SRCNN"]


class SRCNN(nn.Module):
    """Super-resolution by `scale` 2, 3 or 4. `kernels`: sides of the three kernels; the paper's best are (9, 5, 5).

    The first layer has `channels` features, the second half as many. Everything is computed at high resolution.
    """

    def __init__(
        self,
        scale: Literal[2, 3, 4] = 4,
        channels: int = 64,
        in_channels: int = 3,
        kernels: tuple[int, int, int] = (9, 1, 5),
    ) -> None:
        super().__init__()
        self.scale, self.in_channels = scale, in_channels
        self.enlarge = BilinearUpsampling(scale, in_channels)
        first, second, third = kernels
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, channels, first, padding=first // 2),
            nn.ReLU(),
            nn.Conv2d(channels, channels // 2, second, padding=second // 2),
            nn.ReLU(),
            nn.Conv2d(channels // 2, in_channels, third, padding=third // 2),
        )
        reach = sum(kernel // 2 for kernel in kernels)
        # The farthest pixel at high resolution lies (reach - 0.5) / scale + 0.5 low-resolution pixels from the centre of
        # the pixel being enlarged, and is interpolated from the whole pixels on both of its sides.
        self.halo = math.ceil((reach - 0.5) / scale + 0.5)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        return self.body(self.enlarge(lr))
