"""What the losses of several methods have in common: weighted terms, and penalties on a share of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from mezzotint.refs import resolve

__all__: list[str] = []

# Penalties on fewer images are too noisy, and some CPUs compute small bfloat16 batches wrongly (see `mezzotint doctor`).
_SMALLEST_SHARE = 16


def weighted(names: dict[str, float]) -> dict[str, tuple[Any, float]]:
    """The functions of `losses` that a recipe names, each with its weight."""
    return {name: (resolve(name, "losses"), weight) for name, weight in names.items()}


def penalized(share: float, batch: int) -> int:
    """How many images of a batch pay penalties: a share of them, but at least 16 (or all, where there are fewer)."""
    return max(_SMALLEST_SHARE, round(share * batch))


def divided(images: torch.Tensor, share: int, differentiable: bool) -> list[torch.Tensor]:
    """The first `share` images, as a leaf that penalties can differentiate by, and the rest if there is one."""
    first, rest = images[:share].detach().requires_grad_(differentiable), images[share:]
    return [first, rest] if len(rest) else [first]


def compares(half: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> bool:
    """Whether a generator's half of a game looks at the logits of real images at all; most do not."""
    real, fake = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    (gradient,) = torch.autograd.grad(half(real, fake), real, allow_unused=True)
    return gradient is not None
