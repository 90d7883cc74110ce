"""Samples of pictures, integers over their full range or floating, to values 0 to 1 and back."""

from __future__ import annotations

import numpy as np


def to_unit(part: np.ndarray) -> np.ndarray:
    """Integer samples over the full range -> float32, 0 to 1; floating ones as they are."""
    if np.issubdtype(part.dtype, np.floating):
        return part.astype(np.float32)
    return part.astype(np.float32) / np.float32(np.iinfo(part.dtype).max)


def to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """0 to 1 -> samples of `dtype`, clipped, integers rounded half up."""
    if np.issubdtype(dtype, np.floating):
        return np.clip(values, 0, 1).astype(dtype)
    top = np.iinfo(dtype).max
    return np.floor(np.clip(values, 0, 1) * np.float32(top) + np.float32(0.5)).astype(dtype)
