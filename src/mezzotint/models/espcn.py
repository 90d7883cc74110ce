"""ESPCN: Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network", section 3 and figure 1 (arXiv 1609.05158), where the pixel shuffle comes from.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

Deviation: the paper trains on luma alone, which is `in_channels=1`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

__all__ = ["ESPCN"]


class ESPCN(nn.Module):
    """Super-resolution by `scale` 2, 3 or 4: `channels` features, then half as many, then a picture for every sub-pixel."""

    def __init__(self, scale: Literal[2, 3, 4] = 4, channels: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        self.scale, self.in_channels = scale, in_channels
        self.halo = 2 + 1 + 1
        # Tanh, which the paper found better than ReLU here.
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, channels, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(channels // 2, in_channels * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        return self.body(lr)
