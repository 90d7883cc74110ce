"""SRVGGNetCompact, Real-ESRGAN's small network: Wang et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution
with Pure Synthetic Data" (arXiv 2107.10833), whose authors added it for video and animation after the paper: a chain of
plain convolutions at low resolution, one pixel shuffle, and the repeated pixels of the input, so that it learns the rest.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

No deviations. Their num_feat is `channels` here, their num_conv `num_blocks`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["SRVGG"]


class SRVGG(nn.Module):
    """Super-resolution by `scale`. Defaults are the network of realesr-animevideov3; 32 blocks that of realesr-general-x4v3.

    A block is a 3x3 convolution and a PReLU with a slope for each channel.
    """

    def __init__(
        self, scale: Literal[1, 2, 3, 4] = 4, channels: int = 64, num_blocks: int = 16, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.scale, self.in_channels = scale, in_channels
        layers: list[nn.Module] = [convolution(in_channels, channels), nn.PReLU(channels)]
        for _ in range(num_blocks):
            layers += [convolution(channels, channels), nn.PReLU(channels)]
        self.body = nn.Sequential(*layers, convolution(channels, in_channels * scale**2))
        self.halo = 1 + num_blocks + 1

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        # Each value once for each pixel that the shuffle makes of its place: the pixels repeated, without another pass.
        repeated = lr.repeat_interleave(self.scale**2, dim=1)
        return F.pixel_shuffle(self.body(lr) + repeated, self.scale)


def convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)
