"""Perceptual losses: distances between what a network's layer makes of two batches of images, features B C h w.

Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", section 3.2, equation 2; SRGAN
(Ledig et al. 2017, section 2.2.1, equation 5); LPIPS (Zhang et al. 2018, section 3, equation 1). Each is a mean over all
elements; which layers of which network count, and how much, the method knows.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

__all__ = ["l1", "l2", "lpips"]

# Added to a mean square. Features are of order one; where all are nearly zero, their direction is noise, which must not be
# blown up (LPIPS adds 1e-10 to the length itself: right for a metric, but a gradient of up to 1e10).
_EPSILON = 1e-6


def l1(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of features."""
    return F.l1_loss(sr, hr)


def l2(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of features; of normalised ones it is LPIPS with all weights 1 ("lin" left out)."""
    return F.mse_loss(sr, hr)


def lpips(sr: torch.Tensor, hr: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
    """One layer's term of LPIPS: squared differences of normalised features, weighted by channel with `head`, C."""
    return ((sr - hr).square() * head.view(-1, 1, 1)).mean()


def normalized(features: torch.Tensor) -> torch.Tensor:
    """Each place's vector of C features, divided by its root mean square: only its direction counts.

    LPIPS divides by the length and sums over channels, which comes to the same: C in a square, 1/C in the mean.
    """
    return features * torch.rsqrt(features.square().mean(1, keepdim=True) + _EPSILON)
