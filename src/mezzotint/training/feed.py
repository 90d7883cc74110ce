"""From a recipe to what it trains on: images, how they are degraded, batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mezzotint.card import GENERATION
from mezzotint.data.augment import Mixed
from mezzotint.data.batches import CPU, Degradation, DegradedPairs, Images, PatchPairs
from mezzotint.data.crops import Crops
from mezzotint.data.images import ImageSet, load_images
from mezzotint.data.pairs import bring_pairs, load_pairs
from mezzotint.data.prepare import fit_size
from mezzotint.errors import InputError, TooSmallError, UsageError
from mezzotint.recipes.model import Recipe
from mezzotint.refs import resolve


def scale_of(recipe: Recipe) -> int:
    """Output side / input side of a super-resolution recipe."""
    scale: int = recipe.generator.arguments.get("scale", 4)
    return scale


def load(recipe: Recipe, paths: Sequence[str | Path], most: int | None = None) -> ImageSet:
    """The images that a recipe trains on, prepared for it; with `twins` if the data has the sub-folders `HR` and `LR`.

    Arguments and errors as `load_images`, and `UsageError` for a recipe that degrades data which is low-resolution already.
    """
    data = recipe.data
    if recipe.task == GENERATION:
        assert data.size is not None
        if data.crop:
            return load_images(paths, channels=data.channels, least=max(data.size), most=most)
        return load_images(paths, channels=data.channels, prepare=fit_size(data.size), most=most)
    first, largest = recipe.patches()[0][0], max(patch for patch, _ in recipe.patches())
    try:
        return _load(recipe, paths, largest * scale_of(recipe), most)
    except TooSmallError as error:
        remedy = f"a smaller data.patch than {first}"
        if largest > first:
            remedy = f"phases=[] to stay at data.patch, {first}, where phases of the recipe go up to {largest}"
        raise InputError(f"{error}; give larger pictures, or set {remedy}") from error


def held_out(recipe: Recipe, path: str | Path) -> ImageSet:
    """The images of a super-resolution recipe's validation, as `load`."""
    return _load(recipe, [path], 16 * scale_of(recipe))


def _load(recipe: Recipe, paths: Sequence[str | Path], least: int, most: int | None = None) -> ImageSet:
    if not bring_pairs(paths):
        if "cutblur" in recipe.data.mix and recipe.degradation is None:
            raise UsageError(
                "data.mix: cutblur changes nothing where LR is MATLAB's bicubic of HR; it is for recipes with a "
                "[degradation] and for data that brings LR"
            )
        return load_images(paths, channels=recipe.data.channels, least=least, most=most)
    if recipe.degradation is not None:
        raise UsageError(
            f"{paths[0]} brings its own low-resolution images (LR) and the recipe has a [degradation] to make others: give "
            "the folder HR alone, or a recipe without"
        )
    return load_pairs(paths, scale_of(recipe), channels=recipe.data.channels, least=least, most=most)


def degradation(recipe: Recipe) -> Degradation | None:
    """What makes low-resolution images of high-resolution ones; None is MATLAB's bicubic. Raises `UsageError`."""
    if recipe.degradation is None:
        return None
    degrade: Degradation = resolve(recipe.degradation.name, "data")(**recipe.degradation.arguments)
    return degrade


def kept_apart(recipe: Recipe, images: ImageSet) -> tuple[ImageSet, ImageSet | None]:
    """What a generation recipe trains on, and the share of `images` that it holds out, if it does."""
    if not recipe.data.held_out:
        return images, None
    count = max(1, round(recipe.data.held_out * len(images)))
    if count >= len(images):
        raise InputError(f"{len(images)} images are too few to hold out {recipe.data.held_out:.0%} of them")
    return images.split(count)


def batches(
    recipe: Recipe, images: ImageSet, device: torch.device = CPU, share: tuple[int, int] = (0, 1)
) -> Sequence[PatchPairs | DegradedPairs | Images | Crops | Mixed]:
    """Endless batches of `images` by the recipe, for each of its phases, made on `device` as far as they can be; of each the
    share of one process, (rank, ranks). Generation keeps a share of them as held-out images.
    """
    data = recipe.data
    if recipe.task == GENERATION:
        images, kept = kept_apart(recipe, images)
        if data.crop:
            assert data.size is not None
            return [Crops(images, data.size, data.batch, recipe.seed, data.augment, device, share, kept)]
        return [Images(images, data.batch, recipe.seed, data.augment, device, share, kept)]
    made = (0, 1) if data.mix else share
    degrade, scale = degradation(recipe), scale_of(recipe)
    (patch, batch), *later = recipe.patches()
    first: PatchPairs | DegradedPairs
    if degrade is None:
        first = PatchPairs(images, scale, patch, batch, recipe.seed, data.augment, device, made)
    else:
        first = DegradedPairs(images, scale, patch, batch, recipe.seed, degrade, data.augment, device, data.reuse, made)
    each = [first, *(first.resized(*sizes) for sizes in later)]
    return [Mixed(pairs, data.mix, recipe.seed, share) for pairs in each] if data.mix else each
