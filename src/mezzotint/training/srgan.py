"""SRGAN: super-resolution with an adversarial term (Ledig et al. 2017, sections 2.1.1 and 2.2.2).

The generator minimises a weighted sum of pixel losses plus its half of a game; the discriminator sees high-resolution
patches. Start the generator from regression weights (`start` in the recipe), as the paper does: from scratch the
discriminator wins at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mezzotint.card import SUPER_RESOLUTION
from mezzotint.refs import resolve

__all__ = ["SRGAN"]


class SRGAN:
    """A training method: one discriminator step, then one generator step, on each batch of pairs.

    `losses`: pixel losses and their weights; `adversarial`: weight of the game (the paper: 1e-3); `penalties`:
    functions of `losses.regularization` on patches, and their weights.
    """

    task = SUPER_RESOLUTION
    trains = ("generator", "discriminator")

    def __init__(
        self,
        networks: dict[str, nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
        losses: dict[str, float],
        game: str = "adversarial.relativistic",
        adversarial: float = 1e-3,
        penalties: dict[str, float] | None = None,
    ) -> None:
        self.networks, self.optimizers = networks, optimizers
        self.generator, self.discriminator = networks["generator"], networks["discriminator"]
        self.use(losses)
        self.game = resolve(game, "losses")
        self.adversarial = adversarial
        self.penalties = {name: (resolve(name, "losses"), weight) for name, weight in (penalties or {}).items()}

    def use(self, losses: dict[str, float]) -> None:
        """Minimise these pixel losses from now on."""
        self.losses = {name: (resolve(name, "losses"), weight) for name, weight in losses.items()}

    def step(self, batch: dict[str, torch.Tensor], update: Callable[..., None]) -> dict[str, torch.Tensor]:
        """One update of each network on `lr` and `hr`, B C H W, 0 to 1; returns named scalars for the log."""
        hr = batch["hr"]
        # Here and not at the end, which a step with a loss that is not finite never reaches.
        self.discriminator.requires_grad_(True)
        sr = self.generator(batch["lr"]).float()
        scalars = self._discriminator_step(hr, sr.detach(), update)
        # Frozen, not no_grad: the gradient must pass through the discriminator to the generator.
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            real_logits = self.discriminator(_signed(hr)).float()
        fake_logits = self.discriminator(_signed(sr)).float()
        values = {name: loss(sr, hr) for name, (loss, _) in self.losses.items()}
        scalars |= values
        scalars["adversarial"] = self.game.generator(real_logits, fake_logits)
        pixel = sum(self.losses[name][1] * value for name, value in values.items())
        update("generator", pixel + self.adversarial * scalars["adversarial"])
        return scalars

    def _discriminator_step(
        self, hr: torch.Tensor, sr: torch.Tensor, update: Callable[..., None]
    ) -> dict[str, torch.Tensor]:
        real, fake = _signed(hr), _signed(sr)
        real_logits, fake_logits = self.discriminator(real).float(), self.discriminator(fake).float()
        scalars = {"discriminator": self.game.discriminator(real_logits, fake_logits)}
        loss = scalars["discriminator"]
        for name, (penalty, weight) in self.penalties.items():
            scalars[name] = penalty(self.discriminator, real, fake)
            loss = loss + weight * scalars[name]
        update("discriminator", loss)
        return scalars


def _signed(images: torch.Tensor) -> torch.Tensor:
    """0..1 -> -1..1, the range discriminators expect."""
    return images * 2 - 1
