"""Projection: the z whose image is nearest to a picture, for any generator: what of the picture it can make.

By gradient descent on z, as Zhu et al. 2016, "Generative Visual Manipulation on the Natural Image Manifold", section 4.1,
and Bora et al. 2017, "Compressed Sensing using Generative Models", section 2. That valley has many floors, so it begins at
the best of many random z, from several of them at once. Two things keep z where the generator has learnt to make images:
it begins there, and it is never let beyond the length of noise, sqrt(n), by more than one.

The best answer is no proof: a picture that was trained on may be missed, and one that was not may be met.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from mezzotint import catalog
from mezzotint.card import GENERATION, Card
from mezzotint.data.images import with_channels
from mezzotint.data.prepare import fit_size
from mezzotint.errors import LimitError, UsageError
from mezzotint.losses import perceptual
from mezzotint.metrics.fidelity import psnr_rgb
from mezzotint.models import feature_files, weights
from mezzotint.models.features import FeatureLayers, cut
from mezzotint.pipelines.generate import Generator, noise
from mezzotint.runtimes.pytorch import PyTorch
from mezzotint.training.schedules import cosine

# Of z, whose values are about 1: Adam moves each by at most this in a step.
_RATE = 0.1
# Pixels are compared at full size and halved until a side is at most this.
_COARSEST = 4
# SqueezeNet's layers that see edges, textures and parts, and what their distance weighs beside the pixels'.
_LAYERS, _PERCEPTUAL = ("fire3", "fire5", "fire8"), 0.02
# Smaller images are enlarged for SqueezeNet, whose strides would leave nothing of them.
_SMALLEST = 64
# They are held in memory.
_MOST_SAMPLES = 200_000


@dataclass(frozen=True)
class Projection:
    """`z` latent float32 and the number of its class, -1 for none, whose `image` is near to `target`, both H W C uint8.

    `psnr` is in dB. `sample`, the number of the nearest of the seed's images, stands beside as the yardstick.
    """

    z: np.ndarray
    label: int
    target: np.ndarray
    image: np.ndarray
    psnr: float
    sample: int
    sample_image: np.ndarray
    sample_psnr: float


def project(
    model: str | Path,
    pictures: Sequence[np.ndarray],
    label: int | str | None = None,
    *,
    seed: int = 0,
    samples: int = 1024,
    starts: int = 8,
    steps: int = 300,
    features: str | Path | None = None,
    threads: int | None = None,
) -> Iterator[Projection]:
    """The projection of each of `pictures`, H W C uint8, cropped and resized to what the model makes.

    `model`: a name, run folder or `.safetensors`. Of the first `samples` images of `seed`, as `generate` makes them, the
    nearest `starts` are improved by `steps` steps of Adam. Classes are not searched by gradient: those of the nearest
    samples compete, unless `label` names one. `features`: a file of SqueezeNet 1.1, to compare by its layers as well. Equal
    arguments give equal results on one machine. Raises `UsageError`, `LimitError`, `InputError`, `ModelError`,
    `QualityError`.
    """
    if samples < 1 or not 1 <= starts <= samples or steps < 0:
        raise UsageError(
            f"{starts} starts out of {samples} samples, {steps} steps: give at least 1 start, at least as many samples as "
            "starts, and steps from 0"
        )
    if samples > _MOST_SAMPLES:
        raise LimitError(f"at most {_MOST_SAMPLES:,} samples are held and looked at, not {samples:,}: take fewer")
    path = catalog.find(model, catalog.TRAINED)
    if path is None or catalog.card(model).task != GENERATION:
        raise UsageError(f"{model} does not generate, so there is nothing to project on")
    if threads:
        torch.set_num_threads(threads)
    network, card = weights.load(path)
    network.requires_grad_(False)
    compare = _comparison(features)
    generator = Generator(PyTorch(network, card, "f32", torch.device("cpu")))
    labels = generator.labels(samples, label)
    drawn = np.concatenate(list(generator.batches(samples, seed, label)))

    def one(picture: np.ndarray) -> Projection:
        target = _prepared(picture, card)
        # One by one: all of them in float32 take many times the memory of the samples.
        errors = np.array([((image.astype(np.float32) - target) ** 2).mean(dtype=np.float64) for image in drawn])
        chosen = np.argsort(errors, kind="stable")[:starts]
        z = np.stack([noise(seed, int(number), card.latent_shape) for number in chosen])
        best, place = _descend(network, z, labels[chosen] if card.labels else None, target, steps, compare)
        number = labels[chosen[place]]
        image = generator.render(best[None], np.array([number]))[0]
        nearest = drawn[chosen[0]]
        values = psnr_rgb(image, target), psnr_rgb(nearest, target)
        return Projection(best, int(number), target, image, values[0], int(chosen[0]), nearest, values[1])

    return map(one, pictures)


def _prepared(picture: np.ndarray, card: Card) -> np.ndarray:
    assert card.size is not None
    return fit_size(card.size)(with_channels(picture, card.out_channels))


Comparison = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _descend(
    network: torch.nn.Module,
    z: np.ndarray,
    labels: np.ndarray | None,
    target: np.ndarray,
    steps: int,
    compare: Comparison,
) -> tuple[np.ndarray, int]:
    """The best z met on the way from each of `z`, S latent, and the number of the start it came from."""
    wanted = torch.from_numpy(target.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    classes = () if labels is None else (torch.from_numpy(labels),)
    current = torch.from_numpy(z).requires_grad_()
    longest = math.sqrt(z[0].size) + 1
    optimizer = torch.optim.Adam([current], _RATE)
    best, least = current.detach().clone(), torch.full((len(z),), math.inf)
    for step in range(steps + 1):
        losses = compare(network(current, *classes), wanted)
        better = losses.detach() < least
        least[better], best[better] = losses.detach()[better], current.detach()[better]
        if step == steps:
            break
        optimizer.param_groups[0]["lr"] = _RATE * cosine(step / steps)
        optimizer.zero_grad()
        # Each loss depends on its own z only, so the sum's gradient is that of each.
        losses.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            length = current.flatten(1).norm(dim=1).clamp_min(1e-12)
            current *= (longest / length).clamp_max(1).view(-1, *[1] * (current.ndim - 1))
    place = int(least.argmin())
    return best[place].numpy(), place


def _comparison(features: str | Path | None) -> Comparison:
    """Images B C H W and one picture, -1 to 1 -> how different each is, B."""
    if features is None:
        return _pixels
    network, _ = feature_files.load_squeezenet(features)
    layers = FeatureLayers(cut(network.features, network.layers), _LAYERS, imagenet=True)

    def compare(images: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(images))
        for x, y in zip(layers(_enlarged(images)), layers(_enlarged(picture)), strict=True):
            total = total + (perceptual.normalized(x) - perceptual.normalized(y)).square().mean((1, 2, 3))
        return _pixels(images, picture) + _PERCEPTUAL * total

    return compare


def _pixels(images: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
    """Mean over scales of the squared error: the coarse ones pull what lies apart together."""
    errors = []
    while True:
        errors.append((images - picture).square().mean((1, 2, 3)))
        if min(images.shape[2:]) < 2 * _COARSEST:
            return torch.stack(errors).mean(0)
        images, picture = F.avg_pool2d(images, 2), F.avg_pool2d(picture, 2)


def _enlarged(images: torch.Tensor) -> torch.Tensor:
    """Values 0 to 1, of at least 64 pixels a side."""
    factor = math.ceil(_SMALLEST / min(images.shape[2:]))
    images = (images + 1) / 2
    return images if factor == 1 else F.interpolate(images, scale_factor=factor, mode="bilinear")
