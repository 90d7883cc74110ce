"""Nearest neighbours among feature vectors, exact and in float64, in blocks: memory does not grow with N x M."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mezzotint.errors import UsageError

__all__ = ["distances", "nearest", "radii"]

# Distances held at a time: 64 MiB of float64.
_BLOCK = 1 << 23
# |x|^2 + |y|^2 - 2xy of equal vectors is this far from zero by rounding, relative to its terms; beyond, they differ.
_ROUNDING = 1e-13


def distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Euclidean distances of all pairs, x N D and y M D, as (rows of x, block of rows x M) in float64.

    Equal vectors are exactly 0 apart. Raises `UsageError` for features that are not N D, differ in D or are not finite.
    """
    y = _checked(y)
    x = _checked(x)
    if x.shape[1] != y.shape[1]:
        raise UsageError(f"features of {x.shape[1]} and {y.shape[1]} dimensions cannot be compared")
    # Around the origin the squares below are smallest, and so is what rounding does to their difference.
    centre = y.mean(0, dtype=np.float64)
    y = y - centre
    squares = (y * y).sum(1)
    step = max(1, _BLOCK // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        part = x[rows] - centre
        sums = (part * part).sum(1)[:, None] + squares
        block = sums - 2 * (part @ y.T)
        block[block < _ROUNDING * sums] = 0
        yield rows, np.sqrt(block)


def nearest(x: np.ndarray, y: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Distance N and index N of the nearest vector of `y` for each of `x`; without `y`, of the nearest other one of `x`."""
    found, indices = np.empty(len(x)), np.empty(len(x), np.int64)
    for rows, block in distances(x, x if y is None else y):
        if y is None:
            block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = np.inf
        indices[rows] = block.argmin(1)
        found[rows] = block[np.arange(len(block)), indices[rows]]
    return found, indices


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """Distance N from each vector of `x` N D to its `k`-th nearest other one. Raises `UsageError` if there is none."""
    if not 1 <= k < len(x):
        raise UsageError(f"the {k}. nearest neighbour needs more than {max(k, 1)} samples, not {len(x)}")
    found = np.empty(len(x))
    for rows, block in distances(x, x):
        # The nearest of all is the vector itself, at distance 0.
        found[rows] = np.partition(block, k, axis=1)[:, k]
    return found


def _checked(features: np.ndarray) -> np.ndarray:
    if features.ndim != 2 or 0 in features.shape:
        raise UsageError(f"features are N D, not {' x '.join(map(str, features.shape))}")
    if not np.isfinite(features).all():
        raise UsageError("features hold values that are not finite")
    return features
