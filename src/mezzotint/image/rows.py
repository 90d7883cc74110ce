"""Pixels that are computed while they are written: a picture that is never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["Rows"]


@dataclass(frozen=True, eq=False)
class Rows:
    """H W C pixels as bands of rows from top to bottom; they stand in a `Picture` where an array would."""

    shape: tuple[int, int, int]
    dtype: np.dtype
    bands: Callable[[], Iterator[np.ndarray]]  # each h W C; begins anew with every call

    @classmethod
    def of(cls, pixels: np.ndarray) -> Rows:
        """The rows of an array, in one band."""
        height, width, channels = pixels.shape
        return cls((height, width, channels), pixels.dtype, lambda: iter([pixels]))

    def whole(self) -> np.ndarray:
        """All of them as one array."""
        pixels, top = np.empty(self.shape, self.dtype), 0
        for band in self.bands():
            pixels[top : top + len(band)] = band
            top += len(band)
        return pixels
