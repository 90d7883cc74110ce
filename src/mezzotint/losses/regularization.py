"""Gradient penalties on a discriminator D: how steep it may be where the images are.

Penalties have the signature `(discriminator, real, fake, *labels) -> scalar`: images B C H W and, for conditional
networks, labels B int64, which are handed on. The gradient of an image's score with respect to its pixels is summed
in square over C H W; the mean is taken over the batch. The score of an image is its logit, or the mean of its patch
logits. A discriminator with batch norm has no gradient per image (every score depends on the whole batch): use these
without.

For D itself may stand `Scored`, which has asked D for both kinds of images at once; penalties then share one gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["gradient_penalty", "r1", "r2"]  # what recipes may name

Discriminator = Callable[..., torch.Tensor]


class Scored:
    """`discriminator`, which has seen `real` and `fake` and may be asked for what it said of them, and for anything else.

    Both, B C H W, are scored in one pass, and differentiated in one when the first penalty asks: D must not mix images.
    """

    def __init__(
        self, discriminator: Discriminator, real: torch.Tensor, fake: torch.Tensor, *labels: torch.Tensor
    ) -> None:
        self.discriminator, self.real, self.fake = discriminator, real, fake
        self.images = torch.cat([real, fake]).detach().requires_grad_()
        self.logits = discriminator(self.images, *(torch.cat([part, part]) for part in labels))
        self._gradients: torch.Tensor | None = None

    def __call__(self, images: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
        return self.discriminator(images, *labels)

    def gradients(self, images: torch.Tensor) -> torch.Tensor | None:
        """Of the scores of `real` or `fake`, B CHW; None for other images."""
        if images is not self.real and images is not self.fake:
            return None
        if self._gradients is None:
            self._gradients = _differentiated(self.logits, self.images)
        return self._gradients[: len(images)] if images is self.real else self._gradients[len(self.real) :]


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
    between = real.detach().lerp(fake.detach().to(real.dtype), share)
    return (torch.linalg.vector_norm(_gradients(discriminator, between, *labels), dim=1) - 1).square().mean()


def _gradients(discriminator: Discriminator, images: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
    """The gradient of each image's score with respect to its pixels, B CHW, itself differentiable by D's parameters."""
    if isinstance(discriminator, Scored) and (known := discriminator.gradients(images)) is not None:
        return known
    images = images.detach().requires_grad_()
    return _differentiated(discriminator(images, *labels), images)


def _differentiated(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    # Images do not mix, so the gradient of the sum of the scores holds each score's own gradient. `torch.func.grad`
    # would refuse layers that update buffers, such as spectral norm.
    scores = logits.reshape(len(images), -1).mean(1)
    (gradients,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradients.flatten(1)
