"""A modern generator and discriminator after R3GAN: Huang et al. 2024, "The GAN is dead; long live the GAN!", section 3 and
figure 4 (arXiv 2501.05441).

Generator: z B latent_dim, labels B -> B C H W, nominally -1 to 1, linear and unclipped.
Discriminator: B C H W, -1 to 1, labels B -> logits B.

Kept from the paper: no normalisation anywhere, fix-up initialisation (each block's last convolution starts at zero), leaky
ReLU, a learnt basis at the lowest resolution, linear output, labels by an embedding beside z and by projection (Miyato and
Koyama 2018). Deviations: dense 3x3 blocks where the paper has grouped inverted bottlenecks (on CPUs these cost 2.5 times
more time per operation); average pooling and bilinear enlargement; pixel (un)shuffle at the image end, so that nothing runs
at full resolution, or bilinear enlargement at the generator's; any height and width.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Discriminator", "Generator"]


class Generator(nn.Module):
    """`widths`: channels of each stage, from the lowest resolution up; every further stage doubles it, and so does the end.
    `size` is height, width.

    The lowest stage begins with a learnt `basis` of one map for each channel, which z only makes stronger or weaker, as in
    the paper; without, z makes every value of it (a linear layer, as in DCGAN), for many more parameters and hardly more
    time. The last doubling is a pixel `shuffle`, or else bilinear interpolation before the last convolution: half as much
    time again for the generator, and no grid of two pixels, which the shuffle leaves in the images for long.
    """

    def __init__(
        self,
        size: tuple[int, int] = (28, 28),
        widths: tuple[int, ...] = (96, 48),
        blocks_per_stage: int = 2,
        latent_dim: int = 64,
        out_channels: int = 1,
        num_classes: int = 0,
        basis: bool = True,
        shuffle: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.latent_dim, self.out_channels, self.num_classes = (
            tuple(size),
            latent_dim,
            out_channels,
            num_classes,
        )
        self.sizes, self.shuffle = stage_sizes(self.size, len(widths)), shuffle
        total = blocks_per_stage * len(widths)
        self.embedding = nn.Embedding(num_classes, latent_dim) if num_classes else None
        places = 1 if basis else math.prod(self.sizes[0])
        self.linear = nn.Linear(latent_dim * (2 if num_classes else 1), widths[0] * places)
        self.basis = nn.Parameter(torch.randn(widths[0], *self.sizes[0])) if basis else None
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, total) for _ in range(blocks_per_stage))) for width in widths
        )
        self.transitions = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in pairwise(widths))
        self.to_image = nn.Conv2d(widths[-1], out_channels * (4 if shuffle else 1), 3, padding=1)
        initialize(self.linear, *self.transitions, self.to_image)
        if shuffle:
            # The four pixels that a place is shuffled into begin alike (Aitken et al. 2017, section 3), or their differences
            # stay visible for long as a grid.
            with torch.no_grad():
                self.to_image.weight.copy_(self.to_image.weight[::4].repeat_interleave(4, 0))

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Images for noise `z` ~ N(0, 1) and, with classes, `labels` (int64)."""
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(labels)], dim=1)
        x = self.linear(z)
        x = x.unflatten(1, (-1, *self.sizes[0])) if self.basis is None else self.basis * x[:, :, None, None]
        x = ordered(x, self.to_image.weight)
        for index, stage in enumerate(self.stages):
            if index:
                x = F.interpolate(self.transitions[index - 1](x), size=self.sizes[index], mode="bilinear")
            x = stage(x)
        if self.shuffle:
            images = F.pixel_shuffle(self.to_image(F.leaky_relu(x, 0.2)), 2)
        else:
            images = self.to_image(F.leaky_relu(F.interpolate(x, scale_factor=2.0, mode="bilinear"), 0.2))
        return images[:, :, : self.size[0], : self.size[1]]


class Discriminator(nn.Module):
    """The mirror image of the generator; `widths` from the lowest resolution up, as there.

    With `classifier`, one more linear layer names the class of an image from what the logit is made of, as the auxiliary
    classifier of Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", section 3.
    """

    def __init__(
        self,
        size: tuple[int, int] = (28, 28),
        widths: tuple[int, ...] = (96, 48),
        blocks_per_stage: int = 2,
        embedding_dim: int = 64,
        in_channels: int = 1,
        num_classes: int = 0,
        classifier: bool = False,
    ) -> None:
        super().__init__()
        self.sizes = stage_sizes(tuple(size), len(widths))
        total = blocks_per_stage * len(widths)
        self.from_image = nn.Conv2d(in_channels * 4, widths[-1], 3, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, total) for _ in range(blocks_per_stage))) for width in reversed(widths)
        )
        self.transitions = nn.ModuleList(nn.Conv2d(b, a, 1, bias=False) for a, b in reversed(list(pairwise(widths))))
        # A convolution over the whole lowest resolution, one kernel for each channel: the same as a weighted sum, which does
        # not take the slow way of depthwise convolutions backwards.
        height, width = self.sizes[0]
        self.gather = nn.Parameter(torch.randn(widths[0], height, width) * math.sqrt(2 / 1.04 / (height * width)))
        self.project = nn.Linear(widths[0], embedding_dim if num_classes else 1, bias=False)
        self.embedding = nn.Embedding(num_classes, embedding_dim) if num_classes else None
        self.classifier = nn.Linear(widths[0], num_classes) if num_classes and classifier else None
        initialize(self.from_image, *self.transitions, self.project)

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """One logit for each image; larger means more real."""
        return self._logits(self._features(images), labels)

    def classified(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits of `forward`, and those of the classes, B num_classes, which do not know `labels`."""
        assert self.classifier is not None
        features = self._features(images)
        return self._logits(features, labels), self.classifier(features)

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        height, width = self.sizes[-1]
        images = F.pad(images, (0, 2 * width - images.shape[3], 0, 2 * height - images.shape[2]), mode="replicate")
        x = self.from_image(F.pixel_unshuffle(images, 2))
        for index, stage in enumerate(self.stages):
            if index:
                x = self.transitions[index - 1](F.avg_pool2d(x, 2, ceil_mode=True))
            x = stage(x)
        return (F.leaky_relu(x, 0.2) * ordered(self.gather[None], self.from_image.weight)).sum((2, 3))

    def _logits(self, features: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        features = self.project(features)
        if self.embedding is None:
            return features[:, 0]
        # Scaled as in attention, so that the logit does not grow with the embedding's size.
        return (features * self.embedding(labels)).sum(1) / math.sqrt(features.shape[1])


class Block(nn.Module):
    """x + conv(leaky(conv(leaky(x)))), 3x3. `total` blocks in the network set the fix-up gain of the first convolution."""

    def __init__(self, width: int, total: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        # Fix-up (Zhang et al. 2019): total ** (-1 / (2m - 2)) with m = 2 convolutions, and zero for the last.
        initialize(self.first, gain=total**-0.5)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))


def stage_sizes(size: tuple[int, ...], stages: int) -> list[tuple[int, int]]:
    """Height and width of each stage, lowest first; the last is half of `size`, rounded up."""
    sizes = [(math.ceil(size[0] / 2), math.ceil(size[1] / 2))]
    for _ in range(stages - 1):
        sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
    return sizes[::-1]


def ordered(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`x` in the memory order of a 3x3 convolution's `weight`. A sum of two orders is slow, and blocks are sums, so that one
    map in the other order slows a whole stage, forwards or backwards.
    """
    last = not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last)
    return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def initialize(*layers: nn.Module, gain: float = 1.0) -> None:
    """He initialisation for leaky ReLU 0.2, times `gain`; biases zero."""
    for layer in layers:
        assert isinstance(layer, (nn.Conv2d, nn.Linear))
        fan_in = layer.weight[0].numel()
        nn.init.normal_(layer.weight, std=gain * math.sqrt(2 / 1.04 / fan_in))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
