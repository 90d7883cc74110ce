"""What the doctor measures of a GAN: its samples beside real images, its discriminator on both; without trained features.

Images are compared as thumbnails (areas averaged until no side exceeds 16 pixels), so that blur and fine noise count little
and what is shown counts. The noise, the classes and the real images are the same at every examination: what changes between
two readings is the networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.data.crops import Crops
from mezzotint.data.images import ImageSet, spread
from mezzotint.training.observers import latent_shape

__all__: list[str] = []

# Samples, and real images of each kind, of one examination; and among how many training images copies are looked for.
_SAMPLES, _SEARCHED, _SIDE = 128, 4096, 16
# Fewer held-out images than this say little about all others: a share of pairs would be uncertain by more than 0.07.
_ENOUGH = 20
Reading = dict[str, float | None]


class Vitals:
    """Measures the networks of a GAN against `training` images and, where there are any, `held_out` ones of that size; with
    `crop` (height, width) against parts of them.
    """

    def __init__(
        self,
        training: ImageSet,
        held_out: ImageSet | None,
        seed: int,
        device: torch.device,
        crop: tuple[int, int] | None = None,
    ) -> None:
        self.device, self.seed = device, seed
        self.real, self.labels = _taken(training, _SAMPLES, device, crop)
        enough = held_out is not None and (crop is not None or len(held_out) >= _ENOUGH)
        self.held_out = _taken(held_out, _SAMPLES, device, crop) if held_out is not None and enough else None
        self.searched = _thumbnails(_taken(training, _SEARCHED, device, crop)[0])
        real = _thumbnails(self.real)
        self.within_real = torch.cdist(real, real)
        # Two different images of one class: what diversity is measured on.
        self.pairs = (self.labels[:, None] == self.labels) & ~torch.eye(len(real), dtype=torch.bool, device=device)
        if not self.pairs.any():
            self.pairs = ~torch.eye(len(real), dtype=torch.bool, device=device)
        self.spread = float(self.within_real[self.pairs].mean()) or 1.0
        # How near a new image is to its nearest training image; without new ones, a training image to its nearest other one.
        new, rank = (real, 2) if self.held_out is None else (_thumbnails(self.held_out[0]), 1)
        self.nearness = float(torch.cdist(new, self.searched).kthvalue(min(rank, len(self.searched)))[0].median())
        self.sharpness = _fine_power(self.real)

    @torch.no_grad()
    def measure(self, generator: nn.Module, discriminator: nn.Module, average: nn.Module) -> Reading:
        """One reading; None for what cannot be measured or is not finite.

        `logit_gap`: mean logit of training images minus that of samples.
        `separation`: share of pairs (training image, sample) in which the discriminator puts the real one first, 0 to 1.
        `familiarity`: the same for pairs (training image, held-out image): 0.5 unless it knows its training images; not
            from less than 20 held-out images.
        `diversity`: mean distance of two samples of a class over that of two real images.
        `duplicates`: share of samples with another one nearer than a tenth of what two real images are apart on average,
            less the share of real images with such a twin.
        `distance`: energy distance of samples and real images (Szekely and Rizzo 2013) over the distance of two real ones:
            about 0 for equal distributions, about 1 and more for strangers.
        `copies`: median distance of a sample to its nearest training image, over that of a new real image.
        `average_gap`: mean distance of what the generator and its average make of the same noise, as a share of the same.
        `sharpness`: decibels of samples' power over that of real images in the upper half of frequencies.
        `largest`: largest absolute value of a pixel.
        """
        z = torch.randn(len(self.real), *latent_shape(generator), generator=torch.Generator().manual_seed(self.seed))
        labels = self.labels if getattr(generator, "num_classes", 0) else None
        with _as_in_training(generator), _as_in_training(discriminator):
            fake = generator(z.to(self.device), labels).float()
            logits_fake, logits_real = (_scores(discriminator, images, self.labels) for images in (fake, self.real))
            logits_held_out = None if self.held_out is None else _scores(discriminator, *self.held_out)
        average.eval()
        settled = average(z.to(self.device), labels).float()
        average.train()
        if not torch.isfinite(fake).all():
            fake = torch.full_like(fake, math.nan)
        small = _thumbnails(fake)
        within = torch.cdist(small, small)
        across = torch.cdist(small, _thumbnails(self.real))
        count = len(small)
        energy = 2 * across.mean() - (within.sum() + self.within_real.sum()) / (count * (count - 1))
        nearest = torch.cdist(small, self.searched).amin(1)
        values: dict[str, Any] = {
            "logit_gap": logits_real.mean() - logits_fake.mean(),
            "separation": _first(logits_real, logits_fake),
            "familiarity": None if logits_held_out is None else _first(logits_real, logits_held_out),
            "diversity": within[self.pairs].mean() / self.spread,
            "duplicates": self._twins(within) - self._twins(self.within_real),
            "distance": energy / self.spread,
            "copies": nearest.median() / self.nearness if self.nearness else None,
            "average_gap": (small - _thumbnails(settled)).norm(dim=1).mean() / self.spread,
            "sharpness": 10 * math.log10((_fine_power(fake) + 1e-12) / (self.sharpness + 1e-12)),
            "largest": fake.abs().max(),
        }
        return {key: None if value is None else finite(float(value)) for key, value in values.items()}

    def _twins(self, distances: torch.Tensor) -> torch.Tensor:
        return (distances.clone().fill_diagonal_(math.inf).amin(1) < 0.1 * self.spread).float().mean()


def finite(value: float) -> float | None:
    """`value`, or None where it is not a number that JSON has; six digits, so that a log line can be read."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


@contextmanager
def _as_in_training(network: nn.Module) -> Iterator[None]:
    """Within, a network runs as in training, with the statistics of its batch; what it notes of them is undone."""
    buffers = [buffer.clone() for buffer in network.buffers()]
    yield
    for buffer, before in zip(network.buffers(), buffers, strict=True):
        buffer.copy_(before)


def _taken(
    images: ImageSet, most: int, device: torch.device, crop: tuple[int, int] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """At most `most` images, spread evenly over the set, or as many parts: N C H W float32, -1 to 1, and their labels N."""
    if crop is not None:
        batch = Crops(images, crop, most, 0, device=device).batch(0)
        return batch["real"], batch["labels"]
    indices = list(spread(len(images), most))
    pixels = torch.from_numpy(np.stack([images[index] for index in indices])).permute(0, 3, 1, 2)
    return pixels.to(device).float() / 127.5 - 1, torch.tensor(
        [images.labels[index] for index in indices], device=device
    )


def _thumbnails(images: torch.Tensor) -> torch.Tensor:
    """N C H W, -1 to 1 -> N D: areas averaged, no side longer than 16."""
    height, width = images.shape[2:]
    factor = max(1.0, max(height, width) / _SIDE)
    size = (max(1, round(height / factor)), max(1, round(width / factor)))
    return F.adaptive_avg_pool2d(images.clamp(-1, 1), size).flatten(1)


def _scores(discriminator: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One logit for each image: that of networks which judge patches is their mean."""
    logits: torch.Tensor = discriminator(images, labels)
    return logits.float().reshape(len(images), -1).mean(1)


def _first(higher: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """Share of pairs in which a value of `higher` N exceeds one of `lower` M (Mann and Whitney's U); ties count half."""
    difference = higher[:, None] - lower
    return (difference.sign() / 2 + 0.5).mean()


def _fine_power(images: torch.Tensor) -> float:
    """Mean power of N C H W above half of the highest frequency, in the mean of the channels."""
    grey = images.clamp(-1, 1).mean(1)
    power = torch.fft.fft2(grey - grey.mean((1, 2), keepdim=True)).abs().square().mean(0)
    rows, columns = (torch.fft.fftfreq(side, device=images.device).abs() for side in grey.shape[1:])
    fine = torch.maximum(rows[:, None], columns) > 0.25
    return float(power[fine].mean()) / grey[0].numel()
