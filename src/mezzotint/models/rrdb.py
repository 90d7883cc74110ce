"""RRDBNet, the generator of ESRGAN and Real-ESRGAN: Wang et al. 2018, "ESRGAN: Enhanced Super-Resolution Generative
Adversarial Networks", section 3.1 and figures 3 and 4 (arXiv 1809.00219). Residual-in-residual dense blocks; enlarged by
repeating pixels, which leaves no checkerboard, and smoothing them with a convolution.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

Deviations: the paper has x4 only; here x2 and x3 have one enlarging stage. Blocks grow by half of `channels`, as in the
paper's 64 and 32. Kernels of dense blocks start at a tenth of He's initialisation, as the paper's training does.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["RRDB"]

_SLOPE = 0.2  # of leaky ReLU
_RESIDUAL_SCALE = 0.2  # the paper's beta


class RRDB(nn.Module):
    """Super-resolution by `scale` 2, 3 or 4; 16.7 million parameters with the paper's defaults."""

    def __init__(
        self, scale: Literal[2, 3, 4] = 4, channels: int = 64, num_blocks: int = 23, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.scale, self.in_channels = scale, in_channels
        steps = (2, 2) if scale == 4 else (scale,)
        self.head = convolution(in_channels, channels)
        self.blocks = nn.Sequential(*(ResidualInResidual(channels) for _ in range(num_blocks)))
        self.merge = convolution(channels, channels)
        self.stages = nn.Sequential(*(RepeatedPixels(channels, step) for step in steps))
        self.tail = nn.Sequential(
            convolution(channels, channels), nn.LeakyReLU(_SLOPE), convolution(channels, in_channels)
        )
        reach = 2
        for step in reversed(steps):
            reach = math.ceil((reach + 1) / step)
        self.halo = 1 + 15 * num_blocks + 1 + reach

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        features = self.head(lr)
        return self.tail(self.stages(features + self.merge(self.blocks(features))))


class ResidualInResidual(nn.Module):
    """Three dense blocks and a scaled residual around them (the paper's figure 4, right)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(DenseBlock(channels) for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        return x + _RESIDUAL_SCALE * self.body(x)


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the block's input and all outputs before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        growth = channels // 2
        outputs = [growth] * 4 + [channels]
        layers = [convolution(channels + i * growth, outputs[i]) for i in range(5)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data.mul_(0.1)
        self.convolutions = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        *growing, last = self.convolutions
        seen = [x]
        for layer in growing:
            seen.append(F.leaky_relu(layer(torch.cat(seen, dim=1)), _SLOPE))
        return x + _RESIDUAL_SCALE * last(torch.cat(seen, dim=1))


class RepeatedPixels(nn.Module):
    """B C H W -> B C rH rW: every pixel r x r times, then a 3x3 convolution and leaky ReLU."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor, self.convolution = float(factor), convolution(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Enlarge by `factor`."""
        return F.leaky_relu(self.convolution(F.interpolate(x, scale_factor=self.factor, mode="nearest")), _SLOPE)


def convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)
