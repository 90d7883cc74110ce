"""What could be trained on some pictures, from the fastest to the most ambitious: sizes and networks of `models.r3gan`.

Where a number names no source, it is our rule of thumb.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mezzotint.data.survey import Survey

# Short side of the images -> channels at the highest resolution, where most of the time goes.
_SIDES = {32: 32, 48: 32, 64: 32, 96: 48, 128: 64, 192: 64, 256: 64}
# Once the pictures have no more pixels, wider and deeper networks: factor on channels, blocks a stage, images needed.
_RICHER = ((1.5, 1, 1.5), (2.0, 2, 3.0), (3.0, 2, 5.0))
# Wider still at low resolution costs time on few pixels, where CPUs are slow.
_WIDEST, _GROWTH = 512, 6
# Images that networks of 32x32 must see before shapes can be expected; larger images need more.
_NEEDED = 100_000


@dataclass(frozen=True)
class Setting:
    """What decides how fast training is. `size` is height, width; `widths` as of `models.r3gan`, lowest resolution first."""

    size: tuple[int, int]
    widths: tuple[int, ...]
    blocks: int
    batch: int
    needed: int  # images to be seen before a usable result can be expected

    @property
    def label(self) -> str:
        """Width x height, as people say it."""
        return f"{self.size[1]}x{self.size[0]}"


def ladder(survey: Survey, minutes: float, gpu: bool) -> list[Setting]:
    """Settings from the least to the most ambitious one that the pictures bear, each slower than the one before."""
    height, width = survey.size
    native = math.sqrt(height * width)
    sides: list[float] = [side for side in _SIDES if side <= 1.05 * native]
    if survey.uniform and native <= max(_SIDES):
        sides = [side for side in sides if side < 0.95 * native] + [native]
    # On a CPU, more steps are worth more than more images at first (docs/log.md); for how long, nobody measured.
    batch = (128 if minutes >= 5 else 64) if gpu else (64 if minutes >= 120 else 32)
    settings = []
    for side in sides or [native]:
        size = (height, width) if side == native and survey.uniform else _shaped(side, survey.aspect)
        last = side == (sides or [native])[-1]
        for factor, blocks, more in ((1.0, 1, 1.0), *(_RICHER if last else ())):
            area = size[0] * size[1]
            base = round(_SIDES[min(_SIDES, key=lambda known: abs(known - side))] * factor)
            # More pixels are more to learn, though not as much as there are more of them.
            needed = rounded(_NEEDED * more * max(0.5, (area / 1024) ** 0.75))
            fitting = batch if side <= 128 else batch // 2
            settings.append(Setting(size, _widths(size, base), blocks, max(16, fitting), needed))
    return settings


def _shaped(side: float, aspect: float) -> tuple[int, int]:
    """About `side` squared pixels of an aspect, each side a multiple of 4; nearly square is square."""
    aspect = min(2.0, max(0.5, aspect))
    aspect = 1.0 if abs(math.log(aspect)) < 0.1 else aspect
    height, width = (max(8, 4 * round(length / 4)) for length in (side / math.sqrt(aspect), side * math.sqrt(aspect)))
    return height, width


def _widths(size: tuple[int, int], base: int) -> tuple[int, ...]:
    """Channels double with every halving, which costs the same time at each stage, down to 4 to 7 pixels."""
    stages = 1 + max(0, int(math.log2(max(1.0, min(size) / 8))))
    return tuple(min(_WIDEST, base * min(_GROWTH, 2**stage)) for stage in reversed(range(stages)))


def rounded(value: float) -> int:
    """Two significant digits."""
    digits = max(0, math.floor(math.log10(max(1.0, value))) - 1)
    return max(1, round(value / 10**digits) * 10**digits)


__all__ = ["Setting", "ladder", "rounded"]
