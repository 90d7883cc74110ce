"""Bilinear enlargement as one small convolution and a pixel shuffle (Shi et al. 2016, section 3.3: sub-pixel convolution).

Equal to `F.interpolate(mode="bilinear", align_corners=False)`, but each output pixel depends on its 3x3 input neighbourhood
by the same arithmetic everywhere. Interpolation computes its weights from absolute coordinates, whose rounding differs
between a tile and the whole image; this does not, so tiled results stay exact.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

# Parts of networks, not networks that a recipe could name.
__all__: list[str] = []


class BilinearUpsampling(nn.Module):
    """B C H W -> B C sH sW, borders replicated. No parameters; the kernel is a constant, not part of the state."""

    kernel: torch.Tensor

    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        # Output phase i of s lies (i + 0.5) / s - 0.5 input pixels right of the input pixel's centre.
        offsets = (torch.arange(scale) + 0.5) / scale - 0.5
        taps = torch.stack([(-offsets).clamp(min=0), 1 - offsets.abs(), offsets.clamp(min=0)], dim=1)
        phases = torch.einsum("ia,jb->ijab", taps, taps).reshape(scale * scale, 1, 3, 3)
        self.register_buffer("kernel", phases.repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Enlarge by `scale`."""
        phases = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), self.kernel.to(x.dtype), groups=self.channels)
        return F.pixel_shuffle(phases, self.scale)


def resampled(kernel: torch.Tensor, bias: torch.Tensor, before: int, after: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernel, colours*before**2 in 3 3, and bias of a convolution before `PixelShuffle(before)`, made for another scale.

    An output pixel of the new grid takes the mean of the kernels of those old pixels that it covers.
    """

    def resize(values: torch.Tensor) -> torch.Tensor:
        grids = values.reshape(-1, before, before, values[0].numel()).movedim(-1, 1)
        grids = F.interpolate(grids, size=(after, after), mode="area")
        return grids.movedim(1, -1).reshape(-1, *values.shape[1:])

    return resize(kernel), resize(bias[:, None])[:, 0]
