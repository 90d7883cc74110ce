"""Distillation: a small network learns from a larger one's images as well as from the true ones (Hinton et al. 2015, arXiv
1503.02531; in super-resolution the teacher and data supervision of FAKD, He et al. 2020, without its features).

A teacher's image holds what can be known from the low-resolution one, without the luck of the true image. To learn from it
alone at first, as Lee et al. 2023 (arXiv 2312.17526) do, train with a share of 1 and start another run from the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mezzotint import catalog
from mezzotint.card import SUPER_RESOLUTION
from mezzotint.errors import UsageError
from mezzotint.models.weights import load
from mezzotint.training.terms import weighted

__all__ = ["Distillation"]


class Distillation:
    """A training method: minimises `(1 - share) * loss(sr, hr) + share * loss(sr, teacher(lr))`, summed over `losses`.

    `teacher`: super-resolution weights of the same scale, by name, run folder or file; it runs frozen. Raises `UsageError`
    for a teacher that does not fit, and what `catalog.find` and `models.weights.load` raise.
    """

    task = SUPER_RESOLUTION
    trains = ("generator",)

    def __init__(
        self,
        networks: dict[str, nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
        losses: dict[str, float],
        teacher: str,
        share: float = 0.5,
    ) -> None:
        if not 0 <= share <= 1:
            raise UsageError(f"method.share: the teacher's share lies between 0 and 1, not at {share}")
        self.networks, self.optimizers = networks, optimizers
        self.generator = networks["generator"]
        self.use(losses)
        self.share = share
        self.teacher, sha256 = _teacher(teacher, self.generator)
        self.sources = {"teacher": sha256}

    def use(self, losses: dict[str, float]) -> None:
        """Minimise these from now on."""
        self.losses = weighted(losses)

    def step(self, batch: dict[str, torch.Tensor], update: Callable[..., None]) -> dict[str, torch.Tensor]:
        """One update on a batch with `lr` and `hr`, B C H W, 0 to 1; returns named scalars for the log."""
        sr = self.generator(batch["lr"]).float()
        scalars = {name: loss(sr, batch["hr"]) for name, (loss, _) in self.losses.items()}
        total = (1 - self.share) * sum(self.losses[name][1] * value for name, value in scalars.items())
        if self.share:
            with torch.no_grad():
                taught = self.teacher(batch["lr"]).float()
            pull = sum(weight * loss(sr, taught) for loss, weight in self.losses.values())
            scalars["teacher"] = torch.as_tensor(pull)
            total = total + self.share * scalars["teacher"]
        update("generator", total)
        return scalars


def _teacher(source: str, student: Any) -> tuple[nn.Module, str]:
    """The frozen network of some weights, beside the student, and their SHA-256."""
    path = catalog.find(source, catalog.TRAINED)
    if path is None:
        raise UsageError(f"method.teacher: {source} has no weights to learn from")
    network: Any
    network, card = load(path)
    if (card.task, card.scale, card.in_channels) != (SUPER_RESOLUTION, student.scale, student.in_channels):
        raise UsageError(
            f"method.teacher: {source} is {card.task} of scale {card.scale} for {card.in_channels} channels, the student is "
            f"{SUPER_RESOLUTION} of scale {student.scale} for {student.in_channels}"
        )
    device = next(student.parameters()).device
    return network.to(device, memory_format=torch.channels_last).requires_grad_(False), card.weights_sha256
