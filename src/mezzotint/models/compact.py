"""Compact: SRResNet's quality class at about a tenth of its parameters and a fifteenth of its cost.

After SPAN (Wan et al. 2024, "Swift Parameter-free Attention Network", section 3: three 3x3 convolutions whose last output
also gates itself and the block's input, head and block features merged by a 1x1 convolution) with kernels trained by
re-parameterisation in weight space (`reparameterization.py`).

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

Deviations from SPAN: everything runs at low resolution and ends in one pixel shuffle; a bilinear skip lets the network learn
only what bilinear lacks; all block outputs are merged. Only plain convolutions and pointwise arithmetic, so exact tiles need
little around them and int8 works: the plain twin of `rlfn.py`, whose attention sees further.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.models.reparameterization import convolution, kernel_of, merged_state, set_kernel
from mezzotint.models.upsampling import BilinearUpsampling, resampled

__all__ = ["Compact"]


class Compact(nn.Module):
    """Super-resolution by `scale` 2, 3 or 4. `reparameterized=False` is the deployed form that `fused` returns."""

    def __init__(
        self,
        scale: Literal[2, 3, 4] = 4,
        channels: int = 32,
        num_blocks: int = 5,
        in_channels: int = 3,
        reparameterized: bool = True,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "scale": scale, "channels": channels, "num_blocks": num_blocks, "in_channels": in_channels,
        }  # fmt: skip
        self.scale, self.in_channels = scale, in_channels
        self.halo = 1 + 3 * num_blocks + 1
        self.head = convolution(in_channels, channels, reparameterized)
        self.blocks = nn.ModuleList(GatedBlock(channels, reparameterized) for _ in range(num_blocks))
        self.merge = nn.Conv2d(channels * (num_blocks + 1), channels, 1)
        self.tail = convolution(channels, in_channels * scale**2, reparameterized)
        self.skip = BilinearUpsampling(scale, in_channels)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        features = [self.head(lr)]
        for block in self.blocks:
            features.append(block(features[-1]))
        residual = self.tail(self.merge(torch.cat(features, dim=1)))
        return F.pixel_shuffle(residual, self.scale) + self.skip(lr)

    def adopt_tail(self, source: Compact) -> None:
        """Begin with the tail of `source`, the same body for another scale, its kernels resampled."""
        set_kernel(self.tail, *resampled(*kernel_of(source.tail), source.scale, self.scale))

    def fused(self) -> Compact:
        """The deployed form: the same function, every kernel merged into a plain convolution."""
        fused = Compact(**self.arguments, reparameterized=False)
        fused.arguments["reparameterized"] = False
        fused.load_state_dict(merged_state(self))
        return fused.train(self.training)


class GatedBlock(nn.Module):
    """Three convolutions y, then (x + y) * (sigmoid(y) - 1/2): features far from zero pass, flat regions stay quiet."""

    def __init__(self, channels: int, reparameterized: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolution(channels, channels, reparameterized) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        first, second, third = self.convolutions
        y = third(F.silu(second(F.silu(first(x)))))
        return (x + y) * (torch.sigmoid(y) - 0.5)
