"""Perceptual distance: how different two pictures look, by what a classifier's layers make of them. Lower is better.

LPIPS, version 0.1: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", section 3
and equation 1 (arXiv 1801.03924). Its numbers depend on the network behind it, so the name here always says which: those
of AlexNet or VGG are other numbers. Needs torch, when called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mezzotint.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["SMALLEST_SQUEEZE", "PerceptualNetwork", "lpips_squeeze"]

# A side of fewer pixels leaves nothing to SqueezeNet's last pooling.
SMALLEST_SQUEEZE = 17
# `ScalingLayer` in lpips/lpips.py of the authors' code: ImageNet's mean and deviation, for values of -1 to 1.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# `normalize_tensor` in lpips/__init__.py: added to the length of a feature vector, outside the root.
_EPSILON = 1e-10


class PerceptualNetwork(NamedTuple):
    """Stages, each B C H W -> B C H W and fed with the one before, and for each the weights of its channels, C float32."""

    stages: Sequence[Callable[[torch.Tensor], torch.Tensor]]
    heads: Sequence[torch.Tensor]


def lpips_squeeze(image: np.ndarray, reference: np.ndarray, network: PerceptualNetwork) -> float:
    """LPIPS v0.1 between two pictures, H W C uint8 of 1 or 3 channels (RGB); 0 for equal ones, rarely above 1.

    `network` is SqueezeNet 1.1 cut after `features` 1, 4, 7, 9, 10, 11 and 12 with LPIPS's seven heads, as
    `evaluation.features.load_lpips_squeeze` loads it. The whole picture counts: no border is cut. A grey picture is seen
    as three equal channels. Raises `UsageError` on different shapes.
    """
    if image.shape != reference.shape or image.ndim != 3:
        raise UsageError(f"pictures H W C of one shape can be compared, not {image.shape} and {reference.shape}")
    import torch

    with torch.inference_mode():
        x, y = _scaled(image), _scaled(reference)
        total = 0.0
        for stage, head in zip(network.stages, network.heads, strict=True):
            x, y = stage(x), stage(y)
            difference = (_unit(x) - _unit(y)).square()
            total += float((difference * head.view(-1, 1, 1)).sum(1).mean())
    return total


def _scaled(image: np.ndarray) -> torch.Tensor:
    """H W C uint8 -> 1 3 H W float32, values 0 to 255 brought to -1 to 1 and then to what the network was taught on."""
    import torch

    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)
    return (pixels / 127.5 - 1 - torch.tensor(_SHIFT).view(3, 1, 1)) / torch.tensor(_SCALE).view(3, 1, 1)


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Each place's vector of features divided by its length."""
    length = features.square().sum(1, keepdim=True).sqrt()
    return features / (length + _EPSILON)
