"""What a network may never return: values that are no numbers, or black in place of a picture."""

from __future__ import annotations

import numpy as np

# In units of white: darker than the first nothing is seen in 8 bits; a picture whose mean is above the second is not black.
_BLACK, _LIGHT = 0.5 / 255, 8 / 255


def fault(lr: np.ndarray, sr: np.ndarray) -> str:
    """What is wrong with `sr`, the network's answer to `lr` (floating, 0 to 1), in words; empty if nothing is.

    Arithmetic of less than 32 bits overflows to infinity and NaN, which some runtimes pass on as black.
    """
    # NaN goes through both; neither makes an array of its own, as `isfinite` would.
    least, most = float(sr.min()), float(sr.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        return "pixels that are not numbers"
    if most < _BLACK and float(lr.mean()) > _LIGHT:
        return "nothing but black for a picture that is not"
    return ""
