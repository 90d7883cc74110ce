"""Pixel losses: mean over all elements of B C H W tensors, values 0 to 1."""

from __future__ import annotations

import torch
from torch.nn import functional as F

__all__ = ["charbonnier", "l1", "mse"]


def l1(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Mean absolute error (used for super-resolution since Zhao et al. 2016)."""
    return F.l1_loss(sr, hr)


def mse(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Mean squared error: what PSNR measures (SRResNet, Ledig et al. 2017, equation 4)."""
    return F.mse_loss(sr, hr)


def charbonnier(sr: torch.Tensor, hr: torch.Tensor, epsilon: float = 1e-3) -> torch.Tensor:
    """sqrt(error^2 + epsilon^2): L1 with a smooth bottom (Charbonnier 1994; Lai et al. 2017, equation 2)."""
    return torch.sqrt((sr - hr).square() + epsilon**2).mean()
