"""Which images a data set compares: its own, shrunk MATLAB-exactly, or the low-resolution ones that it brings along."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from mezzotint.data.sources import Source
from mezzotint.errors import InputError
from mezzotint.image.resize import imresize

__all__ = ["Pair", "find_pairs", "load_pair"]


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


def load_pair(source: Source, pair: Pair, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Decode a pair: (hr, lr), H W C and H/scale W/scale C, uint8, C of 1 or 3; hr cropped to a multiple of the scale.

    Raises `InputError` naming the image that is damaged, too small for the protocol, or of the wrong size.
    """
    if isinstance(pair.lr, str):
        raise InputError(f"{pair.name} {pair.lr}")
    whole = source.image(pair.hr)
    height, width = (side - side % scale for side in whole.shape[:2])
    # The border that is cut off on each side, and one window of SSIM.
    least = 2 * scale + 11
    if min(height, width) < least:
        raise InputError(f"{pair.name} is too small: {whole.shape[1]} x {whole.shape[0]}, needs {least} x {least}")
    hr = whole[:height, :width]
    if pair.lr is None:
        return hr, imresize(hr, 1 / scale)
    lr = source.image(pair.lr)
    if (lr.shape[0] * scale, lr.shape[1] * scale) != (height, width):
        raise InputError(
            f"{pair.name} is {whole.shape[1]} x {whole.shape[0]}, which is not {scale} times its twin "
            f"{source.names[pair.lr]} of {lr.shape[1]} x {lr.shape[0]}"
        )
    # When only one of the two is grey, both count as colour.
    channels = max(hr.shape[2], lr.shape[2])
    return _in_colour(hr, channels), _in_colour(lr, channels)


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
