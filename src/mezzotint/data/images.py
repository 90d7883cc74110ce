"""Decoded training images: the whole set as uint8, end to end in one buffer, in memory when it fits and else on disk."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from mezzotint.data.sources import Source, open_source
from mezzotint.errors import InputError, LimitError, TooSmallError

# More broken files than this are a broken data set, not a few accidents.
_TOLERATED = 0.05
_LOOKED_AT = 64


class ImageSet:
    """Images H W C uint8 of any sizes, one after the other in `buffer`, which is a memory-mapped file when spilled."""

    def __init__(self, limit_bytes: int | None = None) -> None:
        """`limit_bytes`: what may be held in memory, by default half of what is free."""
        self.limit_bytes = _free_memory() // 2 if limit_bytes is None else limit_bytes
        self.buffer: np.ndarray = np.empty(0, np.uint8)
        self.starts: list[int] = []
        self.shapes: list[tuple[int, int, int]] = []
        self.names: list[str] = []
        self.labels: list[int] = []
        self.classes: list[str] = []
        self.twins: ImageSet | None = None  # the same images at low resolution, where the data brings them (`pairs.py`)
        self.skipped: list[str] = []  # one line for each file left out: its name and why
        self._used = 0

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> np.ndarray:
        """Image `index`, a view H W C."""
        start, shape = self.starts[index], self.shapes[index]
        return self.buffer[start : start + int(np.prod(shape))].reshape(shape)

    @property
    def pixels(self) -> np.ndarray:
        """The bytes of all images, end to end."""
        return self.buffer[: self._used]

    def layout(self) -> np.ndarray:
        """For each image its first byte in `pixels`, height, width and channels: N 4 int64."""
        return np.column_stack([np.array(self.starts, np.int64), np.array(self.shapes, np.int64).reshape(-1, 3)])

    def split(self, count: int) -> tuple[ImageSet, ImageSet]:
        """The set without `count` images spread evenly over it, and these; both share the buffer."""
        chosen = set(np.linspace(0, len(self) - 1, count).astype(int).tolist())
        return self._subset([i for i in range(len(self)) if i not in chosen]), self._subset(sorted(chosen))

    def fingerprint(self) -> str:
        """A hash, in hexadecimal, of which images there are: their names and sizes, in order."""
        return hashlib.sha256(json.dumps([self.names, self.shapes]).encode()).hexdigest()

    def brightness(self) -> list[int]:
        """The mean value of each of at most 64 images spread evenly over the set. Tells apart sets of the same
        names and sizes, which those of all IDX files like MNIST's are, and hardly depends on who decoded them.
        """
        return [round(float(self[index].mean())) for index in spread(len(self), _LOOKED_AT)]

    def _subset(self, indices: list[int]) -> ImageSet:
        subset = ImageSet(self.limit_bytes)
        subset.buffer, subset._used, subset.skipped, subset.classes = (
            self.buffer,
            self._used,
            self.skipped,
            self.classes,
        )
        for name in ("starts", "shapes", "names", "labels"):
            setattr(subset, name, [getattr(self, name)[index] for index in indices])
        subset.twins = self.twins._subset(indices) if self.twins else None
        return subset

    def append(self, image: np.ndarray, name: str, label: int = 0) -> None:
        """Add an image H W C uint8."""
        end = self._used + image.size
        if end > len(self.buffer):
            self._grow(max(end, 2 * len(self.buffer), 1 << 24))
        self.buffer[self._used : end] = image.reshape(-1)
        self.starts.append(self._used)
        self.shapes.append((image.shape[0], image.shape[1], image.shape[2]))
        self.names.append(name)
        self.labels.append(label)
        self._used = end

    def _grow(self, size: int) -> None:
        if size <= self.limit_bytes:
            larger: np.ndarray = np.empty(size, np.uint8)
        else:
            # The file has no name: it vanishes with the process, however that ends.
            try:
                with tempfile.TemporaryFile() as file:
                    _reserve(file.fileno(), size)
                    larger = np.memmap(file, np.uint8, "r+", shape=(size,))
            except OSError as error:
                raise LimitError(
                    f"{size:,} bytes of images fit neither into memory nor into {tempfile.gettempdir()} "
                    f"({error.strerror or error}); set TMPDIR to a larger disk"
                ) from error
        larger[: self._used] = self.buffer[: self._used]
        self.buffer = larger


def _reserve(descriptor: int, size: int) -> None:
    """Make a file `size` bytes long. Where the system can, the disk space is taken now: a mapped file that runs out of it
    later kills the process without a word.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def load_images(
    paths: Sequence[str | Path],
    *,
    channels: int = 3,
    prepare: Callable[[np.ndarray], np.ndarray] = lambda image: image,
    least: int = 1,
    limit_bytes: int | None = None,
    workers: int | None = None,
    most: int | None = None,
) -> ImageSet:
    """Decode every image of folders, zips and IDX files; the order is the sources' own, whatever the number of workers.

    Of 2 or 4 `channels` the last is opacity, and the colours are as they look on white. `prepare` may crop or resize each
    H W C image. Those with a side below `least` pixels and broken ones are named in `skipped`. There are labels if all
    sources have the same classes. `limit_bytes` as for `ImageSet`. `most`: decode only so many of each source, spread evenly
    over it. Raises `InputError` when nothing usable is left or more than 5 % are broken (`TooSmallError` when all are too
    small), and `LimitError` when the disk is too small for the rest.
    """
    images = ImageSet(limit_bytes)
    sources, too_small = [open_source(path) for path in paths], 0
    # Folders may be sorted for other reasons than classes: labels count where all sources mean the same by them.
    labelled = all(source.labels is not None and source.classes == sources[0].classes for source in sources)
    images.classes = sources[0].classes if labelled else []
    for source in sources:
        labels = source.labels if labelled else None

        def load(index: int, source: Source = source) -> np.ndarray | InputError:
            try:
                image = prepare(with_channels(source.image(index, opacity=channels in (2, 4)), channels))
                check_sides(source.names[index], image, least)
            except InputError as error:
                return error
            return image

        # Decoders release the interpreter lock, so threads suffice; in batches, so that memory stays bounded.
        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            indices = iter(spread(len(source), most))
            while block := list(islice(indices, 64)):
                for index, image in zip(block, pool.map(load, block), strict=True):
                    name = source.names[index]
                    if isinstance(image, np.ndarray):
                        images.append(image, name, labels[index] if labels is not None else 0)
                        continue
                    too_small += isinstance(image, TooSmallError)
                    images.skipped.append(str(image))
    check_usable(images, too_small, paths)
    return images


def check_usable(images: ImageSet, too_small: int, paths: Iterable[str | Path]) -> None:
    """Raises `InputError` when `images` is empty or more than 5 % were left out, not counting those that are too small;
    `TooSmallError` when nothing else is wrong with them.
    """
    total = len(images.skipped) + len(images)
    if not len(images) or len(images.skipped) - too_small > _TOLERATED * total + 1:
        kind = TooSmallError if 0 < too_small == len(images.skipped) else InputError
        raise kind(
            f"{len(images.skipped)} of {total} images in {_listed(paths)} are unusable, first: {images.skipped[0]}"
        )


def check_sides(name: str, image: np.ndarray, least: int) -> None:
    """Raises `TooSmallError` when a side of `image` H W C is below `least` pixels."""
    height, width = image.shape[:2]
    if min(height, width) < least:
        raise TooSmallError(f"{name} is too small: {width} x {height}, needs {least} x {least}")


def spread(count: int, most: int | None) -> Iterable[int]:
    """At most `most` of the numbers below `count`, spread evenly over them."""
    if most is None or most >= count:
        return range(count)
    return [int(index) for index in np.linspace(0, count - 1, most)]


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """H W C uint8 -> the same image with so many channels, of which opacity, the last of 2 or 4, is all there if unknown."""
    if image.shape[2] == channels:
        return image
    if image.shape[2] in (2, 4) or channels in (2, 4):
        given, opacity = (image, None) if image.shape[2] in (1, 3) else (image[..., :-1], image[..., -1:])
        colours = with_channels(given, 3 if channels > 2 else 1)
        if channels in (1, 3):
            return colours
        return np.concatenate([colours, np.full_like(colours[..., :1], 255) if opacity is None else opacity], axis=2)
    if channels == 3:
        return image.repeat(3, axis=2)
    # BT.601 weights, as `convert("L")` in every imaging library.
    return np.rint(image @ np.array([0.299, 0.587, 0.114]))[..., None].astype(np.uint8)


def _listed(paths: Iterable[str | Path]) -> str:
    return ", ".join(str(path) for path in paths)


def _free_memory() -> int:
    """Bytes of memory that are free now, or 4 GiB where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 4 << 30
