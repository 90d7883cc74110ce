"""RLFN: Kong et al. 2022, "Residual Local Feature Network for Efficient Super-Resolution", sections 3.1 and 3.2 (arXiv
2205.07514): three convolutions per block, then attention that looks further (ESA as revised there), all at low resolution.

The kernels are trained by re-parameterisation in weight space (`reparameterization.py`), as Yu et al. 2023, "DIPNet"
(arXiv 2304.07018), train such blocks with branches that they merge afterwards.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

Deviations: ESA's grid. The paper reads a map shrunk six times and enlarges it again, so what a pixel gets depends on where
in the image it lies, and no tile can equal the whole. Here the same windows are read at every pixel (stride 1, the next
convolution dilated in return) and nothing is enlarged. Tiles are exact, but need 16 pixels more around them for each block:
where pictures are large, or int8 is wanted, `compact.py` is the plain-convolution twin. And, as there, a bilinear skip
lets the network learn only what bilinear lacks.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.models.reparameterization import convolution, kernel_of, merged_state, set_kernel
from mezzotint.models.upsampling import BilinearUpsampling, resampled

__all__ = ["RLFN"]

_SLOPE = 0.05
# The paper's window of 7 on a grid of 2 spans 13 pixels; its grid after pooling has one point in 6.
_WINDOW, _GRID = 13, 6


class RLFN(nn.Module):
    """Super-resolution by `scale` 2, 3 or 4. The paper's network is `channels=52, num_blocks=6`.

    `reparameterized=False` is the deployed form that `fused` returns.
    """

    def __init__(
        self,
        scale: Literal[2, 3, 4] = 4,
        channels: int = 32,
        num_blocks: int = 4,
        in_channels: int = 3,
        attention_channels: int = 16,
        reparameterized: bool = True,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "scale": scale,
            "channels": channels,
            "num_blocks": num_blocks,
            "in_channels": in_channels,
            "attention_channels": attention_channels,
        }
        self.scale, self.in_channels = scale, in_channels
        # Each block reaches 3 pixels by its convolutions and 1 + 6 + 6 by its attention.
        self.halo = 1 + num_blocks * (3 + 1 + _WINDOW // 2 + _GRID) + 2
        self.head = convolution(in_channels, channels, reparameterized)
        self.blocks = nn.Sequential(
            *(ResidualBlock(channels, attention_channels, reparameterized) for _ in range(num_blocks))
        )
        self.merge = convolution(channels, channels, reparameterized)
        self.tail = convolution(channels, in_channels * scale**2, reparameterized)
        self.skip = BilinearUpsampling(scale, in_channels)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        features = self.head(lr)
        residual = self.tail(features + self.merge(self.blocks(features)))
        return F.pixel_shuffle(residual, self.scale) + self.skip(lr)

    def adopt_tail(self, source: RLFN) -> None:
        """Begin with the tail of `source`, the same body for another scale, its kernels resampled."""
        set_kernel(self.tail, *resampled(*kernel_of(source.tail), source.scale, self.scale))

    def fused(self) -> RLFN:
        """The deployed form: the same function, every kernel merged into a plain convolution."""
        fused = RLFN(**self.arguments, reparameterized=False)
        fused.arguments["reparameterized"] = False
        fused.load_state_dict(merged_state(self))
        return fused.train(self.training)


class ResidualBlock(nn.Module):
    """RLFB (section 3.2): attention(conv1x1(x + three activated 3x3 convolutions of x))."""

    def __init__(self, channels: int, attention_channels: int, reparameterized: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolution(channels, channels, reparameterized) for _ in range(3))
        self.mix = nn.Conv2d(channels, channels, 1)
        self.attention = SpatialAttention(channels, attention_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        y = x
        for layer in self.convolutions:
            y = F.leaky_relu(layer(y), _SLOPE)
        return self.attention(self.mix(x + y))


class SpatialAttention(nn.Module):
    """ESA with one convolution after pooling (section 3.2): each feature times a factor, 0 to 1, from 27x27 pixels."""

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, attention_channels, 1)
        self.near = nn.Conv2d(attention_channels, attention_channels, 3, padding=1)
        self.far = nn.Conv2d(attention_channels, attention_channels, 3, padding=_GRID, dilation=_GRID)
        self.beside = nn.Conv2d(attention_channels, attention_channels, 1)
        self.widen = nn.Conv2d(attention_channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        narrow = self.narrow(x)
        # Rows, then columns: the same maximum by a sixth of the comparisons.
        rows = F.max_pool2d(self.near(narrow), (_WINDOW, 1), stride=1, padding=(_WINDOW // 2, 0))
        strongest = F.max_pool2d(rows, (1, _WINDOW), stride=1, padding=(0, _WINDOW // 2))
        return x * torch.sigmoid(self.widen(self.far(strongest) + self.beside(narrow)))
