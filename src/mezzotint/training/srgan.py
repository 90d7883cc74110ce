"""SRGAN: super-resolution with an adversarial and a perceptual term (Ledig et al. 2017, sections 2.1.1 and 2.2).

The generator minimises a weighted sum of pixel losses, a perceptual loss, the consistency of its images with what they were
made from, and its half of a game; the discriminator sees high-resolution patches. Start the generator from regression
weights (`start` in the recipe), as the paper does: from scratch the discriminator wins at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mezzotint.card import SUPER_RESOLUTION
from mezzotint.recipes.perceptual import Perceptual
from mezzotint.refs import resolve
from mezzotint.training.perceptual import PerceptualLoss
from mezzotint.training.terms import compares, judged, penalized, penalties_on, weighted

__all__ = ["SRGAN"]


class SRGAN:
    """A training method: one discriminator step, then one generator step, on each batch of pairs.

    `losses`: pixel losses and their weights; `consistency`: functions of `losses.consistency` and theirs; `perceptual`: see
    `recipes.perceptual`; `adversarial`: weight of the game (the paper: 1e-3). `penalties` weighs functions of
    `losses.regularization` on the first `penalty_share` of the batch, at least 16 patches.
    """

    task = SUPER_RESOLUTION
    trains = ("generator", "discriminator")

    def __init__(
        self,
        networks: dict[str, nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
        losses: dict[str, float],
        perceptual: Perceptual | None = None,
        consistency: dict[str, float] | None = None,
        game: str = "adversarial.relativistic",
        adversarial: float = 1e-3,
        penalties: dict[str, float] | None = None,
        penalty_share: float = 1.0,
    ) -> None:
        self.networks, self.optimizers = networks, optimizers
        self.generator, self.discriminator = networks["generator"], networks["discriminator"]
        self.use(losses)
        self.consistency = weighted(consistency or {})
        self.perceptual, self.sources = None, {}
        if perceptual is not None:
            # A recipe hands on the table as it stands.
            settings = Perceptual.model_validate(perceptual)
            self.perceptual = PerceptualLoss(settings, next(self.generator.parameters()).device)
            self.sources = self.perceptual.sources
        self.game = resolve(game, "losses")
        self.compares = compares(self.game.generator)
        self.adversarial = adversarial
        self.penalties = penalties_on(self.discriminator, penalties or {})
        self.penalty_share = penalty_share

    def use(self, losses: dict[str, float]) -> None:
        """Minimise these pixel losses from now on."""
        self.losses = weighted(losses)

    def step(self, batch: dict[str, torch.Tensor], update: Callable[..., None]) -> dict[str, torch.Tensor]:
        """One update of each network on `lr` and `hr`, B C H W, 0 to 1; returns named scalars for the log."""
        lr, hr = batch["lr"], batch["hr"]
        # Here and not at the end, which a step with a loss that is not finite never reaches.
        self.discriminator.requires_grad_(True)
        sr = self.generator(lr).float()
        scalars = self._discriminator_step(_signed(hr), _signed(sr.detach()), update)
        # Frozen, not no_grad: the gradient must pass through the discriminator to the generator.
        self.discriminator.requires_grad_(False)
        fake_logits = self.discriminator(_signed(sr)).float()
        real_logits = torch.zeros_like(fake_logits)
        if self.compares:
            with torch.no_grad():
                real_logits = self.discriminator(_signed(hr)).float()
        scalars["adversarial"] = self.game.generator(real_logits, fake_logits)
        loss = self.adversarial * scalars["adversarial"]
        for terms, target in ((self.losses, hr), (self.consistency, lr)):
            for name, (term, weight) in terms.items():
                scalars[name] = term(sr, target)
                loss = loss + weight * scalars[name]
        if self.perceptual is not None:
            scalars["perceptual"] = self.perceptual(sr, hr)
            loss = loss + self.perceptual.settings.weight * scalars["perceptual"]
        update("generator", loss)
        return scalars

    def _discriminator_step(
        self, real: torch.Tensor, fake: torch.Tensor, update: Callable[..., None]
    ) -> dict[str, torch.Tensor]:
        share = penalized(self.penalty_share, len(real)) if self.penalties else 0
        real_logits, fake_logits, scored = judged(
            lambda images: self.discriminator(images).float(), real, fake, share=share
        )
        scalars = {"discriminator": self.game.discriminator(real_logits, fake_logits)}
        loss = scalars["discriminator"]
        for name, (penalty, weight) in self.penalties.items():
            assert scored is not None
            scalars[name] = penalty(scored, scored.real, scored.fake)
            loss = loss + weight * scalars[name]
        scalars |= {"real_logits": real_logits.mean(), "fake_logits": fake_logits.mean()}
        update("discriminator", loss)
        return scalars


def _signed(images: torch.Tensor) -> torch.Tensor:
    """0..1 -> -1..1, the range discriminators expect."""
    return images * 2 - 1
