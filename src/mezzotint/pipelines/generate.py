"""Generation: a seed in, images out.

Image i depends on (seed, i, class) only: its noise comes from a counter-based generator keyed by seed and i, and the
network always runs on full batches of one size, so that not even the choice of another kernel for few images changes
a bit.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from mezzotint import __version__, runtimes
from mezzotint.card import GENERATION, Card
from mezzotint.errors import LimitError, QualityError, UsageError
from mezzotint.image.alpha import off_white

if TYPE_CHECKING:
    from PIL import Image

BATCH = 16
ALL = "all"
# Where an image may have any size: a layer of 64 channels is 1 GiB then.
_MOST_PIXELS = 1 << 22
# Noise is so rarely smaller than this that drawing it would take seconds.
_LEAST_TRUNCATION = 0.01
# No noise is larger; what is far beyond does not fit into its float32.
_MOST_TRUNCATION = 1e30


class Generator:
    """Makes images with a loaded model; what the model is stands on its `card`."""

    def __init__(self, model: runtimes.Model) -> None:
        if model.card.task != GENERATION:
            raise UsageError(f"{model.card.name} is a {model.card.task} model and cannot generate")
        self.model = model

    @property
    def card(self) -> Card:
        """The model's card."""
        return self.model.card

    @overload
    def __call__(
        self,
        n: int = 16,
        seed: int = 0,
        label: int | str | None = None,
        truncation: float | None = None,
        size: tuple[int, int] | None = None,
    ) -> list[Image.Image]: ...

    @overload
    def __call__(self, n: np.ndarray, *labels: np.ndarray) -> np.ndarray: ...

    def __call__(self, n: Any = 16, *arguments: Any, **options: Any) -> Any:
        """`n` images as Pillow images; arguments as `batches`.

        With arrays in place of n, the network alone: z B latent_dim and, for a conditional one, labels B -> B C H W
        float32, nominally -1 to 1.
        """
        if isinstance(n, np.ndarray):
            return self.model(n.astype(np.float32), *(np.asarray(labels, np.int64) for labels in arguments))
        from PIL import Image

        images = self.arrays(n, *arguments, **options)
        return [Image.fromarray(image[..., 0] if image.shape[2] == 1 else image) for image in images]

    def arrays(
        self,
        n: int = 16,
        seed: int = 0,
        label: int | str | None = None,
        truncation: float | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """`n` images as one array N H W C uint8. Arguments and errors as `batches`."""
        return np.concatenate(list(self.batches(n, seed, label, truncation, size)))

    def batches(
        self,
        n: int = 16,
        seed: int = 0,
        label: int | str | None = None,
        truncation: float | None = None,
        size: tuple[int, int] | None = None,
    ) -> Iterator[np.ndarray]:
        """`n` images in their order, at most 16 at a time, each an array B H W C uint8.

        `label` is the number or the name of a class; "all", which is also what None means to a conditional model, goes
        through the classes in turn. `truncation` draws noise beyond it anew (Brock et al. 2019, section 3.1): the
        smaller, the more typical and the more alike the images. `size`: height and width, which a network that turns an
        image of noise into an image may choose. Raises `UsageError`, `LimitError` for a size beyond 4 megapixels, or
        `QualityError` for images that are not finite.
        """
        labels = self.labels(n, label)
        check_noise(seed, truncation)
        return self._batches(labels, seed, truncation, self.latent_shape(size))

    def latent_shape(self, size: tuple[int, int] | None = None) -> tuple[int, ...]:
        """The shape of one z that gives images of `size`. Raises `UsageError`, `LimitError`."""
        shape = self.card.latent_shape
        if size is None or size == self.card.size:
            return shape
        if len(shape) != 3:
            raise UsageError(
                f"{self.card.name} makes images of one size; only networks that turn an image of noise into an image, such "
                "as article's, choose it; --upscale enlarges any"
            )
        if min(size) < 1:
            raise UsageError(f"images have at least 1x1 pixels, not {size[1]}x{size[0]}")
        if math.prod(size) > _MOST_PIXELS:
            raise LimitError(f"images of {size[1]}x{size[0]} are beyond the limit of {_MOST_PIXELS:,} pixels")
        return shape[0], *size

    def render(self, z: np.ndarray, labels: np.ndarray, what: str = "the noise given") -> np.ndarray:
        """The images of at most `at_once` z, B latent_dim float32, of the classes `labels` B int64: B H W C uint8.

        Of 2 or 4 channels the last is opacity. Networks make colours as they look on white; here they are by themselves,
        as files have them. `labels` as `labels()` gives them. The network still runs on a full batch. Raises
        `QualityError`, with `what` in its message, for images that are not finite.
        """
        count = self.at_once(z.shape[1:])
        full = np.zeros((count, *z.shape[1:]), np.float32)
        full[: len(z)] = z
        inputs = (full, np.resize(labels, count)) if self.card.labels else (full,)
        images = self.model(*inputs)[: len(z)]
        if not np.isfinite(images).all():
            raise QualityError(f"{self.card.name} gave values that are not finite ({what})")
        # -1..1 -> 0..255, rounded half up; clipped first, for values near the largest would overflow.
        pixels = np.floor(np.clip(images, -1, 1) * 127.5 + 128).astype(np.uint8)
        pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        if pixels.shape[3] in (2, 4):
            pixels[..., :-1] = off_white(pixels[..., :-1], pixels[..., -1:])
        return pixels

    def rendered(self, z: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
        """The images of any number of z, N latent_dim, at most 16 at a time. Arguments and errors as `render`."""
        for start in range(0, len(z), BATCH):
            yield self.render(z[start : start + BATCH], labels[start : start + BATCH], f"from latent {start}")

    def at_once(self, shape: tuple[int, ...]) -> int:
        """How many images of z of one shape make a batch: 16, or as many larger ones as have the pixels of 16."""
        return max(1, min(BATCH, BATCH * math.prod(self.card.latent_shape) // math.prod(shape)))

    def labels(self, n: int, label: int | str | None = None) -> np.ndarray:
        """The class of each of `n` images, N int64; -1 throughout if the model knows none. Raises `UsageError`."""
        if n < 1:
            raise UsageError(f"at least 1 image must be asked for, not {n}")
        classes = self.card.labels
        if not classes:
            if label is not None:
                raise UsageError(f"{self.card.name} knows no classes, so no label can be asked for")
            return np.full(n, -1, np.int64)
        if label is None or label == ALL:
            return np.arange(n, dtype=np.int64) % len(classes)
        return np.full(n, self._class(label), np.int64)

    def facts(self, seed: int | None = None) -> dict[str, str]:
        """What is written into generated files: how these images came about. `seed` is None for a z from elsewhere."""
        facts = {"Software": f"mezzotint {__version__}", "Model": self.card.name}
        if self.card.weights_sha256:
            facts["Weights"] = f"sha256:{self.card.weights_sha256}"
        return facts if seed is None else {**facts, "Seed": str(seed)}

    def _class(self, label: int | str) -> int:
        """A class by its name, in any case, or by its number."""
        classes = self.card.labels
        names = [name.lower() for name in classes]
        if isinstance(label, str) and label.lower() in names:
            return names.index(label.lower())
        if not isinstance(label, str) or label.isdecimal():
            if 0 <= int(label) < len(classes):
                return int(label)
            raise UsageError(f"{self.card.name} has classes 0 to {len(classes) - 1}, not {label}")
        close = difflib.get_close_matches(label.lower(), names, 1)
        hint = f"did you mean '{classes[names.index(close[0])]}'?" if close else f"it has {', '.join(classes)}"
        raise UsageError(f"{self.card.name} has no class '{label}'; {hint}")

    def _batches(
        self, labels: np.ndarray, seed: int, truncation: float | None, shape: tuple[int, ...]
    ) -> Iterator[np.ndarray]:
        count = self.at_once(shape)
        for start in range(0, len(labels), count):
            wanted = labels[start : start + count]
            numbers = range(start, start + len(wanted))
            z = np.stack([noise(seed, number, shape, truncation) for number in numbers])
            yield self.render(z, wanted, f"seed {seed}, from image {start}")


def generate(
    model: str | Path = "fashion-28",
    n: int = 16,
    seed: int = 0,
    label: int | str | None = None,
    truncation: float | None = None,
    size: tuple[int, int] | None = None,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> list[Image.Image]:
    """`n` images by a model's name, run folder or file; the same seed gives the same images, whatever n.

    Arguments and errors as `Generator.batches` and `mezzotint.runtimes.load`. To generate often, load once:
    `mezzotint.load(model)`.
    """
    return Generator(runtimes.load(model, runtime, precision, threads))(n, seed, label, truncation, size)


def check_noise(seed: int, truncation: float | None) -> None:
    """Refuse a seed or a truncation that `noise` cannot work with. Raises `UsageError`."""
    if not 0 <= seed < 2**64:
        raise UsageError(f"a seed lies between 0 and 2^64 - 1, not {seed}")
    if truncation is not None and not truncation >= _LEAST_TRUNCATION:
        raise UsageError(f"truncation must be at least {_LEAST_TRUNCATION}, not {truncation}")


def noise(seed: int, index: int, shape: tuple[int, ...], truncation: float | None = None) -> np.ndarray:
    """The z of image `index` of a seed: standard normal float32 of `shape`, no value beyond `truncation`."""
    random = np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64)))
    z = random.standard_normal(shape, np.float32)
    if truncation is not None:
        truncation = min(truncation, _MOST_TRUNCATION)
        while (beyond := np.abs(z) > truncation).any():
            z[beyond] = random.standard_normal(int(beyond.sum()), np.float32)
    return z
