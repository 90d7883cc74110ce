"""Which low-resolution images belong to a data set: its own, shrunk MATLAB-exactly, or those that it brings along."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

from mezzotint.data.images import ImageSet, check_sides, check_usable, spread, with_channels
from mezzotint.data.sources import Source, open_source
from mezzotint.errors import InputError, TooSmallError
from mezzotint.image.resize import imresize

# Nothing that a recipe could name.
__all__: list[str] = []


@dataclass(frozen=True)
class Pair:
    """An image of a source by its index, and its low-resolution twin: None to make it, or why there is none."""

    name: str
    hr: int
    lr: int | str | None = None


def find_pairs(source: Source, scale: int) -> list[Pair]:
    """All images of `source`; or those in its folder `HR`, each with its twin in `LR`, when it has both folders.

    Twins have the same name but for the ending and marks such as `x4`, `_x4`, `_SRF_4_LR`; `LR` may hold a folder per
    scale, as DIV2K does (`X4/`). A missing twin is told when that pair is loaded: one gap does not stop the others.
    """
    sides: dict[str, dict[str, int]] = {"HR": {}, "LR": {}}
    for index, name in enumerate(source.names):
        folders = [part.upper() for part in PurePosixPath(name).parts[:-1]]
        for side, members in sides.items():
            if side in folders:
                members[name] = index
                break
    if not sides["HR"] or not sides["LR"]:
        return [Pair(name, index) for index, name in enumerate(source.names)]
    # An exact name wins over one that equals it only without its marks: "box4" is the twin of "box4", not of "bo".
    twins: dict[str, int] = {}
    for key in (_marked, _plain):
        for name, index in sides["LR"].items():
            twins[key(name, "LR", scale)] = index
    pairs = []
    for name, index in sides["HR"].items():
        twin: int | str = f"has no twin for scale {scale} in the folder LR"
        for key in (_plain, _marked):
            twin = twins.get(key(name, "HR", scale), twin) if isinstance(twin, str) else twin
        pairs.append(Pair(name, index, twin))
    return pairs


def bring_pairs(paths: Sequence[str | Path]) -> bool:
    """Whether any of these folders and zips has the sub-folders `HR` and `LR`. Raises `InputError`."""
    return any(pair.lr is not None for path in paths for pair in find_pairs(open_source(path), 1))


def load_pairs(
    paths: Sequence[str | Path],
    scale: int,
    *,
    channels: int = 3,
    least: int = 1,
    limit_bytes: int | None = None,
    most: int | None = None,
) -> ImageSet:
    """Decode every pair of folders and zips: the high-resolution images, cropped to a multiple of the scale, with `twins`.

    Images of a path without `LR` get their twins from MATLAB's bicubic. Pairs without a twin, of the wrong size, broken or
    with a side below `least` pixels are named in `skipped`. The other arguments and the errors are those of `load_images`.
    """
    hr, lr, too_small = ImageSet(limit_bytes), ImageSet(limit_bytes), 0
    for source in map(open_source, paths):
        pairs = find_pairs(source, scale)

        def load(pair: Pair, source: Source = source) -> tuple[np.ndarray, np.ndarray] | InputError:
            try:
                large, small = load_pair(source, pair, scale, least)
                return with_channels(large, channels), with_channels(small, channels)
            except InputError as error:
                return error

        # Decoders release the interpreter lock, so threads suffice; in batches, so that memory stays bounded.
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            chosen = (pairs[index] for index in spread(len(pairs), most))
            while block := list(islice(chosen, 64)):
                for pair, images in zip(block, pool.map(load, block), strict=True):
                    if isinstance(images, InputError):
                        too_small += isinstance(images, TooSmallError)
                        hr.skipped.append(str(images))
                        continue
                    hr.append(images[0], pair.name)
                    lr.append(images[1], pair.name)
    check_usable(hr, too_small, paths)
    hr.twins = lr
    return hr


def load_pair(source: Source, pair: Pair, scale: int, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Decode a pair: (hr, lr), H W C and H/scale W/scale C, uint8, C of 1 or 3; hr cropped to a multiple of the scale.

    Raises `InputError` naming the image that is damaged or of the wrong size, `TooSmallError` for sides below `least`.
    """
    if isinstance(pair.lr, str):
        raise InputError(f"{pair.name} {pair.lr}")
    whole = source.image(pair.hr)
    check_sides(pair.name, whole, max(least, scale))
    height, width = (side - side % scale for side in whole.shape[:2])
    hr = whole[:height, :width]
    if pair.lr is None:
        return hr, imresize(hr, 1 / scale)
    lr = source.image(pair.lr)
    if (lr.shape[0] * scale, lr.shape[1] * scale) != (height, width):
        raise InputError(
            f"{pair.name} is {whole.shape[1]} x {whole.shape[0]}, which is not {scale} times its twin "
            f"{source.names[pair.lr]} of {lr.shape[1]} x {lr.shape[0]}{_other_scale(whole, lr)}"
        )
    # When only one of the two is grey, both count as colour.
    channels = max(hr.shape[2], lr.shape[2])
    return _in_colour(hr, channels), _in_colour(lr, channels)


def _other_scale(hr: np.ndarray, lr: np.ndarray) -> str:
    """The scale that a pair of the wrong size is of, if any."""
    times = hr.shape[0] // lr.shape[0]
    fits = times > 0 and all(0 <= a - times * b < times for a, b in zip(hr.shape[:2], lr.shape[:2], strict=True))
    return f"; it is {times} times as large: choose a model or recipe of that scale" if fits else ""


def _in_colour(image: np.ndarray, channels: int) -> np.ndarray:
    return image if image.shape[2] == channels else image.repeat(channels, axis=2)


def _plain(name: str, side: str, scale: int) -> str:
    """`a/LR/X4/b.png` -> `a/b`: what a twin has in common with its other half."""
    path = PurePosixPath(name)
    folders = [part for part in path.parts[:-1] if part.upper() not in (side, f"X{scale}")]
    return "/".join([*folders, path.stem])


def _marked(name: str, side: str, scale: int) -> str:
    """`_plain` without the marks that data sets add for scale and side."""
    return re.sub(rf"(?i)([_-]?x{scale}|_srf_{scale})?([_-]{side})?$", "", _plain(name, side, scale), count=1)
