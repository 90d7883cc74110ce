"""Generation: a generator and a discriminator play one of the games of `losses.adversarial`, with gradient penalties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.card import GENERATION
from mezzotint.data.differentiable import augmented
from mezzotint.refs import resolve
from mezzotint.training.adaptive import Adaptive
from mezzotint.training.convolution import CheapGradients
from mezzotint.training.terms import compares, judged, penalized, penalties_on

__all__ = ["GAN"]


class GAN:
    """A training method: one discriminator step, then one generator step, on each batch.

    `penalties` weighs the functions of `losses.regularization`, such as {"regularization.r1": 1.0, "regularization.r2": 1.0}
    (both together: Huang et al. 2024). They are computed on the first `penalty_share` of the batch, at least 16 images: as
    cheap as a lazy penalty, without its periodic kicks and without a step count.

    `augment` names functions of `data.differentiable`, through which the discriminator sees all images, each with the
    probability `dials["augment"]`. With `adaptive`, a target for the share of the discriminator's skill that is memory
    (see `adaptive.py`), that probability is found during training, on the held-out images of the batches.

    `classify` weighs the cross-entropy of a discriminator's classifier, which learns the classes of real images, as many as
    pay penalties, and from which the generator learns to make what the label says.
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
        augment: Sequence[str] = (),
        adaptive: float | None = None,
        classify: float = 0.0,
    ) -> None:
        self.networks, self.optimizers = networks, optimizers
        self.generator, self.discriminator = networks["generator"], networks["discriminator"]
        self.game = resolve(game, "losses")
        self.compares = compares(self.game.generator)
        self.penalties = penalties_on(self.discriminator, penalties or {})
        self.penalty_share = penalty_share
        self.classify = classify
        self.augment = [resolve(f"differentiable.{name}", "data") for name in augment]
        # What schedules and the doctor may turn: a factor on all penalties, and how often images are augmented.
        self.dials = {"penalties": 1.0, "augment": 0.0}
        self.adaptive = None
        if adaptive is not None:
            self.adaptive = Adaptive(adaptive).to(next(self.generator.parameters()).device)
            # Among the networks, so that a checkpoint holds it.
            self.networks = {**networks, "adaptive": self.adaptive}

    def step(self, batch: dict[str, torch.Tensor], update: Callable[..., None]) -> dict[str, torch.Tensor]:
        """One update of each network on `real` B C H W, -1 to 1, and `labels` B; returns named scalars for the log.

        A batch may bring `held_out` images with `held_out_labels`, which no network learns from.
        """
        real, labels = batch["real"], batch["labels"]
        # Here and not at the end, which a step with a loss that is not finite never reaches.
        self.discriminator.requires_grad_(True)
        scalars = self._discriminator_step(real, labels, update)
        # Frozen, not no_grad: the gradient must pass through the discriminator to the generator.
        self.discriminator.requires_grad_(False)
        fake = self._generate(labels)
        fake_logits, mistaken = self._classified(fake, labels) if self.classify else (self._judge(fake, labels), None)
        real_logits = torch.zeros_like(fake_logits)
        with torch.no_grad():
            if self.compares or "held_out" in batch:
                real_logits = self._judge(real, labels)
            if "held_out" in batch:
                scalars["held_out_logits"] = self._judge(batch["held_out"], batch["held_out_labels"]).mean()
                if self.adaptive is not None:
                    self.adaptive.follow(real_logits.mean(), scalars["held_out_logits"], fake_logits.mean(), len(real))
        scalars["augment"] = torch.tensor(self._probability())
        scalars["generator"] = self.game.generator(real_logits, fake_logits)
        loss = scalars["generator"]
        if mistaken is not None:
            scalars["generated_classes"] = mistaken
            loss = loss + self.classify * mistaken
        update("generator", loss)
        return scalars

    def _discriminator_step(
        self, real: torch.Tensor, labels: torch.Tensor, update: Callable[..., None]
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            fake = self._generate(labels)
        share = penalized(self.penalty_share, len(real)) if self.penalties else 0
        real_logits, fake_logits, scored = judged(self._judge, real, fake, labels, share=share)
        scalars = {"discriminator": self.game.discriminator(real_logits, fake_logits)}
        loss = scalars["discriminator"]
        for name, (penalty, weight) in self.penalties.items():
            assert scored is not None
            scalars[name] = penalty(scored, scored.real, scored.fake, labels[:share])
            loss = loss + self.dials["penalties"] * weight * scalars[name]
        if self.classify:
            count = penalized(self.penalty_share, len(real))
            _, scalars["real_classes"] = self._classified(real[:count], labels[:count])
            loss = loss + self.classify * scalars["real_classes"]
        scalars |= {"real_logits": real_logits.mean(), "fake_logits": fake_logits.mean()}
        update("discriminator", loss)
        return scalars

    def _probability(self) -> float:
        """How often each augmentation changes an image."""
        adapted = float(self.adaptive.probability) if self.adaptive is not None else 0.0
        return max(adapted, self.dials["augment"])

    def _judge(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Logits of images, as the discriminator sees them."""
        with CheapGradients():
            logits: torch.Tensor = self.discriminator(augmented(images, self.augment, self._probability()), labels)
        return logits.float()

    def _classified(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of images, and the cross-entropy of their classes."""
        classified: Any = self.discriminator.classified
        with CheapGradients():
            logits, classes = classified(augmented(images, self.augment, self._probability()), labels)
        return logits.float(), F.cross_entropy(classes.float(), labels)

    def _generate(self, labels: torch.Tensor) -> torch.Tensor:
        latent: Any = self.generator.latent_dim
        shape = (latent,) if isinstance(latent, int) else latent
        z = torch.randn(len(labels), *shape, device=labels.device)
        with CheapGradients():
            return self.generator(z, labels if self.generator.num_classes else None)
