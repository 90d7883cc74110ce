"""Adversarial games: what the discriminator minimises and what the generator minimises, side by side.

Both halves take `(real_logits, fake_logits)`, two tensors of one shape, B or a map of patches B 1 h w, and return a
scalar. Logits are unbounded scores, higher for "real"; sigmoids and logarithms are inside the losses, where they are
stable (-log sigmoid(x) = softplus(-x), -log(1 - sigmoid(x)) = softplus(x)), so a discriminator never ends in a
sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional as F

__all__ = ["hinge", "least_squares", "minimax", "non_saturating", "relativistic", "wasserstein"]

Half = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Game(NamedTuple):
    """The two losses of one game, each a function of `(real_logits, fake_logits)`."""

    discriminator: Half
    generator: Half


# Goodfellow et al. 2014, equation 1: D maximises, and G minimises, E log D(x) + E log(1 - D(G(z))). G's gradient
# fades when D wins, which is why hardly anybody trains with it; its value at balance is -log 2 for G and 2 log 2 for
# D.
minimax = Game(
    discriminator=lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
    generator=lambda real, fake: -F.softplus(fake).mean(),
)

# Goodfellow et al. 2014, section 3: the same D, but G maximises log D(G(z)), so its gradient is strong when D wins.
non_saturating = Game(
    discriminator=minimax.discriminator,
    generator=lambda real, fake: F.softplus(-fake).mean(),
)

# LSGAN, Mao et al. 2017, equation 9: real 1, fake 0, wanted by G 1. Far from its targets it grows as the square.
least_squares = Game(
    discriminator=lambda real, fake: 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean(),
    generator=lambda real, fake: 0.5 * (fake - 1).square().mean(),
)

# Geometric GAN, Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17; SAGAN, Zhang et al. 2019, equation 4. D stops
# caring about what it has classified with a margin of 1.
hinge = Game(
    discriminator=lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
    generator=lambda real, fake: -fake.mean(),
)

# WGAN, Arjovsky et al. 2017, equation 2 and algorithm 1. It estimates a distance only while D is 1-Lipschitz, so it
# needs `regularization.gradient_penalty` or the like; without, D's loss falls without end.
wasserstein = Game(
    discriminator=lambda real, fake: fake.mean() - real.mean(),
    generator=lambda real, fake: -fake.mean(),
)

# RpGAN, Jolicoeur-Martineau 2018; R3GAN, Huang et al. 2024, equation 2. Every fake is compared with a real image, which
# leaves no bad minima where modes are dropped. It converges with `regularization.r1` and `r2` together.
relativistic = Game(
    discriminator=lambda real, fake: F.softplus(fake - real).mean(),
    generator=lambda real, fake: F.softplus(real - fake).mean(),
)
