"""Generation: a generator and a discriminator play one of the games of `losses.adversarial`, with gradient penalties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mezzotint.card import GENERATION
from mezzotint.refs import resolve
from mezzotint.training.terms import penalized, weighted

__all__ = ["GAN"]


class GAN:
    """A training method: one discriminator step, then one generator step, on each batch.

    `penalties` weighs the functions of `losses.regularization`, such as {"regularization.r1": 1.0, "regularization.r2": 1.0}
    (both together: Huang et al. 2024). They are computed on the first `penalty_share` of the batch, at least 16 images: as
    cheap as a lazy penalty, without its periodic kicks and without a step count.
    """

    task = GENERATION
    trains = ("generator", "discriminator")

    def __init__(
        self,
        networks: dict[str, nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
        game: str = "adversarial.relativistic",
        penalties: dict[str, float] | None = None,
        penalty_share: float = 1.0,
    ) -> None:
        self.networks, self.optimizers = networks, optimizers
        self.generator, self.discriminator = networks["generator"], networks["discriminator"]
        self.game = resolve(game, "losses")
        self.penalties = weighted(penalties or {})
        self.penalty_share = penalty_share

    def step(self, batch: dict[str, torch.Tensor], update: Callable[..., None]) -> dict[str, torch.Tensor]:
        """One update of each network on `real` B C H W, -1 to 1, and `labels` B; returns named scalars for the log."""
        real, labels = batch["real"], batch["labels"]
        # Here and not at the end, which a step with a loss that is not finite never reaches.
        self.discriminator.requires_grad_(True)
        scalars = self._discriminator_step(real, labels, update)
        # Frozen, not no_grad: the gradient must pass through the discriminator to the generator.
        self.discriminator.requires_grad_(False)
        fake_logits = self.discriminator(self._generate(labels), labels).float()
        with torch.no_grad():
            real_logits = self.discriminator(real, labels).float()
        scalars["generator"] = self.game.generator(real_logits, fake_logits)
        update("generator", scalars["generator"])
        return scalars

    def _discriminator_step(
        self, real: torch.Tensor, labels: torch.Tensor, update: Callable[..., None]
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            fake = self._generate(labels)
        real_logits = self.discriminator(real, labels).float()
        fake_logits = self.discriminator(fake, labels).float()
        scalars = {"discriminator": self.game.discriminator(real_logits, fake_logits)}
        loss = scalars["discriminator"]
        share = penalized(self.penalty_share, len(real))
        for name, (penalty, weight) in self.penalties.items():
            scalars[name] = penalty(self.discriminator, real[:share], fake[:share], labels[:share])
            loss = loss + weight * scalars[name]
        scalars |= {"real_logits": real_logits.mean(), "fake_logits": fake_logits.mean()}
        update("discriminator", loss)
        return scalars

    def _generate(self, labels: torch.Tensor) -> torch.Tensor:
        latent: Any = self.generator.latent_dim
        shape = (latent,) if isinstance(latent, int) else latent
        z = torch.randn(len(labels), *shape, device=labels.device)
        return self.generator(z, labels if self.generator.num_classes else None)
