"""Super-resolution by regression: the network's output is pulled towards the true picture, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mezzotint.card import SUPER_RESOLUTION
from mezzotint.training.terms import weighted

__all__ = ["Regression"]


class Regression:
    """A training method: minimises a weighted sum of pixel losses, such as {"pixel.l1": 1.0}."""

    task = SUPER_RESOLUTION
    trains = ("generator",)

    def __init__(
        self, networks: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer], losses: dict[str, float]
    ) -> None:
        self.networks, self.optimizers = networks, optimizers
        self.generator = networks["generator"]
        self.use(losses)

    def use(self, losses: dict[str, float]) -> None:
        """Minimise these from now on."""
        self.losses = weighted(losses)

    def step(self, batch: dict[str, torch.Tensor], update: Callable[..., None]) -> dict[str, torch.Tensor]:
        """One update on a batch with `lr` and `hr`, B C H W, 0 to 1; returns named scalars for the log."""
        sr = self.generator(batch["lr"]).float()
        scalars = {name: loss(sr, batch["hr"]) for name, (loss, _) in self.losses.items()}
        update("generator", sum(self.losses[name][1] * value for name, value in scalars.items()))
        return scalars
