"""The test sets of the papers, known by name or by their pictures, and what bicubic scores on them: a check of data and
protocol that answers why a number is not the paper's.

Published PSNR-Y of bicubic as in Lim et al. 2017 (EDSR, table 2) and in most papers since; the sets are those of Bevilacqua
et al. 2012, Zeyde et al. 2012, Martin et al. 2001 and Huang et al. 2015.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# How far from the published mean bicubic may be: implementations differ by up to 0.02 dB.
_TOLERANCE = 0.05
# Pixels against the set's own. Crops to a multiple of 2, 3 or 4 take up to 0.65 % (Set5, x3); to one of 12, 2.5 %.
_USUAL, _RECOGNIZABLE = (0.993, 1.005), (0.96, 1.04)


@dataclass(frozen=True)
class KnownSet:
    """`pixels` in all high-resolution pictures together, cropped to a multiple of 4; None: told by name alone."""

    names: tuple[str, ...]
    pictures: int
    pixels: int | None
    bicubic: dict[int, float]  # by scale, dB


_SETS = (
    KnownSet(("Set5",), 5, 567_456, {2: 33.66, 3: 30.39, 4: 28.42}),
    KnownSet(("Set14",), 14, 3_217_680, {2: 30.24, 3: 27.55, 4: 26.00}),
    KnownSet(("BSD100", "B100", "BSDS100"), 100, 15_360_000, {2: 29.56, 3: 27.21, 4: 25.96}),
    KnownSet(("Urban100",), 100, None, {2: 26.88, 3: 24.46, 4: 23.14}),
)


def remark(model: str, data: str, scale: int, pictures: int, pixels: int, psnr_y: float) -> str:
    """One line about how data and protocol compare with the papers'; "" where there is nothing to say.

    `pixels` is how many high-resolution ones were compared, `psnr_y` the mean in dB.
    """
    known = _recognized(data, pictures, pixels)
    if known is None or scale not in known.bicubic:
        return ""
    wrong = ""
    if pictures != known.pictures:
        wrong = f"there are {pictures} pictures, and the set has {known.pictures}"
    elif known.pixels and not _within(pixels / known.pixels, _USUAL):
        wrong = f"the pictures have {pixels:,} pixels, and the set's usual crops {known.pixels:,}"
    papers = f"{known.names[0]}: papers give bicubic x{scale} {known.bicubic[scale]:.2f} dB PSNR-Y"
    if model != f"bicubic-x{scale}":
        if wrong:
            return f"{papers}, but here {wrong}: do not compare with papers"
        return f"{papers}; evaluate bicubic-x{scale} here to see whether pictures and protocol are theirs"
    if abs(psnr_y - known.bicubic[scale]) <= _TOLERANCE:
        return f"{papers}, this is {psnr_y:.2f}: " + (
            f"as good as theirs, though {wrong}" if wrong else "pictures and protocol are theirs"
        )
    wrong = (
        wrong or "the pictures were changed (JPEG, resized), or MATLAB's bicubic did not make the LR that came along"
    )
    return f"{papers}, this is {psnr_y:.2f}: {wrong}"


def _recognized(data: str, pictures: int, pixels: int) -> KnownSet | None:
    """By the name of the folder or zip, or of the folder it is in; else by number and area of its pictures."""
    for part in reversed(Path(data).parts[-2:]):
        for known in _SETS:
            if any(re.fullmatch(rf"{name}([._-].*)?", part, re.IGNORECASE) for name in known.names):
                return known
    for known in _SETS:
        if known.pixels and pictures == known.pictures and _within(pixels / known.pixels, _RECOGNIZABLE):
            return known
    return None


def _within(ratio: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= ratio <= bounds[1]
