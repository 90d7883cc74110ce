"""The U-Net discriminator of Real-ESRGAN: Wang et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution with
Pure Synthetic Data", section 3.3 (arXiv 2107.10833), after Schonfeld et al. 2020, "A U-Net Based Discriminator for
Generative Adversarial Networks" (arXiv 2002.12655), with spectral norm (Miyato et al. 2018, section 2.1, arXiv 1802.05957).

Images B C H W of at least 8x8 pixels, values -1 to 1 -> logits B 1 H W, one for each pixel, each of which sees both the fine
grain around it and the whole neighbourhood.

Deviations: any size (a level is enlarged to the size of the one it joins); `channels` may be less than 64, at a cost that
falls with its square; weights begin as He et al. 2015 have it for leaky rectifiers.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["UNetDiscriminator"]


class UNetDiscriminator(nn.Module):
    """Three halvings down to 8 x `channels`, three doublings up with sums across, three convolutions at full size."""

    def __init__(self, channels: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        widths = [channels, 2 * channels, 4 * channels, 8 * channels]
        self.head = _initialized(nn.Conv2d(in_channels, channels, 3, padding=1))
        self.downs = nn.ModuleList(_normalized(widths[i], widths[i + 1], kernel=4, stride=2) for i in range(3))
        self.ups = nn.ModuleList(_normalized(widths[i + 1], widths[i], kernel=3) for i in (2, 1, 0))
        self.ends = nn.ModuleList(_normalized(channels, channels, kernel=3) for _ in range(2))
        self.tail = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images -> logits."""
        levels = [F.leaky_relu(self.head(images), 0.2)]
        for down in self.downs:
            levels.append(F.leaky_relu(down(levels[-1]), 0.2))
        x = levels.pop()
        for up in self.ups:
            across = levels.pop()
            x = F.interpolate(x, size=across.shape[-2:], mode="bilinear", align_corners=False)
            x = F.leaky_relu(up(x), 0.2) + across
        for end in self.ends:
            x = F.leaky_relu(end(x), 0.2)
        return self.tail(x)


def _normalized(before: int, after: int, kernel: int, stride: int = 1) -> nn.Module:
    return spectral_norm(_initialized(nn.Conv2d(before, after, kernel, stride, padding=1, bias=False)))


def _initialized(convolution: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_normal_(convolution.weight, a=0.2)
    return convolution
