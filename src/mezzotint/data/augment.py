"""Mixing whole pairs, beside the flips and rotations of `batches.py`: what a recipe's `data.mix` may name.

Each function takes `lr` B C H W and `hr` B C sH sW, float32, 0 to 1, on any device, changes the items `chosen` (B bool) and
returns both anew. Both sides of a pair always stay a pair.

Sources: mixup, Zhang et al. 2018 (arXiv 1710.09412), section 2; CutMix, Yun et al. 2019 (arXiv 1905.04899), section 3.1;
CutBlur and channel shuffle ("RGB permutation"), Yoo et al. 2020, "Rethinking Data Augmentation for Image
Super-resolution" (arXiv 2004.00448), section 3 and table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    others, shares = _others(len(lr), random), random.beta(_BETA, _BETA, len(lr))
    kept = np.where(chosen, shares, 1.0)
    return tuple(_blend(side, side[others], kept) for side in (lr, hr))  # type: ignore[return-value]


def cutmix(lr: torch.Tensor, hr: torch.Tensor, chosen: np.ndarray, random: np.random.Generator) -> Tensors:
    """A rectangle of another pair of the batch, at the same place, in both sides; its area is uniform in 0 to 1."""
    others, inside = _others(len(lr), random), _rectangles(lr, chosen, random)
    scale = hr.shape[2] // lr.shape[2]
    return torch.where(inside, lr[others], lr), torch.where(_enlarged(inside, scale), hr[others], hr)


def cutblur(lr: torch.Tensor, hr: torch.Tensor, chosen: np.ndarray, random: np.random.Generator) -> Tensors:
    """A rectangle of `lr`, or all around it, becomes what MATLAB's bicubic makes of `hr`: where to restore must be seen.

    Deviation: the paper pastes high-resolution pixels into a low-resolution input that was enlarged to the same size before
    the network. Our networks take the small image, into which no high-resolution pixel fits; what does fit is the sharpest
    that a small image can be, the high-resolution one reduced without blur, noise or compression. So this is for recipes
    with a [degradation]: where `lr` is MATLAB's bicubic already, nothing would change.
    """
    scale = hr.shape[2] // lr.shape[2]
    inside = _rectangles(lr, chosen, random)
    around = torch.from_numpy(chosen & (random.random(len(lr)) < 0.5)).to(lr.device).view(-1, 1, 1, 1)
    items = torch.from_numpy(np.flatnonzero(chosen))
    whole = hr[items.to(hr.device)].mul(255).round()
    # Apple's GPUs have no float64, in which images are resized.
    whole = whole.cpu() if whole.device.type == "mps" else whole
    clean = lr.clone()
    clean[items.to(lr.device)] = imresize(whole.byte(), 1 / scale).to(lr.device).float() / 255
    return torch.where(inside ^ around, clean, lr), hr


def channel_shuffle(lr: torch.Tensor, hr: torch.Tensor, chosen: np.ndarray, random: np.random.Generator) -> Tensors:
    """The colours of a pair in one of the five other orders, the same on both sides. Grey pairs stay as they are."""
    channels = lr.shape[1]
    orders = np.tile(np.arange(channels), (len(lr), 1))
    if channels > 1:
        for item in np.flatnonzero(chosen):
            while (orders[item] == np.arange(channels)).all():
                orders[item] = random.permutation(channels)
    index = torch.from_numpy(orders).to(lr.device)[:, :, None, None]
    return tuple(side.gather(1, index.expand_as(side)) for side in (lr, hr))  # type: ignore[return-value]


def _others(count: int, random: np.random.Generator) -> torch.Tensor:
    """For each item another one: a random cycle through all of them; B int64."""
    order = random.permutation(count)
    others = np.empty(count, np.int64)
    others[order] = np.roll(order, 1)
    return torch.from_numpy(others)


def _blend(side: torch.Tensor, other: torch.Tensor, kept: np.ndarray) -> torch.Tensor:
    share = torch.from_numpy(kept.astype(np.float32)).to(side.device).view(-1, 1, 1, 1)
    # An item with a share of 1 comes out bit by bit as it was.
    return side * share + other * (1 - share)


def _rectangles(lr: torch.Tensor, chosen: np.ndarray, random: np.random.Generator) -> torch.Tensor:
    """B 1 H W bool: in each chosen item a rectangle of the image's aspect, whole pixels, wholly inside."""
    count, height, width = len(lr), lr.shape[2], lr.shape[3]
    part = np.sqrt(random.random(count))  # of each side, so that the area is uniform
    spans = []
    for side in (height, width):
        length = np.maximum(1, np.rint(part * side)).astype(np.int64)
        start = random.integers(side - length + 1)
        place = np.arange(side)
        spans.append((place >= start[:, None]) & (place < (start + length)[:, None]))
    inside = spans[0][:, :, None] & spans[1][:, None, :] & chosen[:, None, None]
    return torch.from_numpy(inside[:, None]).to(lr.device)


def _enlarged(mask: torch.Tensor, scale: int) -> torch.Tensor:
    return mask.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
