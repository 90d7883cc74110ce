"""The perceptual term of a method: its network and files, by what a recipe says (`recipes/perceptual.py`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mezzotint import catalog
from mezzotint.losses import perceptual
from mezzotint.models import feature_files, weights
from mezzotint.models.features import FeatureLayers, cut
from mezzotint.recipes.perceptual import LAYERS, Perceptual

__all__: list[str] = []


SHIFTS = 8  # pixels; the strides of a classifier's layers that see texture are divisors of it


class PerceptualLoss:
    """How different `sr` and `hr`, B C H W, 0 to 1, look to a frozen network; the gradient reaches `sr` alone.

    `sources` are the SHA-256 of what it was read from. Raises what `models.feature_files` and `models.weights` raise.
    """

    def __init__(self, settings: Perceptual, device: torch.device) -> None:
        self.settings = settings
        self.sources: dict[str, str] = {}
        self.heads: dict[str, torch.Tensor] = {}
        stages, self.sources["perceptual.network"] = _stages(settings)
        if settings.heads:
            heads, self.sources["perceptual.heads"] = feature_files.load_lpips_heads(settings.heads)
            self.heads = {layer: head.to(device) for layer, head in heads.items()}
        network: Any = FeatureLayers(stages, settings.chosen, imagenet=settings.network != "compact-x4")
        self.network: FeatureLayers = network.to(device, memory_format=torch.channels_last)
        self.criterion = perceptual.lpips if settings.heads else getattr(perceptual, settings.criterion)

    def __call__(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        """The weighted sum over layers, without the term's own weight."""
        # Strides show a network's layers every second or eighth pixel. Between them a generator could hide a grid that costs
        # nothing, were they always the same; so both images lose the same few rows and columns, others in every step.
        top, left = torch.randint(SHIFTS, (2,)).tolist()
        sr, hr = sr[..., top:, left:], hr[..., top:, left:]
        with torch.no_grad():
            targets = self._features(hr)
        total = sr.new_zeros(())
        for layer, feature, target in zip(self.network.names, self._features(sr), targets, strict=True):
            head = (self.heads[layer],) if self.heads else ()
            total = total + self.settings.chosen[layer] * self.criterion(feature, target, *head)
        return total

    def _features(self, images: torch.Tensor) -> list[torch.Tensor]:
        features = [found.float() for found in self.network(images.contiguous(memory_format=torch.channels_last))]
        return [perceptual.normalized(found) for found in features] if self.settings.normalized else features


def _stages(settings: Perceptual) -> tuple[dict[str, nn.Module], str]:
    """The parts of the network by layer, and the SHA-256 of its weights."""
    if settings.network == "compact-x4":
        own: Any
        # By its file: a name would prefer a run folder of the same name where one happens to lie.
        own, card = weights.load(catalog.SHIPPED / f"compact-x4{catalog.TRAINED}")
        return dict(zip(LAYERS["compact-x4"], [own.head, *own.blocks], strict=True)), card.weights_sha256
    assert settings.file is not None
    network: Any
    if settings.network == "squeezenet1_1":
        network, sha256 = feature_files.load_squeezenet(settings.file)
    else:
        network, sha256 = feature_files.load_vgg19(settings.file)
    return cut(network.features, network.layers), sha256
