"""Endless batches of parts of large pictures, for generators of texture. A batch is a function of (seed, step) alone."""

from __future__ import annotations

import numpy as np
import torch

from mezzotint.data.images import ImageSet
from mezzotint.data.patches import by_area, cut, floats, hold, places
from mezzotint.errors import InputError


class Crops:
    """Parts of `size` (height, width) cut anywhere out of images: `real` B C H W float32, -1 to 1, and `labels` B int64.

    Pictures are drawn by their area. `flip` mirrors half of the parts left to right. Of `held_out`, images that nothing
    learns from, every fourth batch brings as many parts as `held_out` and `held_out_labels`. `share` as in `batches.py`.
    Raises `InputError` for an image that holds no such part.
    """

    def __init__(
        self,
        images: ImageSet,
        size: tuple[int, int],
        batch: int,
        seed: int,
        flip: bool = False,
        device: torch.device = torch.device("cpu"),
        share: tuple[int, int] = (0, 1),
        held_out: ImageSet | None = None,
    ) -> None:
        self.size, self.seed, self.share = batch, seed, share
        self._training = _Parts(images, size, flip, device)
        self._held_out = None if held_out is None else _Parts(held_out, size, flip, device)

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        """The batch of one step."""
        random = np.random.default_rng([self.seed, step])
        real, labels = self._training.draw(self.size, random, self.share)
        batch = {"real": real, "labels": labels}
        if self._held_out is not None and step % 4 == 3:
            batch["held_out"], batch["held_out_labels"] = self._held_out.draw(self.size, random, self.share)
        return batch


class _Parts:
    """Where parts of one size may be cut out of images."""

    def __init__(self, images: ImageSet, size: tuple[int, int], flip: bool, device: torch.device) -> None:
        for name, (height, width, _) in zip(images.names, images.shapes, strict=True):
            if height < size[0] or width < size[1]:
                raise InputError(f"{name} is {width}x{height}, smaller than a part of {size[1]}x{size[0]}")
        self.shape, self.flip, self.device = (*size, images.shapes[0][2]), flip, device
        self.labels = torch.tensor(images.labels)
        self._drawn, self._layout, self._pixels = by_area(images), images.layout(), hold(images, device)

    def draw(
        self, count: int, random: np.random.Generator, share: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of `count` random parts one process's share: images B C H W float32, -1 to 1, and their labels B."""
        rank, ranks = share
        indices = self._drawn.searchsorted(random.random(count), "right")
        rows, columns = self._layout[indices, 1] - self.shape[0] + 1, self._layout[indices, 2] - self.shape[1] + 1
        choices = np.column_stack([rows, columns, np.full(count, 2)])
        y, x, flips = random.integers(choices)[rank::ranks].T
        indices = indices[rank::ranks]
        at = places(self._layout[indices], y, x)
        if self.flip:
            at = at.mirrored(flips, self.shape[1])
        images = floats(cut(self._pixels, at, self.shape), self.device, 127.5, 127.5)
        return images, self.labels[indices].to(self.device)
