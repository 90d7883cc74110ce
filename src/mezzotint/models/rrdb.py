"""RRDBNet, the generator of ESRGAN and Real-ESRGAN: Wang et al. 2018, "ESRGAN: Enhanced Super-Resolution Generative
Adversarial Networks", section 3.1 and figures 3 and 4 (arXiv 1809.00219). Residual-in-residual dense blocks; enlarged by
repeating pixels, which leaves no checkerboard, and smoothing them with a convolution.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

`unshuffle` is Wang et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", section
3.4 (arXiv 2107.10833): the image is folded into more channels first, and the x4 network then enlarges 2 times or once.

Deviations: the paper has x4 only; here every factor of the scale is one enlarging stage. Sides that cannot be folded are
filled up by repeating the last row and column. Kernels of dense blocks start at a tenth of He's initialisation, as the
paper's training does.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["RRDB"]

_SLOPE = 0.2  # of leaky ReLU
_RESIDUAL_SCALE = 0.2  # the paper's beta


class RRDB(nn.Module):
    """Super-resolution by `scale`; 16.7 million parameters with the paper's defaults.

    `growth` is what dense blocks grow by, by default half of `channels`, as in the paper's 64 and 32. With `unshuffle` the
    network works on blocks of that many pixels a side, so exact tiles begin at multiples of it (`alignment`).
    """

    def __init__(
        self,
        scale: Literal[1, 2, 3, 4, 8] = 4,
        channels: int = 64,
        num_blocks: int = 23,
        in_channels: int = 3,
        growth: int | None = None,
        unshuffle: int = 1,
    ) -> None:
        super().__init__()
        self.scale, self.in_channels, self.unshuffle = scale, in_channels, unshuffle
        self.alignment = unshuffle
        growth = growth or max(1, channels // 2)
        steps = _steps(scale * unshuffle)
        self.head = convolution(in_channels * unshuffle**2, channels)
        self.blocks = nn.Sequential(*(ResidualInResidual(channels, growth) for _ in range(num_blocks)))
        self.merge = convolution(channels, channels)
        self.stages = nn.Sequential(*(RepeatedPixels(channels, step) for step in steps))
        self.tail = nn.Sequential(
            convolution(channels, channels), nn.LeakyReLU(_SLOPE), convolution(channels, in_channels)
        )
        self.halo = _reach(scale, unshuffle, steps, 1 + 15 * num_blocks + 1)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        height, width = lr.shape[2:]
        features = self.head(_folded(lr, self.unshuffle) if self.unshuffle > 1 else lr)
        sr = self.tail(self.stages(features + self.merge(self.blocks(features))))
        return sr[:, :, : height * self.scale, : width * self.scale] if self.unshuffle > 1 else sr


class ResidualInResidual(nn.Module):
    """Three dense blocks and a scaled residual around them (the paper's figure 4, right)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        return x + _RESIDUAL_SCALE * self.body(x)


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the block's input and all outputs before it."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
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


def _steps(total: int) -> tuple[int, ...]:
    """The factors of the enlarging stages: twos, and then what is left."""
    twos = (total & -total).bit_length() - 1
    rest = total >> twos
    return (2,) * twos + ((rest,) if rest > 1 else ())


def _folded(lr: torch.Tensor, block: int) -> torch.Tensor:
    """B C H W -> B C*b*b H/b W/b, sides rounded up."""
    height, width = lr.shape[2:]
    return F.pixel_unshuffle(F.pad(lr, (0, -width % block, 0, -height % block), mode="replicate"), block)


def _reach(scale: int, unshuffle: int, steps: tuple[int, ...], body: int) -> int:
    """How far the network looks: what each pixel of a block depends on, followed back from its first and last output."""
    furthest = 0
    for pixel in range(unshuffle):
        first, last = pixel * scale - 2, pixel * scale + scale - 1 + 2
        for step in reversed(steps):
            first, last = (first - 1) // step, (last + 1) // step
        first, last = (first - body) * unshuffle, (last + body + 1) * unshuffle - 1
        furthest = max(furthest, pixel - first, last - pixel)
    return furthest
