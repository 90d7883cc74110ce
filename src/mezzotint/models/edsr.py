"""EDSR: Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution", section 3 and figure 3 (arXiv
1707.02921): SRResNet without batch norm, wider, its residuals scaled down so that it can be.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

Deviation: the paper subtracts the data set's mean colour first and adds it at the end; biases learn that.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

__all__ = ["EDSR"]


class EDSR(nn.Module):
    """Super-resolution by `scale` 2, 3 or 4. Defaults are the paper's baseline, of 1.5 million parameters for x4.

    The paper's large network, of 43 million, is `channels=256, num_blocks=32, residual_scale=0.1`.
    """

    def __init__(
        self,
        scale: Literal[2, 3, 4] = 4,
        channels: int = 64,
        num_blocks: int = 16,
        in_channels: int = 3,
        residual_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale, self.in_channels = scale, in_channels
        self.head = convolution(in_channels, channels)
        self.blocks = nn.Sequential(*(ResidualBlock(channels, residual_scale) for _ in range(num_blocks)))
        self.merge = convolution(channels, channels)
        stages: list[nn.Module] = []
        for step in (2, 2) if scale == 4 else (scale,):
            stages += [convolution(channels, channels * step**2), nn.PixelShuffle(step)]
        self.tail = nn.Sequential(*stages, convolution(channels, in_channels))
        # All of the tail together reaches 1 + 1/2 + 1/4 pixels at x4, less than 2 at every scale.
        self.halo = 1 + 2 * num_blocks + 1 + 2

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        features = self.head(lr)
        return self.tail(features + self.merge(self.blocks(features)))


class ResidualBlock(nn.Module):
    """x + residual_scale * conv(ReLU(conv(x))), 3x3."""

    def __init__(self, channels: int, residual_scale: float) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(channels, channels), nn.ReLU(), convolution(channels, channels))
        self.residual_scale = residual_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        return x + self.residual_scale * self.body(x)


def convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)
