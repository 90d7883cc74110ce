"""What the losses of several methods have in common: weighted terms, and penalties on a share of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mezzotint.errors import UsageError
from mezzotint.losses.regularization import Discriminator, Scored
from mezzotint.refs import resolve
from mezzotint.training.convolution import CheapGradients

__all__: list[str] = []

# Penalties on fewer images are too noisy, and some CPUs compute small bfloat16 batches wrongly (see `mezzotint doctor`).
_SMALLEST_SHARE = 16


def weighted(names: dict[str, float]) -> dict[str, tuple[Any, float]]:
    """The functions of `losses` that a recipe names, each with its weight."""
    return {name: (resolve(name, "losses"), weight) for name, weight in names.items()}


def penalties_on(discriminator: nn.Module, names: dict[str, float]) -> dict[str, tuple[Any, float]]:
    """`weighted`, for gradient penalties on `discriminator`. Raises `UsageError` if batch norm mixes its images."""
    if names and any(isinstance(layer, _BatchNorm) for layer in discriminator.modules()):
        raise UsageError(
            f"{', '.join(names)} need a discriminator whose answer for an image does not depend on the rest of the batch, "
            "and this one has batch norm: set discriminator.batch_norm to false, take another one, or no penalties"
        )
    return weighted(names)


def penalized(share: float, batch: int) -> int:
    """How many images of a batch pay penalties: a share of them, but at least 16 (or all, where there are fewer)."""
    return min(batch, max(_SMALLEST_SHARE, round(share * batch)))


def judged(
    discriminator: Discriminator, real: torch.Tensor, fake: torch.Tensor, *labels: torch.Tensor, share: int
) -> tuple[torch.Tensor, torch.Tensor, Scored | None]:
    """Logits of `real` and of `fake` images, and of the first `share` of both what penalties ask for, if it is not 0.

    Without penalties each kind has a pass of its own, for the statistics of batch norm. With them images must not mix
    anyhow, and two passes are enough: of those that pay, and of the others.
    """
    if not share:
        return discriminator(real, *labels), discriminator(fake, *labels), None
    with CheapGradients(twice=True):
        scored = Scored(discriminator, real[:share], fake[:share], *(part[:share] for part in labels))
    logits = [scored.logits.chunk(2)]
    if share < len(real):
        rest = torch.cat([real[share:], fake[share:]])
        logits.append(discriminator(rest, *(torch.cat([part[share:], part[share:]]) for part in labels)).chunk(2))
    real_logits, fake_logits = (torch.cat(parts) for parts in zip(*logits, strict=True))
    return real_logits, fake_logits, scored


def compares(half: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> bool:
    """Whether a generator's half of a game looks at the logits of real images at all; most do not."""
    real, fake = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    (gradient,) = torch.autograd.grad(half(real, fake), real, allow_unused=True)
    return gradient is not None
