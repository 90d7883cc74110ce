"""From a recipe to what it trains on: images, how they are degraded, batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mezzotint.card import GENERATION
from mezzotint.data.batches import CPU, Degradation, DegradedPairs, Images, PatchPairs
from mezzotint.data.images import ImageSet, load_images
from mezzotint.data.prepare import fit_size, large_enough
from mezzotint.recipes.model import Recipe
from mezzotint.refs import resolve


def scale_of(recipe: Recipe) -> int:
    """Output side / input side of a super-resolution recipe."""
    scale: int = recipe.generator.arguments.get("scale", 4)
    return scale


def load(recipe: Recipe, paths: Sequence[str | Path], most: int | None = None) -> ImageSet:
    """The images that a recipe trains on, prepared for it. Arguments and errors as `load_images`."""
    data = recipe.data
    if recipe.task == GENERATION:
        assert data.size is not None
        return load_images(paths, channels=data.channels, prepare=fit_size(data.size), most=most)
    largest = max(patch for patch, _ in recipe.patches())
    return load_images(paths, channels=data.channels, prepare=large_enough(largest * scale_of(recipe)), most=most)


def degradation(recipe: Recipe) -> Degradation | None:
    """What makes low-resolution images of high-resolution ones; None is MATLAB's bicubic. Raises `UsageError`."""
    if recipe.degradation is None:
        return None
    degrade: Degradation = resolve(recipe.degradation.name, "data")(**recipe.degradation.arguments)
    return degrade


def batches(
    recipe: Recipe, images: ImageSet, device: torch.device = CPU
) -> Sequence[PatchPairs | DegradedPairs | Images]:
    """Endless batches of `images` by the recipe, for each of its phases, made on `device` as far as they can be."""
    data = recipe.data
    if recipe.task == GENERATION:
        return [Images(images, data.batch, recipe.seed, data.augment, device)]
    degrade, scale = degradation(recipe), scale_of(recipe)
    (patch, batch), *later = recipe.patches()
    first: PatchPairs | DegradedPairs
    if degrade is None:
        first = PatchPairs(images, scale, patch, batch, recipe.seed, data.augment, device)
    else:
        first = DegradedPairs(images, scale, patch, batch, recipe.seed, degrade, data.augment, device)
    return [first, *(first.resized(*sizes) for sizes in later)]
