"""Learning-rate schedules: the factor, 0 to 1, on the base rate as a function of progress, 0 to 1.

Progress is the share of the run that is done, by steps or by time, so one recipe serves every budget.
"""

from __future__ import annotations

import math

__all__ = ["constant", "cosine", "trapezoid"]


def constant(progress: float) -> float:
    """The base rate throughout."""
    return 1.0


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, equation 5, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def trapezoid(progress: float) -> float:
    """1, then linearly to 0 over the last 40 % (warm-up-stable-decay, Hägele et al. 2024)."""
    return min(1.0, (1 - progress) / 0.4)
