"""A light pair for few pictures, FastGAN: Liu et al. 2021, "Towards Faster and Stabilized GAN Training for High-fidelity
Few-shot Image Synthesis", section 3 and figures 3 and 4 (arXiv 2101.04775).

Generator: z B latent_dim, standard normal, and labels B int64 -> images B C H W, values -1 to 1 (tanh).
Discriminator: images B C H W, values -1 to 1, and labels B int64 -> logits B N, of about 16 patches of the image and
as many of the image at half its size.

Light, because a doubling of the size costs one convolution, with a gated linear unit that halves its width. Skip-layer
excitation lets the small stages speak to the large ones all the same: what a 4x4 stage has found scales the channels of one
that is up to 16 times larger, so that gradients have a short way and the layout a long reach.

Deviations: no noise is added within the generator, so its images depend on z alone; a stage excites one that is 16 times
larger where the size allows (the paper's images have 256 to 1024 pixels a side), and otherwise as much larger as leaves two
of them; the discriminator has spectral norm alone where the paper has batch norm too, so that gradient penalties work;
it has no decoders and no reconstruction loss; any height and width of 8 or more; optional labels, by an embedding beside z
(Mirza and Osindero 2014) and by a projection of each patch's features (Miyato and Koyama 2018, equation 3).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from mezzotint.models.stages import halvings

__all__ = ["Discriminator", "Generator"]

# The smaller side where the generator begins and the discriminator ends; how many halvings a skip spans at most.
_FIRST, _SMALLEST, _SPAN = 4, 8, 4


class Generator(nn.Module):
    """Noise to image. `channels` is the width at full size; it doubles with each halving of the size, up to `widest`."""

    def __init__(
        self,
        size: tuple[int, int] = (64, 64),
        channels: int = 32,
        widest: int = 256,
        latent_dim: int = 128,
        out_channels: int = 3,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.latent_dim = tuple(size), latent_dim
        self.out_channels, self.num_classes = out_channels, num_classes
        # From coarse to fine, such as (4, 4), (8, 8), (16, 16), (32, 32), (64, 64).
        self.sizes = halvings(self.size, _FIRST, _SMALLEST)[::-1]
        widths = [min(channels * 2**stage, widest) for stage in range(len(self.sizes))][::-1]
        self.embedding = nn.Embedding(num_classes, latent_dim) if num_classes else None
        given = latent_dim * (2 if num_classes else 1)
        self.linear = nn.Linear(given, 2 * widths[0] * math.prod(self.sizes[0]), bias=False)
        self.begin = nn.Sequential(nn.BatchNorm2d(2 * widths[0]), nn.GLU(1))
        self.ups = nn.ModuleList(_gated(before, after) for before, after in pairwise(widths))
        # Stage i excites stage i + span.
        self.span = max(1, min(_SPAN, len(widths) - 2))
        self.excitations = nn.ModuleList(
            _excitation(widths[stage], widths[stage + self.span], stage, self.sizes[0])
            for stage in range(len(widths) - self.span)
        )
        self.to_image = nn.Conv2d(widths[-1], out_channels, 3, padding=1)
        self.apply(_initialize)
        if self.embedding is not None:
            # As loud as z beside it.
            nn.init.normal_(self.embedding.weight)

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Noise B latent_dim (and labels B) -> images B C H W."""
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(labels)], dim=1)
        stages = [self.begin(self.linear(z).unflatten(1, (-1, *self.sizes[0])))]
        for number, (up, (height, width)) in enumerate(zip(self.ups, self.sizes[1:], strict=True), start=1):
            x = up(F.interpolate(stages[-1], scale_factor=2.0, mode="nearest")[..., :height, :width])
            if number >= self.span:
                x = x * self.excitations[number - self.span](stages[number - self.span])
            stages.append(x)
        return torch.tanh(self.to_image(stages[-1]))


class Discriminator(nn.Module):
    """Image to logits. `channels` is the width after the first halving; it doubles with each further one, up to `widest`."""

    def __init__(
        self,
        size: tuple[int, int] = (64, 64),
        channels: int = 32,
        widest: int = 256,
        in_channels: int = 3,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes = in_channels, num_classes
        stages = len(halvings(tuple(size), _FIRST, _SMALLEST)) - 1
        widths = [min(channels * 2**stage, widest) for stage in range(stages)]
        self.at_full = _Judge([in_channels, *widths], num_classes)
        # One halving less, which ends at the same size.
        self.at_half = _Judge([in_channels, *widths[: max(1, stages - 1)]], num_classes)

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Images B C H W (and labels B) -> logits B N."""
        halved = F.avg_pool2d(images, 2, ceil_mode=True)
        return torch.cat([self.at_full(images, labels).flatten(1), self.at_half(halved, labels).flatten(1)], dim=1)


class _Judge(nn.Module):
    """A chain of halvings, B C H W -> B C h w, and a logit for each place of the last, B h w."""

    def __init__(self, widths: list[int], num_classes: int) -> None:
        super().__init__()
        begin = nn.Sequential(spectral_norm(nn.Conv2d(widths[0], widths[1], 4, 2, 1)), nn.LeakyReLU(0.2))
        self.stages = nn.Sequential(begin, *(_Down(before, after) for before, after in pairwise(widths[1:])))
        self.head = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))
        self.embedding = spectral_norm(nn.Embedding(num_classes, widths[-1])) if num_classes else None

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        features = self.stages(x)
        logits: torch.Tensor = self.head(features)[:, 0]
        if self.embedding is None:
            return logits
        return logits + torch.einsum("bc,bchw->bhw", self.embedding(labels), features)


class _Down(nn.Module):
    """Figure 4: the mean of two convolutions, of which the first halves, and of average pooling with a 1x1 convolution."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(after, after, 3, padding=1)), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.direct = nn.Sequential(nn.AvgPool2d(2), spectral_norm(nn.Conv2d(before, after, 1)), nn.LeakyReLU(0.2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> B C H/2 W/2, rounded down."""
        return (self.main(x) + self.direct(x)) / 2


def _gated(before: int, after: int) -> nn.Module:
    """A convolution of twice the width, of which one half gates the other."""
    return nn.Sequential(nn.Conv2d(before, 2 * after, 3, padding=1, bias=False), nn.BatchNorm2d(2 * after), nn.GLU(1))


def _excitation(small: int, large: int, pools: int, kernel: tuple[int, int]) -> nn.Module:
    """Equation 1: features B small h w -> a factor from 0 to 1 for each channel of others, B large 1 1.

    `pools` halvings, rounded up, bring h and w to those of the first stage, which are those of `kernel`.
    """
    return nn.Sequential(
        *(nn.AvgPool2d(2, ceil_mode=True) for _ in range(pools)), nn.Conv2d(small, large, kernel), nn.SiLU(),
        nn.Conv2d(large, large, 1), nn.Sigmoid(),
    )  # fmt: skip


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
