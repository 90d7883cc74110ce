"""Luma and grey: the BT.601 conversions of the super-resolution literature."""

from __future__ import annotations

import numpy as np


def luma(rgb: np.ndarray) -> np.ndarray:
    """Y of ITU-R BT.601 in studio range, 16 to 235, from R'G'B' in 0 to 255 (MATLAB's `rgb2ycbcr`), float64, unrounded.

    `rgb` is H W 3, or H W / H W 1 for grey, which already is luma and is returned as it stands.
    """
    if rgb.ndim == 2:
        return rgb.astype(np.float64)
    if rgb.shape[2] == 1:
        return rgb[..., 0].astype(np.float64)
    return 16 + rgb.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)
