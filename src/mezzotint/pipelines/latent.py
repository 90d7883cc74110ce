"""Walks through the latent space of a generator: what lies between the images that a seed gives.

A walk leads from image to image of one seed. At those images it shows the very bytes that `generate` gives for them;
between them the noise is interpolated on the sphere, after White 2016, "Sampling Generative Networks", section 2.1.

Classes are not interpolated: an exported network takes the number of a class, so there is nothing between two of them.
Where the class changes along a walk, the picture is a cross-dissolve: a mean, pixel by pixel, of what the same noise
gives in either class. `every_class` shows the same walk in each class instead, side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from mezzotint.errors import UsageError
from mezzotint.pipelines.generate import ALL, BATCH, Generator, check_noise, noise

# Within about 0.06 degrees of one line, the division by the sine below would lose most digits.
_SMALLEST_SINE = 1e-3


def slerp(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    """The latent `t` of the way (0 to 1) from `start` to `end` along the arc between them; any shape, float32.

    A standard normal vector of n values is about sqrt(n) long, hardly ever much shorter. The straight line between two
    of them, which are nearly at right angles, is only 0.71 of that long in its middle: noise that the generator never
    saw in training, and dull, average pictures come of it. On the arc the length stays, and every value keeps its
    variance. Exact at both ends. Latents on one line through the origin span no arc and are joined by a straight line.
    """
    a, b = start.astype(np.float64), end.astype(np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    cosine = float(np.clip((a * b).sum() / lengths, -1, 1)) if lengths else 1.0
    angle = np.arccos(cosine)
    if np.sin(angle) < _SMALLEST_SINE:
        return ((1 - t) * a + t * b).astype(np.float32)
    return ((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)).astype(np.float32)


def frames(numbers: Sequence[int], steps: int, loop: bool = False) -> int:
    """How many frames `interpolate` gives. Raises `UsageError` for arguments that make no walk."""
    if not numbers:
        raise UsageError("a walk needs at least one image to start from")
    if any(not 0 <= number < 2**64 for number in numbers):
        raise UsageError(f"images of a seed are numbered from 0, not {min(numbers)}")
    if steps < 1:
        raise UsageError(f"a walk takes at least 1 step from image to image, not {steps}")
    return steps * len(numbers) if loop else steps * (len(numbers) - 1) + 1


def interpolate(
    generator: Generator,
    seed: int = 0,
    numbers: Sequence[int] = (0, 1),
    steps: int = 16,
    label: int | str | Sequence[int | str] | None = None,
    *,
    truncation: float | None = None,
    loop: bool = False,
    latents: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """The frames of a walk through the images `numbers` of a seed, at most 16 at a time: B H W C uint8.

    Each of the images is followed by `steps` - 1 frames on the way to the next; with `loop` the last leads back to the
    first, which is not repeated. `label` is a class for the whole walk, or one for each of the images (several classes
    and one number, given again and again, hold the noise still); None means what it means to `generate`, classes in
    turn by the images' numbers. Between two classes frames are cross-dissolves. `truncation` as in
    `Generator.batches`; between two images the noise may exceed it, as 1.41 times where the two are at right angles.
    `latents`, N latent_dim: the images are those of these z, counted from 0, in place of a seed's.
    Raises `UsageError`, or `QualityError` for images that are not finite.
    """
    count = frames(numbers, steps, loop)
    check_noise(seed, truncation)
    if latents is not None and max(numbers) >= len(latents):
        raise UsageError(f"there are {len(latents)} latents, numbered from 0; none has the number {max(numbers)}")
    if latents is None:
        path = [noise(seed, number, generator.card.latent_shape, truncation) for number in numbers]
    else:
        path = [latents[number] for number in numbers]
    what = f"seed {seed}" if latents is None else "given latents"
    return _frames(generator, path, steps, _classes(generator, numbers, label), count, what)


def every_class(
    generator: Generator,
    seed: int = 0,
    numbers: Sequence[int] = (0, 1),
    steps: int = 16,
    *,
    truncation: float | None = None,
    loop: bool = False,
    latents: np.ndarray | None = None,
) -> np.ndarray:
    """The same walk in every class of a conditional generator: L F H W C uint8, L classes of F frames each.

    With `steps` = 1 this is a table of what the classes make of the same noise. Arguments and errors as `interpolate`.
    """
    if not generator.card.labels:
        raise UsageError(f"{generator.card.name} knows no classes to go through")
    labels = range(len(generator.card.labels))
    walk = partial(interpolate, generator, seed, numbers, steps, truncation=truncation, loop=loop, latents=latents)
    return np.stack([np.concatenate(list(walk(label))) for label in labels])


def _classes(generator: Generator, numbers: Sequence[int], label: int | str | Sequence[int | str] | None) -> list[int]:
    """The class of each image of a walk, -1 for a generator that knows none."""
    if label is None or label == ALL:
        in_turn = generator.labels(max(1, len(generator.card.labels)), label)
        return [int(in_turn[number % len(in_turn)]) for number in numbers]
    if isinstance(label, int | str):
        label = [label] * len(numbers)
    if len(label) != len(numbers):
        raise UsageError(f"{len(label)} classes do not fit {len(numbers)} images; name one, or one for each image")
    return [int(generator.labels(1, one)[0]) for one in label]


def _frames(
    generator: Generator, latents: list[np.ndarray], steps: int, classes: list[int], count: int, source: str
) -> Iterator[np.ndarray]:
    for first in range(0, count, BATCH):
        places = range(first, min(first + BATCH, count))
        legs = [(place // steps, (place // steps + 1) % len(latents)) for place in places]
        shares = [place % steps / steps for place in places]
        z = np.stack([slerp(latents[i], latents[j], t) for (i, j), t in zip(legs, shares, strict=True)])
        here, there = (np.array([classes[leg[end]] for leg in legs], np.int64) for end in (0, 1))
        what = f"{source}, from frame {first} of a walk"
        images = generator.render(z, here, what)
        if (here != there).any():
            share = np.array(shares, np.float32)[:, None, None, None]
            mixed = (1 - share) * images + share * generator.render(z, there, what)
            images = np.floor(mixed + 0.5).astype(np.uint8)
        yield images
