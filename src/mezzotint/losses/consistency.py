"""Consistency: an enlarged image, made small again, should be the image that it was made from.

`sr` B C sH sW is brought down by MATLAB's bicubic (`image.resize.imresize`, antialiased, borders replicated, not rounded) to
the size of `lr` B C H W; values 0 to 1. A degradation other than the bicubic one makes no such promise: leave these out
then. Always in float32: bfloat16's steps of 1/256 are as large as the errors that matter.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn import functional as F

from mezzotint.image.resize import matrix

__all__ = ["l1", "mse"]


def l1(sr: torch.Tensor, lr: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of `sr` made small against `lr`."""
    return F.l1_loss(_reduced(sr, lr), lr)


def mse(sr: torch.Tensor, lr: torch.Tensor) -> torch.Tensor:
    """Mean squared error of `sr` made small against `lr`: 1e-4 is a PSNR of 40 dB."""
    return F.mse_loss(_reduced(sr, lr), lr)


def _reduced(sr: torch.Tensor, lr: torch.Tensor) -> torch.Tensor:
    """`sr` in the size of `lr`: two products with small matrices, which is `imresize` but differentiable at little cost."""
    rows, columns = (_matrix(sr.shape[axis], lr.shape[axis], str(sr.device)) for axis in (-2, -1))
    with torch.autocast(sr.device.type, enabled=False):
        return rows @ (sr.float() @ columns.T)


@lru_cache(maxsize=64)
def _matrix(side: int, target: int, device: str) -> torch.Tensor:
    return torch.from_numpy(matrix(side, target)).float().to(device)
