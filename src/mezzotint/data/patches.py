"""Cutting patches out of a set of images by index, on any device: a place says where in one long buffer each pixel lies.

A patch that is turned by a quarter or mirrored is the same bytes read with other strides, so cropping, turning and flipping
are one copy on the CPU and one gather on a GPU, with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mezzotint.data.images import ImageSet

# The share of a GPU's free memory that pixels may take; the rest is for training.
_SHARE = 0.5


@dataclass(frozen=True)
class Places:
    """Where patches lie in a buffer: pixel (i, j) of patch b begins at `origin[b] + i * down[b] + j * right[b]`; B int64."""

    origin: np.ndarray
    down: np.ndarray
    right: np.ndarray

    def turned(self, quarters: np.ndarray, side: int) -> Places:
        """Each square patch of `side` pixels turned counter-clockwise by so many quarters, 0 to 3."""
        origin, down, right = self.origin, self.down, self.right
        for turn in range(3):
            last = origin + (side - 1) * right
            origin, down, right = np.where(quarters > turn, (last, -right, down), (origin, down, right))
        return Places(origin, down, right)

    def mirrored(self, flips: np.ndarray, width: int) -> Places:
        """Each patch of `width` columns read from right to left where `flips` is not 0."""
        last = self.origin + (width - 1) * self.right
        return Places(np.where(flips > 0, last, self.origin), self.down, np.where(flips > 0, -self.right, self.right))


def places(layout: np.ndarray, y: np.ndarray | int = 0, x: np.ndarray | int = 0) -> Places:
    """Upright patches with their upper left corners at (y, x); `layout` B 4: each image's row of `ImageSet.layout`."""
    start, _, width, channels = layout.T
    return Places(start + (y * width + x) * channels, width * channels, channels)


def by_area(images: ImageSet) -> np.ndarray:
    """The distribution function of drawing images by their area; N.

    A uniform number looked up in it gives what `Generator.choice` would draw, without that method's checks of N numbers
    each time.
    """
    areas = np.array([height * width for height, width, _ in images.shapes], np.float64)
    distribution = (areas / areas.sum()).cumsum()
    return distribution / distribution[-1]


def hold(images: ImageSet, device: torch.device) -> np.ndarray | torch.Tensor:
    """The bytes of `images`, for `cut`: on a GPU if they take less than half of its free memory, else where they are."""
    if device.type == "cpu":
        return images.pixels
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else images.limit_bytes
    return torch.from_numpy(images.pixels).to(device) if images.pixels.size <= _SHARE * free else images.pixels


def cut(pixels: np.ndarray | torch.Tensor, at: Places, shape: tuple[int, int, int]) -> torch.Tensor:
    """Patches of `shape` H W C -> B H W C uint8, on the device that holds `pixels` (see `hold`)."""
    height, width, channels = shape
    if isinstance(pixels, np.ndarray):
        # Whole pixels are moved: byte by byte, turned patches take three times as long.
        pixel = np.dtype((np.void, channels))
        patches = np.empty((len(at.origin), height, width), pixel)
        strides = zip(at.origin.tolist(), at.down.tolist(), at.right.tolist(), strict=True)
        for patch, (origin, down, right) in zip(patches, strides, strict=True):
            patch[...] = np.ndarray((height, width), pixel, pixels, origin, (down, right))
        return torch.from_numpy(patches.view(np.uint8).reshape(-1, *shape))
    device = pixels.device
    origin, down, right = (torch.from_numpy(a).to(device).view(-1, 1, 1, 1) for a in (at.origin, at.down, at.right))
    row, column, channel = (torch.arange(count, device=device) for count in shape)
    return pixels[origin + row.view(-1, 1, 1) * down + column.view(-1, 1) * right + channel]


def floats(images: torch.Tensor, device: torch.device, zero: float = 0.0, unit: float = 255.0) -> torch.Tensor:
    """B H W C uint8 -> B C H W float32 on `device` = (value - zero) / unit.

    Its memory is channels-last, which convolutions prefer.
    """
    if images.device == device == torch.device("cpu"):
        shifted = np.subtract(images.numpy(), np.float32(zero), dtype=np.float32) if zero else images.numpy()
        values = torch.from_numpy(np.divide(shifted, np.float32(unit), dtype=np.float32))
    else:
        values = _levels(zero, unit).to(device)[images.to(device).int()]
    return values.permute(0, 3, 1, 2)


def _levels(zero: float, unit: float) -> torch.Tensor:
    """What each byte becomes. GPUs may divide by multiplying with the reciprocal, which rounds differently; a table from the
    CPU does not.
    """
    return torch.arange(256).float().sub_(zero).div_(unit)
