"""Endless training batches. A batch is a function of (seed, step, rank) alone, so training can resume at any step."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from mezzotint.data.images import ImageSet
from mezzotint.errors import InputError
from mezzotint.image.resize import imresize

Batch = dict[str, torch.Tensor]
# hr H W C uint8, scale, random numbers -> lr H/scale W/scale C uint8; see `second_order.py`.
Degradation = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]

# How many low-resolution pixels more than the patch are degraded along each side, so that patches begin anywhere in the
# 8x8 blocks of JPEG and are not all edged by mirrored borders.
_AROUND = 8


class PatchPairs:
    """Aligned patches for super-resolution: `lr` B C p p and `hr` B C sp sp, float32, values 0 to 1.

    The low-resolution images are made once, MATLAB-exactly, from whole images, as the test sets' were. `patch` is the LR
    side in pixels. Positions are uniform over all pixels of the set; with `augment` each pair is one of the eight flips
    and rotations. Every image must hold one patch.
    """

    def __init__(self, hr: ImageSet, scale: int, patch: int, batch: int, seed: int, augment: bool = True) -> None:
        self.hr, self.scale, self.patch, self.size, self.seed, self.augment = hr, scale, patch, batch, seed, augment
        self.lr = ImageSet(hr.limit_bytes)
        for index in range(len(hr)):
            height, width, _ = hr.shapes[index]
            if min(height, width) < patch * scale:
                raise InputError(f"{hr.names[index]} is {width}x{height}, smaller than a patch of {patch * scale}")
            whole = hr[index][: height // scale * scale, : width // scale * scale]
            self.lr.append(imresize(whole, 1 / scale), hr.names[index])
        areas = np.array([height * width for height, width, _ in self.lr.shapes], np.float64)
        self.probability = areas / areas.sum()

    def resized(self, patch: int, batch: int) -> PatchPairs:
        """Batches of another size from the same images; `patch` must fit into each."""
        other = copy.copy(self)
        other.patch, other.size = patch, batch
        return other

    def batch(self, step: int, rank: int = 0) -> Batch:
        """The batch of one step."""
        random = np.random.default_rng([self.seed, step, rank])
        channels, s, p = self.hr.shapes[0][2], self.scale, self.patch
        lr = np.empty((self.size, p, p, channels), np.uint8)
        hr = np.empty((self.size, p * s, p * s, channels), np.uint8)
        for item, index in enumerate(random.choice(len(self.lr), self.size, p=self.probability)):
            height, width, _ = self.lr.shapes[index]
            y, x = random.integers(height - p + 1), random.integers(width - p + 1)
            small = self.lr[index][y : y + p, x : x + p]
            large = self.hr[index][y * s : (y + p) * s, x * s : (x + p) * s]
            turns, flip = (int(n) for n in random.integers((4, 2))) if self.augment else (0, 0)
            lr[item], hr[item] = _dihedral(small, turns, flip), _dihedral(large, turns, flip)
        return {"lr": _floats(lr, 0.0, 255.0), "hr": _floats(hr, 0.0, 255.0)}


class DegradedPairs:
    """Aligned patches as of `PatchPairs`, whose low-resolution side is made anew for every sample by `degrade`.

    A sample depends on (seed, step, rank, its place in the batch) alone, so they are made in parallel. Raises `InputError`
    when an image cannot hold one patch.
    """

    def __init__(
        self,
        hr: ImageSet,
        scale: int,
        patch: int,
        batch: int,
        seed: int,
        degrade: Degradation,
        augment: bool = True,
    ) -> None:
        self.hr, self.scale, self.patch, self.size, self.seed, self.augment = hr, scale, patch, batch, seed, augment
        self.degrade = degrade
        for name, (height, width, _) in zip(hr.names, hr.shapes, strict=True):
            if min(height, width) < patch * scale:
                raise InputError(f"{name} is {width}x{height}, smaller than a patch of {patch * scale}")
        areas = np.array([height * width for height, width, _ in hr.shapes], np.float64)
        self.probability = areas / areas.sum()
        self._pool = ThreadPoolExecutor(min(batch, os.cpu_count() or 1))

    def resized(self, patch: int, batch: int) -> DegradedPairs:
        """Batches of another size from the same images; `patch` must fit into each."""
        other = copy.copy(self)
        other.patch, other.size = patch, batch
        return other

    def batch(self, step: int, rank: int = 0) -> Batch:
        """The batch of one step."""
        pairs = list(self._pool.map(lambda item: self._pair([self.seed, step, rank, item]), range(self.size)))
        lr, hr = (np.stack(side) for side in zip(*pairs, strict=True))
        return {"lr": _floats(lr, 0.0, 255.0), "hr": _floats(hr, 0.0, 255.0)}

    def _pair(self, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        s, p = self.scale, self.patch
        index = int(random.choice(len(self.hr), p=self.probability))
        height, width, _ = self.hr.shapes[index]
        rows, columns = (min(p + _AROUND, side // s) * s for side in (height, width))
        y, x = random.integers(height - rows + 1), random.integers(width - columns + 1)
        turns, flip = (int(n) for n in random.integers((4, 2))) if self.augment else (0, 0)
        large = _dihedral(self.hr[index][y : y + rows, x : x + columns], turns, flip)
        small = self.degrade(large, s, random)
        y, x = random.integers(small.shape[0] - p + 1), random.integers(small.shape[1] - p + 1)
        return small[y : y + p, x : x + p], large[y * s : (y + p) * s, x * s : (x + p) * s]


class Images:
    """Whole images of one size for generation: `real` B C H W float32, -1 to 1, and `labels` B int64.

    Every epoch is a new permutation of the set. `flip` mirrors half of the images left to right.
    """

    def __init__(self, images: ImageSet, batch: int, seed: int, flip: bool = False) -> None:
        if len(set(images.shapes)) != 1:
            raise InputError("images of different sizes cannot form a batch")
        self.images, self.size, self.seed, self.flip = images, batch, seed, flip
        self.labels = torch.tensor(images.labels)
        self._epoch = (-1, -1)  # epoch and rank whose order is at hand
        self._order: np.ndarray = np.empty(0, np.int64)

    def batch(self, step: int, rank: int = 0) -> Batch:
        """The batch of one step."""
        random = np.random.default_rng([self.seed, step, rank])
        start = step * self.size
        indices = [self._at(place, rank) for place in range(start, start + self.size)]
        real = np.stack([self.images[index] for index in indices])
        if self.flip:
            mirrored = random.integers(2, size=self.size).astype(bool)
            real[mirrored] = real[mirrored][:, :, ::-1]
        return {"real": _floats(real, 127.5, 127.5), "labels": self.labels[indices]}

    def _at(self, place: int, rank: int) -> int:
        epoch, offset = divmod(place, len(self.images))
        if self._epoch != (epoch, rank):
            self._epoch = (epoch, rank)
            self._order = np.random.default_rng([self.seed, epoch, rank, 1]).permutation(len(self.images))
        return int(self._order[offset])


def _dihedral(image: np.ndarray, turns: int, flip: int) -> np.ndarray:
    """One of the eight symmetries of the square: `turns` quarter turns, then a mirror if `flip`."""
    image = np.rot90(image, turns)
    return image[:, ::-1] if flip else image


def _floats(images: np.ndarray, zero: float, unit: float) -> torch.Tensor:
    """B H W C uint8 -> B C H W float32 = (value - zero) / unit, in channels-last memory, which convolutions prefer."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().sub_(zero).div_(unit)
