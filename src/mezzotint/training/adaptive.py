"""Augmentation as strong as the data are few: its probability follows what the discriminator knows by heart.

Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (arXiv 2006.06676), section 3, equation 1:
r_v = (E D(training) - E D(held out)) / (E D(training) - E D(generated)) is 0 for a discriminator that treats training and
held-out images alike, and 1 for one that takes held-out images for generated ones. We use r_v and not their r_t, the mean
sign of D(training), for in a relativistic game logits have no zero: r_v is the same whatever is added to them.
"""

from __future__ import annotations

import torch
from torch import nn

# Images seen while the probability may go from 0 to 1. The paper has 500,000 of the 25 million that it trains on.
_RANGE = 100_000
# Above about 0.8 augmentations begin to show in what is generated (their section 2.2).
_MOST = 0.8
# One batch tells little, so logits are averaged over about so many of them.
_MEMORY = 32


class Adaptive(nn.Module):
    """Holds the `probability`, moved up while r_v is above `target` and down while below; all state in buffers."""

    def __init__(self, target: float) -> None:
        super().__init__()
        self.target = target
        self.register_buffer("probability", torch.zeros(()))
        # Averages of the logits of training, held-out and generated images, and how many batches they are from.
        self.register_buffer("logits", torch.zeros(3))
        self.register_buffer("count", torch.zeros(()))
        self.probability: torch.Tensor
        self.logits: torch.Tensor
        self.count: torch.Tensor

    @torch.no_grad()
    def follow(self, training: torch.Tensor, held_out: torch.Tensor, generated: torch.Tensor, seen: int) -> None:
        """Take in the mean logits of one batch, after `seen` training images each for this and the three steps before."""
        now = torch.stack([training, held_out, generated]).float()
        if not torch.isfinite(now).all():
            return
        self.count += 1
        self.logits.lerp_(now, 1 / min(float(self.count), _MEMORY))
        step = 4 * seen / _RANGE
        self.probability.add_(step if self.overfitting() > self.target else -step).clamp_(0, _MOST)

    def overfitting(self) -> float:
        """r_v of the averaged logits; 0 while the discriminator cannot tell generated images from real ones."""
        training, held_out, generated = self.logits.tolist()
        skill = training - generated
        return (training - held_out) / skill if skill > 0 else 0.0
