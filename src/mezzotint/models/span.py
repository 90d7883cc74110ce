"""SPAN: Wan et al. 2023, "Swift Parameter-free Attention Network for Efficient Super-Resolution", section 3 and figures 2
and 3 (arXiv 2311.12770): blocks of three convolutions whose last output also says how much of the block passes.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

Kernels are trained by re-parameterisation in weight space (`reparameterization.py`). Deviations: the authors run the
branches on the image in training, with biases in each, and merge them when the network is deployed; here they are merged in
every step. The paper has six blocks.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.models.reparameterization import convolution, merged_state

__all__ = ["SPAN"]

# DIV2K's mean colour, and the range that the authors' code computes in.
_MEAN, _RANGE = (0.4488, 0.4371, 0.4040), 255.0


class SPAN(nn.Module):
    """Super-resolution by `scale`. `reparameterized=False` is the deployed form that `fused` returns.

    `normalized`: the mean colour is subtracted first, as in the authors' code; for three channels.
    """

    mean: torch.Tensor

    def __init__(
        self,
        scale: Literal[1, 2, 3, 4] = 4,
        channels: int = 48,
        num_blocks: int = 6,
        in_channels: int = 3,
        normalized: bool = True,
        reparameterized: bool = True,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "scale": scale, "channels": channels, "num_blocks": num_blocks, "in_channels": in_channels,
            "normalized": normalized,
        }  # fmt: skip
        self.scale, self.in_channels, self.normalized = scale, in_channels, normalized
        self.halo = 1 + 3 * num_blocks + 1 + 1
        self.head = convolution(in_channels, channels, reparameterized)
        self.blocks = nn.ModuleList(AttentionBlock(channels, reparameterized) for _ in range(num_blocks))
        self.last = convolution(channels, channels, reparameterized)
        self.merge = nn.Conv2d(4 * channels, channels, 1)
        self.tail = nn.Conv2d(channels, in_channels * scale**2, 3, padding=1)
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        head = x = self.head((lr - self.mean.to(lr.dtype)) * _RANGE if self.normalized else lr)
        outputs = []
        for block in self.blocks:
            x, first = block(x)
            outputs.append(x)
        # What is merged: the features, the first and the last block, and what the last block's first convolution saw.
        features = self.merge(torch.cat([head, self.last(x), outputs[0], first], dim=1))
        return F.pixel_shuffle(self.tail(features), self.scale)

    def fused(self) -> SPAN:
        """The deployed form: the same function, every kernel merged into a plain convolution."""
        fused = SPAN(**self.arguments, reparameterized=False)
        fused.arguments["reparameterized"] = False
        fused.load_state_dict(merged_state(self))
        return fused.train(self.training)


class AttentionBlock(nn.Module):
    """SPAB: three convolutions y, then (x + y) * (sigmoid(y) - 1/2), the paper's equations 3 to 5."""

    def __init__(self, channels: int, reparameterized: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolution(channels, channels, reparameterized) for _ in range(3))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """B C H W -> the block's output and its first convolution's, activated; both of the same shape."""
        one, two, three = self.convolutions
        first = F.silu(one(x))
        y = three(F.silu(two(first)))
        return (x + y) * (torch.sigmoid(y) - 0.5), first
