"""Gradient penalties on a discriminator D: how steep it may be where the images are.

Penalties have the signature `(discriminator, real, fake, *labels) -> scalar`: images B C H W and, for conditional
networks, labels B int64, which are handed on. The gradient of an image's score with respect to its pixels is summed
in square over C H W; the mean is taken over the batch. The score of an image is its logit, or the mean of its patch
logits. A discriminator with batch norm has no gradient per image (every score depends on the whole batch): use these
without.

Images that are leaves with a gradient are handed to D as they are, so a caller who has just scored them may answer with
those scores instead of computing them again.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["gradient_penalty", "r1", "r2"]

Discriminator = Callable[..., torch.Tensor]


def r1(discriminator: Discriminator, real: torch.Tensor, fake: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
    """1/2 E |grad D(x)|^2 on real images (Mescheder et al. 2018, equation 9; the weight is the paper's gamma)."""
    return 0.5 * _gradients(discriminator, real, *labels).square().sum(1).mean()


def r2(discriminator: Discriminator, real: torch.Tensor, fake: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
    """1/2 E |grad D(G(z))|^2 on generated images (Mescheder et al. 2018, equation 10). No gradient reaches G."""
    return 0.5 * _gradients(discriminator, fake, *labels).square().sum(1).mean()


def gradient_penalty(
    discriminator: Discriminator, real: torch.Tensor, fake: torch.Tensor, *labels: torch.Tensor
) -> torch.Tensor:
    """E (|grad D(x)| - 1)^2 between real and generated images (WGAN-GP, Gulrajani et al. 2017, equation 3).

    x lies uniformly on the line between a real and a generated image, by torch's global random generator.
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
    between = real.detach().lerp(fake.detach(), share)
    return (torch.linalg.vector_norm(_gradients(discriminator, between, *labels), dim=1) - 1).square().mean()


def _gradients(discriminator: Discriminator, images: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
    """The gradient of each image's score with respect to its pixels, B CHW, itself differentiable by D's parameters."""
    if not (images.requires_grad and images.is_leaf):
        images = images.detach().requires_grad_()
    logits = discriminator(images, *labels)
    # Images do not mix, so the gradient of the sum of the scores holds each score's own gradient. `torch.func.grad`
    # would refuse layers that update buffers, such as spectral norm.
    scores = logits.reshape(len(images), -1).mean(1)
    (gradients,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradients.flatten(1)
