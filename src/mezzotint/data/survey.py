"""What a set of pictures is like: how many, how large, grey or not, how alike, which classes. A look at names and a few
pictures, not at all of them, so it takes about a second, or a few with large PNGs, whatever the set.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image, ImageOps

from mezzotint.data.images import spread, with_channels
from mezzotint.data.sources import Source, open_source
from mezzotint.errors import InputError
from mezzotint.image.formats import FORMATS

# Pictures that are looked at, and the side of what is left of them to be compared.
_LOOKS, _THUMBNAIL = 64, 16
# Largest difference between the channels of a grey pixel that was stored as JPEG in colour, 0 to 255.
_TINT = 8
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: the values that swap height and width


@dataclass(frozen=True)
class Survey:
    """Facts of a set of pictures. Sizes are height, width in pixels, as the pictures are shown."""

    count: int
    sizes: tuple[tuple[int, int], ...]  # of the pictures that were looked at
    grey: bool
    classes: tuple[tuple[str, int], ...] = ()  # name and number of pictures; empty without labels
    # The share of the pictures' variance that their mean explains: 0.3 and more of things that are cut out and centred, 0.07
    # of clothes before all sorts of walls, 0.03 and less of photographs of anything.
    likeness: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """The median height and the median width."""
        heights, widths = zip(*self.sizes, strict=True)
        return round(median(heights)), round(median(widths))

    @property
    def uniform(self) -> bool:
        """Whether all pictures that were looked at have one size."""
        return len(set(self.sizes)) == 1

    @property
    def aspect(self) -> float:
        """The width / height that crops little of most pictures; 1 where wide and tall ones are mixed."""
        aspects = sorted(width / height for height, width in self.sizes)
        few = len(aspects) // 8
        low, middle, high = aspects[few], median(aspects), aspects[len(aspects) - 1 - few]
        return 1.0 if low < 0.95 < 1.05 < high else middle


def survey(paths: Sequence[str | Path]) -> Survey:
    """Look at folders, zips and IDX files. Raises `InputError` for what is missing or holds no readable picture."""
    sources = [open_source(path) for path in paths]
    looks: list[_Look] = []
    first_error = ""
    for source in sources:

        def look(index: int, source: Source = source) -> _Look | str:
            return _look(source, index)

        with ThreadPoolExecutor() as pool:
            for found in pool.map(look, spread(len(source), max(1, _LOOKS // len(sources)))):
                if isinstance(found, str):
                    first_error = first_error or found
                else:
                    looks.append(found)
    if not looks:
        raise InputError(f"no picture that was tried can be read, first: {first_error}")
    classes: list[tuple[str, int]] = []
    # As `load_images` has it: labels count where all sources mean the same by them.
    if all(source.labels is not None and source.classes == sources[0].classes for source in sources):
        numbers = np.bincount(np.concatenate([source.labels or [] for source in sources]).astype(int))
        classes = [(name, int(number)) for name, number in zip(sources[0].classes, numbers, strict=False)]
    return Survey(
        sum(map(len, sources)), tuple(look.size for look in looks), all(look.grey for look in looks), tuple(classes),
        _likeness(np.stack([look.thumbnail for look in looks])),
    )  # fmt: skip


@dataclass(frozen=True)
class _Look:
    size: tuple[int, int]
    grey: bool
    thumbnail: np.ndarray  # of the middle, H W 3


def _look(source: Source, index: int) -> _Look | str:
    """One picture, or why it cannot be read."""
    try:
        # By our own formats alone, and of JPEG only an eighth of the pixels.
        with Image.open(io.BytesIO(source.read(index)), formats=[found.upper() for found in FORMATS]) as image:
            width, height = image.size
            if turned := image.getexif().get(_ORIENTATION) in _TURNED:
                width, height = height, width
            image.draft("RGB", (64, 64))
            thumbnail = _thumbnail(image)
            return _Look((height, width), _is_grey(image), thumbnail.swapaxes(0, 1) if turned else thumbnail)
    except Exception:  # decoders answer damage with dozens of types; ours, which knows more formats, has the last word
        try:
            pixels = source.image(index)
        except InputError as error:
            return str(error)
        thumbnail = _thumbnail(Image.fromarray(with_channels(pixels, 3)))
        return _Look((pixels.shape[0], pixels.shape[1]), pixels.shape[2] == 1, thumbnail)


def _thumbnail(image: Image.Image) -> np.ndarray:
    return np.asarray(ImageOps.fit(image.convert("RGB"), (_THUMBNAIL, _THUMBNAIL)), np.float32)


def _likeness(thumbnails: np.ndarray) -> float:
    """`Survey.likeness` of N H W 3; the mean of few pictures explains them by chance, too, which is left out."""
    if len(thumbnails) < 2 or not (total := float((thumbnails - thumbnails.mean()).var())):
        return 1.0
    return max(0.0, 1 - float(thumbnails.var(axis=0, ddof=1).mean()) / total)


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16"):
        return True
    pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    return bool(np.quantile(pixels.max(2) - pixels.min(2), 0.99) <= _TINT)


__all__ = ["Survey", "survey"]
