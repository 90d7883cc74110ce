"""FSRCNN: Dong et al. 2016, "Accelerating the Super-Resolution Convolutional Neural Network", section 3 and figure 2 (arXiv
1608.00367): SRCNN at low resolution, an hourglass of channels, one enlarging layer at the end.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

Deviations: the paper enlarges by a 9x9 deconvolution of stride s. The same is a convolution at low resolution, 5x5 for x2
and 3x3 for x3 and x4, followed by a pixel shuffle (Shi et al. 2016, arXiv 1609.07009); its kernel holds every 9x9
deconvolution and, for x2 and x4, a few taps more. The paper trains on luma alone, which is `in_channels=1`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

__all__ = ["FSRCNN"]


class FSRCNN(nn.Module):
    """Super-resolution by `scale` 2, 3 or 4. FSRCNN(d, s, m) of the paper is `channels`, `shrunk`, `num_blocks`.

    The paper's fast version, FSRCNN-s, is (32, 5, 1).
    """

    def __init__(
        self,
        scale: Literal[2, 3, 4] = 4,
        channels: int = 56,
        shrunk: int = 12,
        num_blocks: int = 4,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.scale, self.in_channels = scale, in_channels
        tail_kernel = 5 if scale == 2 else 3
        self.body = nn.Sequential(
            *layer(in_channels, channels, 5),
            *layer(channels, shrunk, 1),
            *(part for _ in range(num_blocks) for part in layer(shrunk, shrunk, 3)),
            *layer(shrunk, channels, 1),
        )
        self.tail = nn.Sequential(
            nn.Conv2d(channels, in_channels * scale**2, tail_kernel, padding=tail_kernel // 2), nn.PixelShuffle(scale)
        )
        self.halo = 2 + num_blocks + tail_kernel // 2

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        return self.tail(self.body(lr))


def layer(in_channels: int, out_channels: int, kernel: int) -> list[nn.Module]:
    """A convolution and a PReLU with one slope for each channel."""
    return [nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2), nn.PReLU(out_channels)]
