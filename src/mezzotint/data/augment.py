"""Mixing whole pairs, beside the flips and rotations of `batches.py`: what a recipe's `data.mix` may name.

Each function takes `lr` B C H W and `hr` B C sH sW, float32, 0 to 1, on any device, changes the items `chosen` (B bool) and
returns both anew. Both sides of a pair always stay a pair.

Sources: mixup, Zhang et al. 2018 (arXiv 1710.09412), section 2; CutMix, Yun et al. 2019 (arXiv 1905.04899), section 3.1;
CutBlur and channel shuffle ("RGB permutation"), Yoo et al. 2020, "Rethinking Data Augmentation for Image
Super-resolution" (arXiv 2004.00448), section 3 and table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import numpy as np
import torch

from mezzotint.image.resize import imresize

__all__ = ["channel_shuffle", "cutblur", "cutmix", "mixup"]

Tensors = tuple[torch.Tensor, torch.Tensor]

# Both parameters of the Beta distribution that shares are drawn from, as Yoo et al. have it for mixup.
_BETA = 1.2


class Mixed:
    """The batches of `batches`, whose pairs are mixed by the functions of `mix`: name -> share of pairs.

    Its random numbers depend on (seed, step) and on the function's name alone: switching one on or off changes
    neither the crops nor what the others do. Pairs are mixed with any of the batch, so of `batches` the whole is made, and
    then the items of `share`, (rank, ranks), are kept.
    """

    def __init__(self, batches: Any, mix: Mapping[str, float], seed: int, share: tuple[int, int] = (0, 1)) -> None:
        self.batches, self.mix, self.seed, self.share = batches, dict(mix), seed, share

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        """The batch of one step."""
        batch = self.batches.batch(step)
        lr, hr = batch["lr"], batch["hr"]
        for name in [name for name in __all__ if name in self.mix]:
            # The name in the key's place for children keeps these streams apart from those of the batches.
            sequence = np.random.SeedSequence([self.seed, step], spawn_key=tuple(name.encode()))
            random = np.random.default_rng(sequence)
            chosen = random.random(len(lr)) < self.mix[name]
            if chosen.any():
                function: Callable[..., Tensors] = globals()[name]
                lr, hr = function(lr, hr, chosen, random)
        layout, (rank, ranks) = torch.channels_last, self.share
        lr, hr = lr[rank::ranks], hr[rank::ranks]
        return {"lr": lr.contiguous(memory_format=layout), "hr": hr.contiguous(memory_format=layout)}


def mixup(lr: torch.Tensor, hr: torch.Tensor, chosen: np.ndarray, random: np.random.Generator) -> Tensors:
    """One share * pair + (1 - share) * another pair of the batch; the share is of Beta(1.2, 1.2), the same on both sides."""
    others, shares = _others(len(lr), random), random.beta(_BETA, _BETA, len(lr)).astype(np.float32)

    def blend(side: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        share = torch.from_numpy(shares[chosen]).to(side.device).view(-1, 1, 1, 1)
        return side[items] * share + side[others.to(side.device)[items]] * (1 - share)

    return _changed(lr, chosen, blend), _changed(hr, chosen, blend)


def cutmix(lr: torch.Tensor, hr: torch.Tensor, chosen: np.ndarray, random: np.random.Generator) -> Tensors:
    """A rectangle of another pair of the batch, at the same place, in both sides; its area is uniform in 0 to 1."""
    others, inside = _others(len(lr), random), _rectangles(lr, random)
    scale = hr.shape[2] // lr.shape[2]

    def paste(side: torch.Tensor, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask[items], side[others.to(side.device)[items]], side[items])

    return (
        _changed(lr, chosen, lambda side, items: paste(side, items, inside)),
        _changed(hr, chosen, lambda side, items: paste(side, items, _enlarged(inside, scale))),
    )


def cutblur(lr: torch.Tensor, hr: torch.Tensor, chosen: np.ndarray, random: np.random.Generator) -> Tensors:
    """A rectangle of `lr`, or all around it, becomes what MATLAB's bicubic makes of `hr`: where to restore must be seen.

    Deviation: the paper pastes high-resolution pixels into a low-resolution input that was enlarged to the same size before
    the network. Our networks take the small image, into which no high-resolution pixel fits; what does fit is the sharpest
    that a small image can be, the high-resolution one reduced without blur, noise or compression. So this is for recipes
    with a [degradation]: where `lr` is MATLAB's bicubic already, nothing would change.
    """
    scale, inside = hr.shape[2] // lr.shape[2], _rectangles(lr, random)
    around = torch.from_numpy(random.random(len(lr)) < 0.5).to(lr.device).view(-1, 1, 1, 1)

    def clean(side: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        whole = hr[items].mul(255).round().byte()
        # Apple's GPUs have no float64, in which images are resized.
        small = imresize(whole.cpu() if whole.device.type == "mps" else whole, 1 / scale).to(side.device)
        return torch.where((inside ^ around)[items], small.float() / 255, side[items])

    return _changed(lr, chosen, clean), hr


def channel_shuffle(lr: torch.Tensor, hr: torch.Tensor, chosen: np.ndarray, random: np.random.Generator) -> Tensors:
    """The colours of a pair in one of the five other orders, the same on both sides. Grey pairs stay as they are."""
    channels = lr.shape[1]
    if channels == 1:
        return lr, hr
    other = [order for order in permutations(range(channels)) if order != tuple(range(channels))]
    orders = torch.tensor(other)[torch.from_numpy(random.integers(len(other), size=len(lr)))]

    def shuffle(side: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        order = orders.to(side.device)[items]
        return side[items.view(-1, 1), order]

    return _changed(lr, chosen, shuffle), _changed(hr, chosen, shuffle)


def _changed(
    side: torch.Tensor, chosen: np.ndarray, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """`side` B C H W, anew, with `change(side, items)` in place of the chosen items."""
    items = torch.from_numpy(np.flatnonzero(chosen)).to(side.device)
    anew = side.clone()
    anew[items] = change(side, items)
    return anew


def _others(count: int, random: np.random.Generator) -> torch.Tensor:
    """For each item another one: a random cycle through all of them; B int64."""
    order = random.permutation(count)
    others = np.empty(count, np.int64)
    others[order] = np.roll(order, 1)
    return torch.from_numpy(others)


def _rectangles(lr: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """B 1 H W bool: in each item a rectangle of the image's aspect, whole pixels, wholly inside."""
    count, height, width = len(lr), lr.shape[2], lr.shape[3]
    part = np.sqrt(random.random(count))  # of each side, so that the area is uniform
    spans = []
    for side in (height, width):
        length = np.maximum(1, np.rint(part * side)).astype(np.int64)
        start = random.integers(side - length + 1)
        place = np.arange(side)
        spans.append((place >= start[:, None]) & (place < (start + length)[:, None]))
    inside = spans[0][:, :, None] & spans[1][:, None, :]
    return torch.from_numpy(inside[:, None]).to(lr.device)


def _enlarged(mask: torch.Tensor, scale: int) -> torch.Tensor:
    return mask.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
