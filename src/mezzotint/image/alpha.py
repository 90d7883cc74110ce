"""Transparency. In super-resolution: colours without dark fringes, opacity without holes. In generation: pictures as they
look on white, where hidden colours do not count, and back.
"""

from __future__ import annotations

import numpy as np

__all__ = ["bounded_by_neighbours", "fill_hidden", "off_white", "on_white"]


def on_white(planes: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Colours ... C as they look on white with `opacity` ... 1, both of one unsigned integer type; returns the same."""
    top = int(np.iinfo(planes.dtype).max)
    share = opacity.astype(np.uint64)
    return ((planes * share + top * (top - share) + top // 2) // top).astype(planes.dtype)


def off_white(planes: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """The colours ... C that look like `planes` on white with `opacity` ... 1, uint8; white where nothing is seen."""
    missing = (255 - planes.astype(np.int64)) * 255
    share = np.maximum(opacity, 1).astype(np.int64)
    return np.where(opacity > 0, 255 - np.minimum(255, (missing + share // 2) // share), 255).astype(np.uint8)


def fill_hidden(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Give fully transparent pixels the colour of the visible ones around them; visible pixels stay as they are.

    What programs leave under full transparency is arbitrary, mostly black, and a network would mix it into the edges as a
    dark fringe. Colours spread by averaging the visible ones over ever coarser squares (the pull-push of Gortler et al.,
    "The Lumigraph", 1996). `pixels` H W C and `alpha` H W, same integer type; returns the same.
    """
    visible = alpha > 0
    if visible.all() or not visible.any():
        return pixels
    filled = _pull_push(np.where(visible[..., None], pixels, 0).astype(np.float32), visible.astype(np.float32))
    return np.where(visible[..., None], pixels, np.floor(filled + 0.5).astype(pixels.dtype))


def _pull_push(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean colour of visible pixels, from the finest level that has any; `total` is the sum of colours, `weight` their
    count.
    """
    height, width = weight.shape
    mean = total / np.maximum(weight, 1)[..., None]
    if height == width == 1 or weight.all():
        return mean
    pad = ((0, height % 2), (0, width % 2))
    squares_total = np.pad(total, (*pad, (0, 0))).reshape((height + 1) // 2, 2, (width + 1) // 2, 2, -1).sum((1, 3))
    squares_weight = np.pad(weight, pad).reshape((height + 1) // 2, 2, (width + 1) // 2, 2).sum((1, 3))
    coarse = _pull_push(squares_total, squares_weight)
    return np.where(weight[..., None] > 0, mean, coarse.repeat(2, 0).repeat(2, 1)[:height, :width])


def bounded_by_neighbours(large: np.ndarray, small: np.ndarray, scale: int) -> np.ndarray:
    """Keep each value of `large` (sH sW) between the least and the greatest of the 3 x 3 values of `small` (H W) around it.

    So an opaque area stays exactly opaque, where a network's 254 would make it see-through, and nothing rings.
    """
    low, high = _extreme(small, np.minimum), _extreme(small, np.maximum)
    rows = large.reshape(small.shape[0], scale, -1)
    low, high = (bound.repeat(scale, 1)[:, None, :] for bound in (low, high))
    return np.clip(rows, low, high).reshape(large.shape)


def _extreme(values: np.ndarray, choose: np.ufunc) -> np.ndarray:
    """Minimum or maximum over 3 x 3 neighbourhoods, borders replicated."""
    for axis in (0, 1):
        pad = [(1, 1) if axis == a else (0, 0) for a in (0, 1)]
        padded, side = np.pad(values, pad, mode="edge"), values.shape[axis]
        parts = [np.take(padded, range(start, start + side), axis) for start in range(3)]
        values = choose(choose(parts[0], parts[1]), parts[2])
    return values
