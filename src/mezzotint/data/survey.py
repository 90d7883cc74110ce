"""What a set of pictures is like: how many, how large, grey or not, which classes. A look at names and a few pictures, not
at all of them, so it takes about a second whatever the set.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from mezzotint.data.images import spread
from mezzotint.data.sources import Source, open_source
from mezzotint.errors import InputError
from mezzotint.image.formats import FORMATS

# Headers that are read, and pictures of these whose colours are looked at.
_HEADERS, _PIXELS = 64, 16
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
    sizes: list[tuple[int, int]] = []
    grey: list[bool] = []
    first_error = ""
    for source in sources:
        chosen = list(spread(len(source), max(1, _HEADERS // len(sources))))
        every = max(1, len(chosen) * len(sources) // _PIXELS)

        def look(place: int, source: Source = source, chosen: Sequence[int] = chosen, every: int = every) -> _Look:
            return _look(source, chosen[place], place % every == 0)

        with ThreadPoolExecutor() as pool:
            for size, is_grey, error in pool.map(look, range(len(chosen))):
                first_error = first_error or error
                sizes += [(size[0], size[1])] if size else []
                grey += [is_grey] if is_grey is not None else []
    if not sizes:
        raise InputError(f"no picture that was tried can be read, first: {first_error}")
    classes: list[tuple[str, int]] = []
    # As `load_images` has it: labels count where all sources mean the same by them.
    if all(source.labels is not None and source.classes == sources[0].classes for source in sources):
        numbers = np.bincount(np.concatenate([source.labels or [] for source in sources]).astype(int))
        classes = [(name, int(number)) for name, number in zip(sources[0].classes, numbers, strict=False)]
    return Survey(sum(map(len, sources)), tuple(sizes), all(grey), tuple(classes))


# Size and whether it is grey, where known, and why nothing is.
_Look = tuple[tuple[int, ...] | None, bool | None, str]


def _look(source: Source, index: int, at_pixels: bool) -> _Look:
    try:
        # By our own formats alone, and of JPEG only an eighth of the pixels.
        with Image.open(io.BytesIO(source.read(index)), formats=[found.upper() for found in FORMATS]) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION) in _TURNED:
                width, height = height, width
            return (height, width), _is_grey(image) if at_pixels else None, ""
    except Exception:  # decoders answer damage with dozens of types; ours, which knows more formats, has the last word
        try:
            pixels = source.image(index)
        except InputError as error:
            return None, None, str(error)
        return pixels.shape[:2], pixels.shape[2] == 1, ""


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16"):
        return True
    image.draft("RGB", (64, 64))
    pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    return bool(np.quantile(pixels.max(2) - pixels.min(2), 0.99) <= _TINT)


__all__ = ["Survey", "survey"]
