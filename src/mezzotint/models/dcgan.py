"""DCGAN: Radford, Metz and Chintala 2015, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", section 3 and figure 1 (arXiv 1511.06434).

Generator: z B latent_dim, standard normal, and labels B int64 -> images B C H W, values -1 to 1 (tanh).
Discriminator: images B C H W, values -1 to 1, and labels B int64 -> logits B.

`Generator(size=(64, 64), channels=128, latent_dim=100, out_channels=3)` is the paper's figure 1.

Deviations: any height and width of 8 or more (the generator doubles and crops, so that the last stage ends exactly at
`size`; the paper has 64x64); width stops growing at 8 x `channels`; logits instead of a sigmoid; optional labels, as
an embedding beside z (Mirza and Osindero 2014) and as a projection of the discriminator's features (Miyato and Koyama
2018, equation 3); the discriminator's batch norm can be left out, which gradient penalties need.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.models.stages import halvings

__all__ = ["Discriminator", "Generator"]

# Images are halved until their smaller side is at most this: the paper's 4x4 start.
_BASE = 4
_WIDEST = 8


class Generator(nn.Module):
    """Noise to image. `size` is (height, width), `channels` the width of the last hidden stage.

    With `num_classes`, every call needs labels; without, labels are ignored. Raises `UsageError` for sides below 8.
    """

    def __init__(
        self,
        size: tuple[int, int] = (28, 28),
        channels: int = 64,
        latent_dim: int = 128,
        out_channels: int = 1,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.latent_dim, self.out_channels, self.num_classes = (
            tuple(size),
            latent_dim,
            out_channels,
            num_classes,
        )
        # From coarse to fine, such as (4, 4), (7, 7), (14, 14), (28, 28).
        self.sizes = halvings(self.size, _BASE, 2 * _BASE)[::-1]
        widths = [*_widths(channels, len(self.sizes) - 1)[::-1], out_channels]
        height, width = self.sizes[0]
        self.embedding = nn.Embedding(num_classes, latent_dim) if num_classes else None
        self.project = nn.Linear(latent_dim * (2 if num_classes else 1), widths[0] * height * width, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(wide) for wide in widths[:-1])
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=stage == len(widths) - 2)
            for stage, (before, after) in enumerate(pairwise(widths))
        )
        self.apply(_initialize)
        if self.embedding is not None:
            # As loud as z beside it; at 0.02 the classes would hardly be heard.
            nn.init.normal_(self.embedding.weight)

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Noise B latent_dim (and labels B) -> images B C H W."""
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(labels)], dim=1)
        x = self.project(z).unflatten(1, (-1, *self.sizes[0]))
        for norm, up, (height, width) in zip(self.norms, self.ups, self.sizes[1:], strict=True):
            x = up(F.relu(norm(x)))[..., :height, :width]
        return torch.tanh(x)


class Discriminator(nn.Module):
    """Image to logit. `channels` is the width of the first stage; batch norm on all stages but the first or on none."""

    def __init__(
        self,
        size: tuple[int, int] = (28, 28),
        channels: int = 64,
        in_channels: int = 1,
        num_classes: int = 0,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.in_channels, self.num_classes = tuple(size), in_channels, num_classes
        stages = len(halvings(self.size, _BASE, 2 * _BASE)) - 1
        widths = [in_channels, *_widths(channels, stages)]
        normed = [batch_norm and stage > 0 for stage in range(stages)]
        self.downs = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not norm)
            for (before, after), norm in zip(pairwise(widths), normed, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(wide) if norm else nn.Identity() for wide, norm in zip(widths[1:], normed, strict=True)
        )
        # A 4x4 convolution of stride 2 rounds odd sides down and still sees every pixel.
        height, width = (side >> stages for side in self.size)
        self.head = nn.Linear(widths[-1] * height * width, 1)
        self.embedding = nn.Embedding(num_classes, widths[-1]) if num_classes else None
        self.apply(_initialize)

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Images B C H W (and labels B) -> logits B."""
        features = images
        for down, norm in zip(self.downs, self.norms, strict=True):
            features = F.leaky_relu(norm(down(features)), 0.2)
        logits = self.head(features.flatten(1)).squeeze(1)
        if self.embedding is None:
            return logits
        return logits + (self.embedding(labels) * features.mean((2, 3))).sum(1)


def _widths(channels: int, stages: int) -> list[int]:
    """Widths from fine to coarse: doubled at every halving."""
    return [channels * min(2**stage, _WIDEST) for stage in range(stages)]


def _initialize(module: nn.Module) -> None:
    """Section 3: weights from N(0, 0.02); batch norm's scales about 1, as in the authors' code."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
