"""The images that a generator is compared with: those it was trained on and held-out ones, in its size and channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mezzotint.card import Card
from mezzotint.data.images import ImageSet, load_images
from mezzotint.data.prepare import fit_size
from mezzotint.errors import UsageError
from mezzotint.image.alpha import on_white

# With fewer, not even a nearest neighbour means anything.
FEWEST = 16
# How many parts of large pictures stand for the real images of a generator that learnt from such parts.
_PARTS, _AT_ONCE = 2048, 64


@dataclass(frozen=True)
class Images:
    """Pixels N H W C uint8 and class numbers N, None if unknown."""

    pixels: np.ndarray
    labels: np.ndarray | None

    def first(self, count: int) -> Images:
        """The first `count` of them."""
        return self._part(slice(count))

    def last(self, count: int) -> Images:
        """The last `count` of them."""
        return self._part(slice(len(self.pixels) - count, None))

    def _part(self, chosen: slice) -> Images:
        return Images(self.pixels[chosen], None if self.labels is None else self.labels[chosen])


def load(
    card: Card, real: str | Path, reference: str | Path | None, seed: int
) -> tuple[Images, Images, list[str], list[str]]:
    """Training and held-out images in an order that `seed` shuffles, the names of the classes, and what to mind."""
    assert card.size is not None
    sets = [prepared(card, path, seed) for path in (real, *([] if reference is None else [reference]))]
    notes = [f"{len(part.skipped)} images left out, first: {part.skipped[0]}" for part in sets if part.skipped]
    if len(sets) == 2 and sets[0].classes and sets[1].classes and sets[0].classes != sets[1].classes:
        raise UsageError(f"{reference} has other classes than {real}; both need the same folders or labels")
    labelled = all(part.classes for part in sets)
    training, *rest = (_shuffled(part, labelled, seed) for part in sets)
    if rest:
        held_out = rest[0]
    else:
        half = len(training.pixels) // 2
        training, held_out = training.first(half), training.last(half)
        notes.append("no held-out images: halves of the data were compared, so copies of the second half pass as new")
    if min(len(training.pixels), len(held_out.pixels)) < FEWEST:
        halved = "" if rest else f" (halves of {real}, for want of --reference)"
        raise UsageError(
            f"{len(training.pixels)} training and {len(held_out.pixels)} held-out images{halved} are too few; "
            f"at least {FEWEST} of each are needed"
        )
    if rest:
        known = {image.tobytes() for image in training.pixels}
        copies = sum(image.tobytes() in known for image in held_out.pixels)
        if 2 * copies > len(held_out.pixels):
            raise UsageError(
                f"{copies} of {len(held_out.pixels)} images of {reference} are also in {real}: images are held out only "
                "if the generator did not learn from them; leave --reference away to compare halves"
            )
        if 20 * copies > len(held_out.pixels):
            notes.append(f"{copies} of {len(held_out.pixels)} held-out images are also training images")
    return training, held_out, sets[0].classes if labelled else [], notes


def prepared(card: Card, path: str | Path, seed: int) -> ImageSet:
    """The images of `path` as the generator learnt them, but on white: whole, or parts at random places."""
    assert card.size is not None
    channels = 3 if card.out_channels > 2 else 1
    if not card.recipe.get("data", {}).get("crop"):
        return load_images([path], channels=channels, prepare=fit_size(card.size))
    from mezzotint.data.crops import Crops

    pictures = load_images([path], channels=channels, least=max(card.size))
    parts = ImageSet()
    parts.classes, parts.skipped = pictures.classes, pictures.skipped
    batches = Crops(pictures, card.size, _AT_ONCE, seed)
    for step in range(_PARTS // _AT_ONCE):
        batch = batches.batch(step)
        pixels = (batch["real"] * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        for number, (part, label) in enumerate(zip(pixels, batch["labels"].tolist(), strict=True)):
            parts.append(part, f"part {step * _AT_ONCE + number}", label)
    return parts


def opaque(images: np.ndarray) -> np.ndarray:
    """N H W C uint8 with C of 1 to 4 -> C of 1 or 3: what has opacity, on white, as real images are loaded."""
    return on_white(images[..., :-1], images[..., -1:]) if images.shape[3] in (2, 4) else images


def _shuffled(images: ImageSet, labelled: bool, seed: int) -> Images:
    order = np.random.default_rng(seed).permutation(len(images))
    labels = np.array(images.labels, np.int64)[order] if labelled else None
    return Images(np.stack([images[index] for index in order]), labels)


def class_numbers(labels: tuple[str, ...], classes: list[str]) -> np.ndarray | None:
    """The data's number for each of the generator's classes: by name, or in order if data give only numbers or others."""
    if len(labels) != len(classes) or not labels:
        return None
    if set(labels) == set(classes):
        return np.array([classes.index(label) for label in labels])
    return np.arange(len(classes))
