"""Draw pictures of what photographs hardly ever show: saturated rectangles, ellipses, lines and letters on ramps.

    python benchmarks/draw_extremes.py FOLDER

A few of them among the training photographs keep a network without normalisation sound (docs/log.md).
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COUNT, SIDE = 260, 384
CORNERS = list(itertools.product((0, 255), repeat=3))


def main() -> None:
    folder, random = Path(sys.argv[1]), np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(COUNT):
        draw(random).save(folder / f"{number:03}.png")


def draw(random: np.random.Generator) -> Image.Image:
    """One picture."""
    start, right, down = (np.array(colour(random), float) for _ in range(3))
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1)
    ramp = start + (right - start) * x[..., None] + (down - start) * y[..., None]
    picture = Image.fromarray(np.clip(ramp, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(random.integers(0, 40)):
        left, top = random.integers(-40, SIDE, 2)
        width, height = random.integers(2, 120, 2)
        match random.integers(4):
            case 0:
                pen.rectangle([left, top, left + width, top + height], fill=colour(random))
            case 1:
                pen.ellipse([left, top, left + width, top + height], fill=colour(random))
            case 2:
                end = left + random.integers(-200, 200), top + random.integers(-200, 200)
                pen.line([left, top, *end], fill=colour(random), width=int(random.integers(1, 14)))
            case _:
                pen.text((left, top), "mezzotint", fill=colour(random), font_size=int(random.integers(10, 60)))
    return picture


def colour(random: np.random.Generator) -> tuple[int, ...]:
    """Mostly a corner of the cube of colours."""
    if random.random() < 0.7:
        return CORNERS[random.integers(8)]
    return tuple(int(value) for value in random.integers(0, 256, 3))


if __name__ == "__main__":
    main()
