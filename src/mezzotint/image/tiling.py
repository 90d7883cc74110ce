"""Exact tiling: an image cut so that the parts, put together, are what the whole would have given.

A convolutional network looks `halo` pixels around each pixel. A tile is read with at least that much of its surroundings,
and what was computed there is thrown away; where the image ends the tile ends too, so borders are the network's own.
Blending overlaps instead would show: near its border a tile lacks context, up to several grey levels' worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mezzotint.errors import ModelError, UsageError

__all__ = ["Box", "bands", "run_tiled", "tiles"]


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; `bottom` and `right` are the first ones outside."""

    top: int
    left: int
    bottom: int
    right: int


def tiles(height: int, width: int, tile: int, halo: int, alignment: int = 1) -> Iterator[tuple[Box, Box]]:
    """Pairs (core, padded): cores cover the image once, each `padded` holds its core and `halo` pixels around it.

    Padded boxes are clipped to the image and all of the same size, at most `tile + 2 * halo` a side (rounded up so that
    they can begin at multiples of `alignment`), because runtimes prepare themselves anew for each shape. Raises
    `UsageError` if `tile` < 1 or `halo` < 0.
    """
    if tile < 1 or halo < 0:
        raise UsageError(f"tiles need a side of at least 1 and a halo of at least 0, not {tile} and {halo}")
    columns = list(_spans(width, tile, halo, alignment))
    for (top, bottom), (outer_top, outer_bottom) in _spans(height, tile, halo, alignment):
        for (left, right), (outer_left, outer_right) in columns:
            yield Box(top, left, bottom, right), Box(outer_top, outer_left, outer_bottom, outer_right)


def _spans(side: int, tile: int, halo: int, alignment: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """(core, padded) along one side. The first and the last span need their halo on one end only."""
    tile = max(tile, alignment)
    if side <= tile + 2 * halo:
        yield (0, side), (0, side)
        return
    # n spans of p pixels cover 2 * (p - halo) + (n - 2) * (p - 2 * halo) = n * p - 2 * halo * (n - 1), and less by up to
    # `alignment - 1` between two where a span begins further left.
    count = max(2, -(-(side - 2 * halo) // tile))
    padded = -(-(side + (2 * halo + alignment - 1) * (count - 1)) // count)
    padded = min(side, padded + (side - padded) % alignment)
    start = 0
    while start < side:
        outer = min(max(0, start - halo) // alignment * alignment, side - padded)
        end = side if outer + padded == side else outer + padded - halo
        yield (start, end), (outer, outer + padded)
        start = end


def run_tiled(
    function: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    scale: int,
    halo: int,
    tile: int | None = None,
    alignment: int = 1,
) -> np.ndarray:
    """`function(image)`, 1 C H W -> 1 C' sH sW, computed tile by tile; the whole at once if `tile` is None.

    The result has the type that `function` returns and its order in memory. Raises as `bands`.
    """
    height, result, top = image.shape[2] * scale, None, 0
    for band in bands(function, image, scale, halo, tile, alignment):
        if band.shape[2] == height:
            return band
        if result is None:
            result = np.empty_like(band, shape=(*band.shape[:2], height, band.shape[3]))
        result[:, :, top : top + band.shape[2]] = band
        top += band.shape[2]
    assert result is not None
    return result


def bands(
    function: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    scale: int,
    halo: int,
    tile: int | None = None,
    alignment: int = 1,
) -> Iterator[np.ndarray]:
    """`run_tiled`'s result as bands of rows from top to bottom, so that it is never held whole.

    Raises `ModelError` if `function` returns another shape than `scale` promises.
    """
    height, width = image.shape[2:]
    band: np.ndarray | None = None
    for core, padded in tiles(height, width, max(height, width) if tile is None else tile, halo, alignment):
        part = function(image[:, :, padded.top : padded.bottom, padded.left : padded.right])
        expected = (padded.bottom - padded.top) * scale, (padded.right - padded.left) * scale
        if part.ndim != 4 or part.shape[2:] != expected:
            raise ModelError(
                f"the model returned the shape {part.shape} where 1 x C x {expected[0]} x {expected[1]} was due"
            )
        top, left = (core.top - padded.top) * scale, (core.left - padded.left) * scale
        bottom, right = (core.bottom - padded.top) * scale, (core.right - padded.left) * scale
        part = part[:, :, top:bottom, left:right]
        if part.shape[3] == width * scale:
            yield part
            continue
        if core.left == 0:
            band = np.empty_like(part, shape=(*part.shape[:3], width * scale))
        assert band is not None
        band[..., core.left * scale : core.right * scale] = part
        if core.right == width:
            yield band
