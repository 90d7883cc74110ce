"""Augmentations that a discriminator sees its images through, real and generated ones alike; gradients pass.

Each function takes images B C H W, float32, -1 to 1, and returns such images, each changed by random numbers of its own
from torch's global generator. They can be differentiated twice, as gradient penalties need (`grid_sample` cannot: moving
and zooming is a product with two sparse matrices here). `augmented` applies them, each with a probability.

Seen so by the discriminator alone, the generator does not learn to make augmented images as long as the probability stays
below about 0.8 (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", section 2.2; the
strengths are their appendix B's; Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", for
`translate` and `cutout`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

__all__ = ["brightness", "contrast", "cutout", "mirror", "saturation", "stretch", "translate", "turn", "zoom"]

Augmentation = Callable[[torch.Tensor], torch.Tensor]


def augmented(images: torch.Tensor, functions: Sequence[Augmentation], probability: float) -> torch.Tensor:
    """B C H W through `functions`, one after the other, each of which changes a share `probability` of them."""
    if probability <= 0:
        return images
    with torch.autocast(images.device.type, enabled=False):
        images = images.float()
        for function in functions:
            chosen = torch.rand(len(images), device=images.device) < probability
            images = torch.where(_each(chosen), function(images), images)
    return images


def mirror(images: torch.Tensor) -> torch.Tensor:
    """Left to right, half of them."""
    return torch.where(_each(_uniform(images) < 0.5), images.flip(3), images)


def turn(images: torch.Tensor) -> torch.Tensor:
    """By 0, 1, 2 or 3 quarter turns; those that are not square by 0 or 2."""
    turns = (_uniform(images) * 4).long()
    if images.shape[2] != images.shape[3]:
        turns = turns // 2 * 2
    for count in (1, 2, 3):
        if images.shape[2] == images.shape[3] or count == 2:
            images = torch.where(_each(turns == count), images.rot90(count, (2, 3)), images)
    return images


def translate(images: torch.Tensor) -> torch.Tensor:
    """By up to an eighth of each side, fractions of pixels too; mirrored at the borders."""
    rows, columns = ((2 * _uniform(images) - 1) * side / 8 for side in images.shape[2:])
    one = torch.ones_like(rows)
    return _resampled(images, one, one, rows, columns)


def zoom(images: torch.Tensor) -> torch.Tensor:
    """About the middle by 2^n, n normal with deviation 0.2."""
    factor = torch.exp2(0.2 * _normal(images))
    return _resampled(images, factor, factor)


def stretch(images: torch.Tensor) -> torch.Tensor:
    """Wider by 2^n and lower by as much, n normal with deviation 0.2."""
    factor = torch.exp2(0.2 * _normal(images))
    return _resampled(images, 1 / factor, factor)


def brightness(images: torch.Tensor) -> torch.Tensor:
    """Plus a normal number with deviation 0.2."""
    return images + _each(0.2 * _normal(images))


def contrast(images: torch.Tensor) -> torch.Tensor:
    """Times 2^n, n normal with deviation 0.5."""
    return images * _each(torch.exp2(0.5 * _normal(images)))


def saturation(images: torch.Tensor) -> torch.Tensor:
    """Distance of the first three channels from their mean times 2^n, n normal with deviation 1; grey stays as it is."""
    if images.shape[1] < 3:
        return images
    colours, rest = images[:, :3], images[:, 3:]
    mean = colours.mean(1, keepdim=True)
    return torch.cat([mean + (colours - mean) * _each(torch.exp2(_normal(images))), rest], 1)


def cutout(images: torch.Tensor) -> torch.Tensor:
    """A box of half the height and width, its middle anywhere, becomes 0."""
    inside = []
    for side in images.shape[2:]:
        distance = torch.arange(side, device=images.device) + 0.5 - _uniform(images)[:, None] * side
        inside.append(distance.abs() < side / 4)
    return torch.where((inside[0][:, :, None] & inside[1][:, None, :])[:, None], torch.zeros_like(images), images)


def _resampled(
    images: torch.Tensor,
    height: torch.Tensor,
    width: torch.Tensor,
    down: torch.Tensor | None = None,
    right: torch.Tensor | None = None,
) -> torch.Tensor:
    """Enlarged about the middle by `height` and `width`, then moved `down` and `right` by pixels (each B); bilinear."""
    rows, columns = _interpolation(images.shape[2], height, down), _interpolation(images.shape[3], width, right)
    return torch.einsum("bij,bcjk,blk->bcil", rows, images, columns)


def _interpolation(side: int, factor: torch.Tensor, shift: torch.Tensor | None) -> torch.Tensor:
    """Weights B side side: what each old pixel of a line gives to each new one; beyond its ends the line is mirrored."""
    place = torch.arange(side, device=factor.device, dtype=factor.dtype) - (side - 1) / 2
    if shift is not None:
        place = place - shift[:, None]
    place = place / factor[:, None] + (side - 1) / 2
    # Mirrored about the middle of the first and the last pixel, as often as needed.
    period = max(1, 2 * (side - 1))
    place = (side - 1) - ((place % period) - (side - 1)).abs()
    return (1 - (place[:, :, None] - torch.arange(side, device=factor.device)).abs()).clamp(min=0)


def _uniform(images: torch.Tensor) -> torch.Tensor:
    return torch.rand(len(images), device=images.device)


def _normal(images: torch.Tensor) -> torch.Tensor:
    return torch.randn(len(images), device=images.device)


def _each(values: torch.Tensor) -> torch.Tensor:
    """One value for each image, to be broadcast over its pixels."""
    return values[:, None, None, None]
