"""Features of images by networks: one that the user's file brings, or a classifier trained here on the data's own labels.

Images come as N H W C uint8. Needs torch. Everything runs in float32 and leaves torch's random state as it was.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.errors import UsageError
from mezzotint.metrics.memorization import thumbnails
from mezzotint.metrics.perceptual import PerceptualNetwork
from mezzotint.models.feature_files import load_lpips_heads, load_squeezenet
from mezzotint.models.features import SmallClassifier, SqueezeNet11, cut
from mezzotint.models.inception import InceptionV3

# Of the classifier and how it is trained; numbers of different versions do not compare. The first had strides in place of
# poolings (docs/log.md).
VERSION = 2
EPOCHS = 5
_LARGEST_BATCH, _SMALLEST_BATCH = 128, 16
# Small sets are cut into smaller batches, or so few steps would teach nothing.
_BATCHES = 50
_EVALUATION_BATCH = 32
# Larger images are averaged down for the classifier.
_LARGEST_SIDE = 64
_PEAK_RATE = 4e-3


def use_threads(threads: int | None) -> None:
    """Let torch use so many CPU threads, in the whole process; None leaves it."""
    if threads:
        torch.set_num_threads(threads)


def load_lpips_squeeze(squeezenet: str | Path, heads: str | Path) -> tuple[PerceptualNetwork, dict[str, Any]]:
    """What `lpips_squeeze` needs, from SqueezeNet's file and the file of LPIPS v0.1's heads, both `.safetensors`.

    With it the files' names and the SHA-256 of their tensors. Raises as `models.feature_files`.
    """
    network, network_sha256 = load_squeezenet(squeezenet)
    weights, heads_sha256 = load_lpips_heads(heads)
    stages = cut(network.features, {layer: network.layers[layer] for layer in weights})
    facts = {
        "squeezenet": {"file": Path(squeezenet).name, "sha256": network_sha256},
        "heads": {"file": Path(heads).name, "sha256": heads_sha256},
    }
    return PerceptualNetwork(list(stages.values()), list(weights.values())), facts


def train_classifier(
    images: np.ndarray, labels: np.ndarray, classes: int, *, epochs: int = EPOCHS, seed: int = 0
) -> SmallClassifier:
    """Train a `SmallClassifier` on `images` N H W C and `labels` N: Adam, one cycle of the learning rate.

    The same arguments give the same network on the same machine. Raises `UsageError` for labels that do not fit.
    """
    if len(images) != len(labels) or len(images) < 2 or labels.min() < 0 or labels.max() >= classes:
        raise UsageError(
            f"{len(images)} images with {len(labels)} labels cannot train a classifier of {classes} classes"
        )
    inputs, targets = _tensor(_small(images)), torch.from_numpy(labels.astype(np.int64))
    batch = min(max(len(images) // _BATCHES, _SMALLEST_BATCH), _LARGEST_BATCH, len(images))
    steps = math.ceil(epochs * len(images) / batch)
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallClassifier(images.shape[3], classes=classes)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), _PEAK_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=steps, cycle_momentum=False)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(len(images), generator=random)])
        chosen, order = order[:batch], order[batch:]
        loss = F.cross_entropy(network(_normal(inputs[chosen])), targets[chosen], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def predictions(network: SmallClassifier, images: np.ndarray) -> np.ndarray:
    """The class of each image, N int64."""
    return _run(network, _small(images)).argmax(1)


def encode(network: SmallClassifier | SqueezeNet11 | InceptionV3, images: np.ndarray) -> np.ndarray:
    """Features N D float32: of a `SmallClassifier` what its last layer sees, of the others the average of their last map."""
    return _run(network.features, _small(images)) if isinstance(network, SmallClassifier) else _run(network, images)


@torch.inference_mode()
def _run(network: nn.Module, images: np.ndarray) -> np.ndarray:
    inputs = _tensor(images)
    starts = range(0, len(inputs), _EVALUATION_BATCH)
    return torch.cat([network(_normal(inputs[start : start + _EVALUATION_BATCH])) for start in starts]).numpy()


def _small(images: np.ndarray) -> np.ndarray:
    if max(images.shape[1:3]) <= _LARGEST_SIDE:
        return images
    return np.rint(thumbnails(images, _LARGEST_SIDE)).astype(np.uint8)


def _tensor(images: np.ndarray) -> torch.Tensor:
    """N H W C uint8 -> N C H W uint8, channels last in memory, without a copy where the array may be written to."""
    return torch.from_numpy(images if images.flags.writeable else images.copy()).permute(0, 3, 1, 2)


def _normal(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 255
