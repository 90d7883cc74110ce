"""What enlarging a picture takes in memory, known before any work: the size of tiles, and whether it can be done at all."""

from __future__ import annotations

import math

import numpy as np

from mezzotint.errors import LimitError

# Tiles below this compute more of their surroundings than of themselves.
_SMALLEST_TILE = 64


def tile_side(
    pixels: np.ndarray, scale: int, halo: int, working: tuple[int, int], memory: int, *, in_rows: bool = False
) -> int:
    """The side of the tiles for H W C pixels, 0 for none: the largest worth it that fits into `memory` bytes, 0: any.

    A third is for the work on a tile and, where the result comes in rows, a third for two bands of it. `working` is the side
    of the largest tile worth it, its surroundings included, and the bytes that each of its pixels takes.
    """
    height, width, channels = pixels.shape
    side, bytes_each = working
    if memory:
        side = min(side, math.isqrt(memory // 3 // bytes_each))
    if height * width <= side * side:
        return 0
    tile = side - 2 * halo
    if memory and in_rows:
        tile = min(tile, memory // 6 // (scale**2 * width * channels * pixels.itemsize))
    return max(_SMALLEST_TILE, tile)


def check_fits(pixels: np.ndarray, planes: int, scale: int, size: tuple[int, int], memory: int) -> None:
    """Refuse a result of `planes` planes that does not fit into `memory` bytes, 0: any. Raises `LimitError`."""
    height, width = pixels.shape[:2]
    grown = height * width * scale**2
    # The result and its copies in Pillow and the encoder; before a resize, floating values of the model's size.
    needed = size[0] * size[1] * planes * pixels.itemsize * 3
    if size != (height * scale, width * scale):
        needed += grown * planes * 4 + max(grown, size[0] * size[1]) * 8
    if memory and needed > memory:
        raise LimitError(
            f"the result of {size[1]:,} x {size[0]:,} pixels needs about {needed / 1e6:,.1f} MB of memory and "
            f"{memory / 1e6:,.1f} MB may be used (--memory, or what is free); take a smaller scale, cut the picture up, or, "
            "if it is opaque and large, write PNG at the model's own scale, which needs little"
        )
