"""MATLAB's `imresize` (bicubic, antialiased), which made the low-resolution images of the super-resolution literature.

Keys' cubic kernel with a = -0.5, widened by 1/scale when shrinking; rows first, then columns; borders replicated; integer
images are rounded (half up) and clipped **after each pass**. Done so, it equals the published low-resolution files of
Set5, Set14, BSD100 and Urban100 in every pixel. NumPy arrays and torch tensors go through the same arithmetic in the same
order, in float64, so their results are bit-identical.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from mezzotint.errors import UsageError

__all__ = ["imresize", "matrix"]


def imresize(image: Any, scale: float | None = None, *, size: tuple[int, int] | None = None) -> Any:
    """Resize by `scale` (output side = ceil(side * scale)), or to `size` = (height, width).

    `image` is a NumPy array H W or H W C, or a torch tensor ... H W. Integer types come back in the same type by MATLAB's
    rounding rule; floating types come back unrounded and unclipped, in the same type. Raises `UsageError`.
    """
    is_torch = type(image).__module__.partition(".")[0] == "torch"
    rows, columns = (image.ndim - 2, image.ndim - 1) if is_torch else (0, 1)
    if image.ndim < 2 or (not is_torch and image.ndim > 3):
        raise UsageError(f"imresize takes H W or H W C arrays, or ... H W tensors, not {image.ndim} dimensions")
    sides = (image.shape[rows], image.shape[columns])
    if size is None:
        if scale is None or not (math.isfinite(scale) and scale > 0):
            raise UsageError(f"imresize needs a positive scale or a size, not {scale}")
        # 1e-9 keeps ceil from adding a pixel to products such as 30 * (1/3) = 10.000000000000002.
        size = (math.ceil(sides[0] * scale - 1e-9), math.ceil(sides[1] * scale - 1e-9))
        scales = (float(scale), float(scale))
    else:
        scales = (size[0] / sides[0], size[1] / sides[1])
    resize_axis = _resize_tensor_axis if is_torch else _resize_array_axis
    for axis, side, target, factor in zip((rows, columns), sides, size, scales, strict=True):
        image = resize_axis(image, axis, *_taps(side, target, factor))
    return image


def matrix(side: int, target: int) -> np.ndarray:
    """One axis of `imresize` as a matrix, `target` x `side` float64: what it makes of floating values, up to rounding."""
    indices, weights = _taps(side, target, target / side)
    result = np.zeros((target, side))
    # add.at: beyond a border, several taps fall on the same pixel.
    np.add.at(result, (np.arange(target)[:, None], indices), weights)
    return result


def _resize_array_axis(image: np.ndarray, axis: int, indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One pass along `axis`: output[o] = sum over taps t of weights[o, t] * image[indices[o, t]]."""
    shape = [1] * image.ndim
    shape[axis] = len(indices)
    if image.dtype == np.uint8 and _exact_in_float32(weights):
        weights = weights.astype(np.float32)
    total = np.zeros((*image.shape[:axis], len(indices), *image.shape[axis + 1 :]), weights.dtype)
    product = np.empty_like(total)
    for tap in range(indices.shape[1]):
        np.multiply(weights[:, tap].reshape(shape), np.take(image, indices[:, tap], axis), out=product)
        total += product
    if np.issubdtype(image.dtype, np.integer):
        limits = np.iinfo(image.dtype)
        total = np.clip(np.floor(total + 0.5), limits.min, limits.max)
    return total.astype(image.dtype)


def _resize_tensor_axis(image: Any, axis: int, indices: np.ndarray, weights: np.ndarray) -> Any:
    """The same arithmetic in the same order on a torch tensor."""
    import torch

    shape = [1] * image.ndim
    shape[axis] = len(indices)
    taps, places = torch.from_numpy(weights).to(image.device), torch.from_numpy(indices).to(image.device)
    total: Any = 0
    for tap in range(indices.shape[1]):
        # Product, then sum: a fused multiply-add would round differently from NumPy.
        total = total + taps[:, tap].view(shape) * image.index_select(axis, places[:, tap]).double()
    if not image.is_floating_point():
        limits = torch.iinfo(image.dtype)
        total = (total + 0.5).floor().clamp(limits.min, limits.max)
    return total.to(image.dtype)


def _exact_in_float32(weights: np.ndarray) -> bool:
    """Whether float32 sums up bytes times these weights without any rounding, which makes it as good as float64.

    It does for factors of 1/2 and 1/4, whose weights are multiples of 2^-13: every sum is then a whole number of those,
    and float32 holds whole numbers up to 2^24.
    """
    units = weights * 2.0**13
    return bool((units == np.rint(units)).all() and np.abs(units).sum(axis=1).max() * 256 < 2**24)


@lru_cache(maxsize=64)
def _taps(side: int, target: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices (int64) and weights (float64) of shape `target` x taps for resizing `side` pixels to `target`."""
    width = 4 / min(scale, 1)
    # Pixel centres: output o lies at u = (o + 0.5) / scale - 0.5, here in MATLAB's own order of operations.
    u = np.arange(1, target + 1) / scale + 0.5 * (1 - 1 / scale)
    left = np.floor(u - width / 2)
    indices = left[:, None] + np.arange(math.ceil(width) + 2)
    weights = _cubic((u[:, None] - indices) * min(scale, 1))
    weights /= weights.sum(1, keepdims=True)
    used = np.any(weights != 0, axis=0)
    places = np.clip(indices[:, used] - 1, 0, side - 1).astype(np.int64)
    return places, np.ascontiguousarray(weights[:, used])


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5 (Keys 1981, equation 15)."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
