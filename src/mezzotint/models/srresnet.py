"""SRResNet: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network",
section 2.1.1 and figure 4 (arXiv 1609.04802). The generator of SRGAN is the same network.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

With its defaults this is the paper's network: 9x9 head and tail, 16 residual blocks with batch norm and PReLU, x2 sub-pixel
steps. Deviation: the paper maps 0..1 to -1..1, here both ends are 0..1; a linear output makes that a matter of the last
bias. The modern form (EDSR and later) is a matter of options: no batch norm, 3x3 ends, one pixel shuffle at the very end, so
that nothing is computed at high resolution, and a bilinear skip, so that the body learns only what bilinear lacks.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from mezzotint.models.upsampling import BilinearUpsampling

__all__ = ["SRResNet"]


class SRResNet(nn.Module):
    """Super-resolution by `scale` 2, 3 or 4.

    `tail="staged"`: the paper's x2 (or x3) sub-pixel steps, then a convolution at high resolution. `tail="direct"`: one
    convolution to `scale**2` times the channels and one pixel shuffle. `end_kernel`: side of head and tail kernels.
    """

    def __init__(
        self,
        scale: Literal[2, 3, 4] = 4,
        channels: int = 64,
        num_blocks: int = 16,
        in_channels: int = 3,
        batch_norm: bool = True,
        end_kernel: int = 9,
        tail: Literal["staged", "direct"] = "staged",
        bilinear_skip: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.in_channels = scale, in_channels
        end = end_kernel // 2
        self.head = nn.Sequential(nn.Conv2d(in_channels, channels, end_kernel, padding=end), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(channels, batch_norm) for _ in range(num_blocks)))
        self.merge = nn.Sequential(*convolution(channels, channels, batch_norm))
        if tail == "staged":
            steps = [3] if scale == 3 else [2] * int(math.log2(scale))
            stages = [SubPixelStep(channels, step) for step in steps]
            self.tail = nn.Sequential(*stages, nn.Conv2d(channels, in_channels, end_kernel, padding=end))
            # A pixel at resolution r counts 1/r low-resolution pixels.
            reach = sum(1 / math.prod(steps[:i]) for i in range(len(steps))) + end / scale
        else:
            self.tail = nn.Sequential(nn.Conv2d(channels, in_channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))
            reach = 1
        self.skip = BilinearUpsampling(scale, in_channels) if bilinear_skip else None
        self.halo = math.ceil(end + 2 * num_blocks + 1 + reach)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        features = self.head(lr)
        sr = self.tail(features + self.merge(self.blocks(features)))
        return sr if self.skip is None else sr + self.skip(lr)


class ResidualBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x))))), 3x3, no activation after the sum (Gross and Wilber 2016)."""

    def __init__(self, channels: int, batch_norm: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels, channels, batch_norm), nn.PReLU(), *convolution(channels, channels, batch_norm)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        return x + self.body(x)


class SubPixelStep(nn.Sequential):
    """B C H W -> B C rH rW by a 3x3 convolution and a pixel shuffle, then PReLU."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(nn.Conv2d(channels, channels * factor**2, 3, padding=1), nn.PixelShuffle(factor), nn.PReLU())


def convolution(in_channels: int, out_channels: int, batch_norm: bool) -> list[nn.Module]:
    """A 3x3 convolution, followed by batch norm (which makes the convolution's own bias idle) or not."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=not batch_norm)]
    return [*layers, nn.BatchNorm2d(out_channels)] if batch_norm else layers
