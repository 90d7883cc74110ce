"""Augmentation as strong as the data are few: its probability follows what the discriminator knows by heart.

Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (arXiv 2006.06676), section 3, equation 1:
r_v = (E D(training) - E D(held out)) / (E D(training) - E D(generated)) is 0 for a discriminator that treats training and
held-out images alike, and 1 for one that takes held-out images for generated ones. We use r_v and not their r_t, the mean
sign of D(training), for in a relativistic game logits have no zero: r_v is the same whatever is added to them. Beyond the
paper, a difference that chance alone would make counts for nothing: where D can hardly tell generated images from real
ones, r_v is a quotient of two noises, and following it once raised augmentation until D told nothing at all (docs/log.md).
"""

from __future__ import annotations

import math

import torch
from torch import nn

# Images seen while the probability may go from 0 to 1. The paper has 500,000 of the 25 million that it trains on.
_RANGE = 100_000
# Above about 0.8 augmentations begin to show in what is generated (their section 2.2).
_MOST = 0.8
# One batch tells little, so logits are averaged over about so many of them, and a difference of training and held-out ones
# counts beyond so many standard errors.
_MEMORY, _DOUBT = 128, 2.0


class Adaptive(nn.Module):
    """Holds the `probability`, moved up while r_v is surely above `target` and down else; all state in buffers."""

    def __init__(self, target: float) -> None:
        super().__init__()
        self.target = target
        self.register_buffer("probability", torch.zeros(()))
        # Averages of the logits of training, held-out and generated images, of the squared deviations of the first two's
        # difference, and how many batches they are from.
        self.register_buffer("logits", torch.zeros(3))
        self.register_buffer("variance", torch.zeros(()))
        self.register_buffer("count", torch.zeros(()))
        self.probability: torch.Tensor
        self.logits: torch.Tensor
        self.variance: torch.Tensor
        self.count: torch.Tensor

    @torch.no_grad()
    def follow(self, training: torch.Tensor, held_out: torch.Tensor, generated: torch.Tensor, seen: int) -> None:
        """Take in the mean logits of one batch, after `seen` training images each for this and the three steps before."""
        now = torch.stack([training, held_out, generated]).float()
        if not torch.isfinite(now).all():
            return
        self.count += 1
        weight = 1 / min(float(self.count), _MEMORY)
        self.variance.lerp_(((now - self.logits)[:2].diff()[0]).square(), weight if self.count > 1 else 0.0)
        self.logits.lerp_(now, weight)
        step = 4 * seen / _RANGE
        self.probability.add_(step if self.overfitting() > self.target else -step).clamp_(0, _MOST)

    def overfitting(self) -> float:
        """The r_v that the averaged logits show beyond chance; 0 while D cannot tell generated images from real ones."""
        training, held_out, generated = self.logits.tolist()
        skill = training - generated
        doubt = _DOUBT * math.sqrt(float(self.variance) / max(1.0, min(float(self.count), _MEMORY)))
        return max(0.0, training - held_out - doubt) / skill if skill > 0 else 0.0
