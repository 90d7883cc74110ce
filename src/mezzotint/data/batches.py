"""Endless training batches. A batch is a function of (seed, step) alone, so training can resume at any step.

`share` is (rank, ranks): of every batch only the items rank, rank + ranks, ... are made, so that processes which train
together have the batch of one among them.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch

from mezzotint.data.images import ImageSet
from mezzotint.data.patches import by_area, cut, floats, hold, places
from mezzotint.errors import InputError
from mezzotint.image.resize import imresize

CPU = torch.device("cpu")
Batch = dict[str, torch.Tensor]
# hr H W C uint8, scale, random numbers -> lr H/scale W/scale C uint8; see `second_order.py`.
Degradation = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]

# How many low-resolution pixels more than the patch are degraded along each side, so that patches begin anywhere in the
# 8x8 blocks of JPEG and are not all edged by mirrored borders.
_AROUND = 8
# How many steps lie between two uses of a degraded region, so that neighbouring batches share nothing.
_APART = 32


class PatchPairs:
    """Aligned patches for super-resolution: `lr` B C p p and `hr` B C sp sp, float32, values 0 to 1, on `device`.

    The low-resolution images are made once, MATLAB-exactly, from whole images, as the test sets' were. `patch` is the LR
    side in pixels. Positions are uniform over all pixels of the set; with `augment` each pair is one of the eight flips
    and rotations. Every image must hold one patch. On a GPU all pixels lie in its memory if they fit; the batches are the
    same on every device.
    """

    def __init__(
        self,
        hr: ImageSet,
        scale: int,
        patch: int,
        batch: int,
        seed: int,
        augment: bool = True,
        device: torch.device = CPU,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.hr, self.scale, self.patch, self.size, self.seed, self.augment = hr, scale, patch, batch, seed, augment
        self.share = share
        _check_sides(hr, patch * scale)
        self.lr = hr.twins or _reduced(hr, scale, device)
        self.device, self._drawn = device, by_area(self.lr)
        self._layouts = self.lr.layout(), hr.layout()
        self._pixels = hold(self.lr, device), hold(hr, device)

    def resized(self, patch: int, batch: int) -> PatchPairs:
        """Batches of another size from the same images; `patch` must fit into each."""
        other = copy.copy(self)
        other.patch, other.size = patch, batch
        return other

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        random, (rank, ranks) = np.random.default_rng([self.seed, step]), self.share
        indices = self._drawn.searchsorted(random.random(self.size), "right")
        choices = [self._layouts[0][indices, 1] - self.patch + 1, self._layouts[0][indices, 2] - self.patch + 1]
        if self.augment:
            choices += [np.full(self.size, count) for count in (4, 2)]
        y, x, *symmetry = random.integers(np.column_stack(choices))[rank::ranks].T
        indices, batch = indices[rank::ranks], {}
        for key, pixels, layout, unit in zip(("lr", "hr"), self._pixels, self._layouts, (1, self.scale), strict=True):
            side, at = self.patch * unit, places(layout[indices], y * unit, x * unit)
            if symmetry:
                at = at.turned(symmetry[0], side).mirrored(symmetry[1], side)
            batch[key] = floats(cut(pixels, at, (side, side, self.hr.shapes[0][2])), self.device)
        return batch


class DegradedPairs:
    """Aligned patches as of `PatchPairs`, whose low-resolution side is made anew for every sample by `degrade`.

    A sample depends on (seed, step, its place in the batch) alone, so they are made in parallel. With `reuse` each
    degraded region, which is 8 low-resolution pixels higher and wider than a patch, serves so many steps, 32 steps apart,
    each time cut elsewhere, turned and flipped anew: that much less work, for patches that repeat their noise. Raises
    `InputError` when an image cannot hold one patch.
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
        device: torch.device = CPU,
        reuse: int = 1,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.hr, self.scale, self.patch, self.size, self.seed, self.augment = hr, scale, patch, batch, seed, augment
        self.degrade, self.device, self.share = degrade, device, share
        _check_sides(hr, patch * scale)
        self._drawn = by_area(hr)
        self.reuse = reuse
        self._regions: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
        self._pool = ThreadPoolExecutor(min(batch, os.cpu_count() or 1))

    def resized(self, patch: int, batch: int) -> DegradedPairs:
        """Batches of another size from the same images; `patch` must fit into each."""
        other = copy.copy(self)
        other.patch, other.size = patch, batch
        return other

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        if step % (_APART * self.reuse) == 0:
            self._regions.clear()
        rank, ranks = self.share
        items = range(rank, self.size, ranks)
        pairs = list(self._pool.map(lambda item: self._pair([self.seed, step, 0, item]), items))
        lr, hr = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
        return {"lr": floats(lr, self.device), "hr": floats(hr, self.device)}

    def _pair(self, place: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Patches of both sides; `place` keys their random numbers: seed, step, 0, item."""
        if self.reuse == 1:
            random = np.random.default_rng(place)
            return self._cut(*self._region(random), random)
        seed, step, *_, item = place
        span = _APART * self.reuse
        # The step that degrades the region; computed again where it is not at hand, as after resuming.
        key = (self.patch, seed, step // span * span + step % _APART, 0, item)
        if key not in self._regions:
            self._regions[key] = self._region(np.random.default_rng(key[1:]))
        random = np.random.default_rng([*place, 1])
        small, large = self._cut(*self._regions[key], random)
        turns, flip = (int(n) for n in random.integers((4, 2))) if self.augment else (0, 0)
        return _dihedral(small, turns, flip), _dihedral(large, turns, flip)

    def _region(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A degraded part of an image, and what it was made of."""
        s, p = self.scale, self.patch
        index = int(self._drawn.searchsorted(random.random(), "right"))
        height, width, _ = self.hr.shapes[index]
        rows, columns = (min(p + _AROUND, side // s) * s for side in (height, width))
        y, x = random.integers(height - rows + 1), random.integers(width - columns + 1)
        turns, flip = (int(n) for n in random.integers((4, 2))) if self.augment else (0, 0)
        # Contiguous, or every step of the degradation reads a turned patch against the order of its memory.
        large = np.ascontiguousarray(_dihedral(self.hr[index][y : y + rows, x : x + columns], turns, flip))
        return self.degrade(large, s, random), large

    def _cut(self, small: np.ndarray, large: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        s, p = self.scale, self.patch
        y, x = random.integers(small.shape[0] - p + 1), random.integers(small.shape[1] - p + 1)
        return small[y : y + p, x : x + p], large[y * s : (y + p) * s, x * s : (x + p) * s]


class Images:
    """Whole images of one size for generation: `real` B C H W float32, -1 to 1, and `labels` B int64, on `device`.

    Every epoch is a new permutation of the set. `flip` mirrors half of the images left to right. Of `held_out`, images
    that nothing learns from, every fourth batch brings as many as `held_out` and `held_out_labels`, drawn at random.
    """

    def __init__(
        self,
        images: ImageSet,
        batch: int,
        seed: int,
        flip: bool = False,
        device: torch.device = CPU,
        share: tuple[int, int] = (0, 1),
        held_out: ImageSet | None = None,
    ) -> None:
        if len(set(images.shapes)) != 1:
            raise InputError("images of different sizes cannot form a batch")
        self.images, self.size, self.seed, self.flip, self.share = images, batch, seed, flip, share
        self.device, self._held_out = device, None
        self._training = _Whole(images, device)
        if held_out is not None:
            self._held_out = _Whole(held_out, device)
        self._epoch = -1  # whose order is at hand
        self._order: np.ndarray = np.empty(0, np.int64)

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        random = np.random.default_rng([self.seed, step])
        rank, ranks = self.share
        start = step * self.size
        indices = [self._at(place) for place in range(start + rank, start + self.size, ranks)]
        flips = random.integers(2, size=self.size)[rank::ranks] if self.flip else None
        real, labels = self._training.take(indices, flips)
        batch = {"real": real, "labels": labels}
        # The last of four: then those steps have them that are logged, every hundredth by default.
        if self._held_out is not None and step % 4 == 3:
            drawn = random.integers(len(self._held_out.labels), size=self.size)[rank::ranks]
            batch["held_out"], batch["held_out_labels"] = self._held_out.take(drawn.tolist(), flips)
        return batch

    def _at(self, place: int) -> int:
        epoch, offset = divmod(place, len(self.images))
        if self._epoch != epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch, 0, 1]).permutation(len(self.images))
        return int(self._order[offset])


class _Whole:
    """Images of one size, to be taken by their numbers."""

    def __init__(self, images: ImageSet, device: torch.device) -> None:
        self.labels, self.shape, self.device = torch.tensor(images.labels), images.shapes[0], device
        self._layout, self._pixels = images.layout(), hold(images, device)

    def take(self, indices: list[int], flips: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Images B C H W float32, -1 to 1, mirrored where `flips` is 1, and their labels B."""
        at = places(self._layout[indices])
        if flips is not None:
            at = at.mirrored(flips, self.shape[1])
        images = floats(cut(self._pixels, at, self.shape), self.device, 127.5, 127.5)
        return images, self.labels[indices].to(self.device)


def _dihedral(image: np.ndarray, turns: int, flip: int) -> np.ndarray:
    """One of the eight symmetries of the square: `turns` quarter turns, then a mirror if `flip`."""
    image = np.rot90(image, turns)
    return image[:, ::-1] if flip else image


def _check_sides(images: ImageSet, least: int) -> None:
    for name, (height, width, _) in zip(images.names, images.shapes, strict=True):
        if min(height, width) < least:
            raise InputError(f"{name} is {width}x{height}, smaller than a patch of {least}")


def _reduced(hr: ImageSet, scale: int, device: torch.device) -> ImageSet:
    """Whole images shrunk MATLAB-exactly, on the GPU if it has float64 and else by all cores."""

    def reduce(index: int) -> np.ndarray:
        height, width, _ = hr.shapes[index]
        whole = hr[index][: height // scale * scale, : width // scale * scale]
        if device.type != "cuda":
            return imresize(whole, 1 / scale)
        planes = torch.from_numpy(whole).to(device).permute(2, 0, 1)
        return imresize(planes, 1 / scale).permute(1, 2, 0).cpu().numpy()

    lr, indices = ImageSet(hr.limit_bytes), iter(range(len(hr)))
    # In blocks, so that no more than these wait to be stored.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        while block := list(islice(indices, 64)):
            for index, image in zip(block, pool.map(reduce, block), strict=True):
                lr.append(image, hr.names[index])
    return lr
