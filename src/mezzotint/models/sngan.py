"""The residual pair of SNGAN: Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", section 2.1
and appendix B.4 (arXiv 1802.05957); with classes as Miyato and Koyama 2018, "cGANs with Projection Discriminator", equation
3 and appendix A (arXiv 1802.05637).

Generator: z B latent_dim, standard normal, and labels B int64 -> images B C H W, values -1 to 1 (tanh).
Discriminator: images B C H W, values -1 to 1, and labels B int64 -> logits B.

`Generator(size=(32, 32), channels=256, widest=256, out_channels=3)` is the paper's table 4 for CIFAR-10.

The discriminator's layers all have spectral norm: each is divided by its largest singular value, which one step of power
iteration per call keeps track of. With labels, each batch norm of the generator has a scale and a shift for every class
(Dumoulin et al. 2017), and the discriminator adds the product of its features with an embedding of the class.

Deviations: any height and width of 8 or more (sizes are rounded up when halved, and the generator crops what it doubled);
the discriminator halves until the smaller side is at most 8, as for CIFAR-10, whatever the size; its width doubles with
each halving, up to `widest`, where the paper's tables differ from data set to data set.
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

# The smaller side where the generator begins and where the discriminator stops halving.
_FIRST, _LAST, _SMALLEST = 4, 8, 8


class Generator(nn.Module):
    """Noise to image. `channels` is the width at full size; it doubles with each halving of the size, up to `widest`."""

    def __init__(
        self,
        size: tuple[int, int] = (32, 32),
        channels: int = 64,
        widest: int = 256,
        latent_dim: int = 128,
        out_channels: int = 3,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.latent_dim = tuple(size), latent_dim
        self.out_channels, self.num_classes = out_channels, num_classes
        # From coarse to fine, such as (4, 4), (8, 8), (16, 16), (32, 32).
        self.sizes = halvings(self.size, _FIRST, _SMALLEST)[::-1]
        widths = [min(channels * 2**stage, widest) for stage in range(len(self.sizes))][::-1]
        self.linear = nn.Linear(latent_dim, widths[0] * math.prod(self.sizes[0]))
        self.blocks = nn.ModuleList(
            _Up(before, after, size, num_classes)
            for (before, after), size in zip(pairwise(widths), self.sizes[1:], strict=True)
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = nn.Conv2d(widths[-1], out_channels, 3, padding=1)
        _initialize(self.linear, self.to_image)

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Noise B latent_dim (and labels B) -> images B C H W."""
        x = self.linear(z).unflatten(1, (-1, *self.sizes[0]))
        for block in self.blocks:
            x = block(x, labels)
        return torch.tanh(self.to_image(F.relu(self.norm(x))))


class Discriminator(nn.Module):
    """Image to logit. `channels` is the width of the first block; it doubles with each halving, up to `widest`."""

    def __init__(
        self,
        size: tuple[int, int] = (32, 32),
        channels: int = 64,
        widest: int = 256,
        in_channels: int = 3,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes = in_channels, num_classes
        # At least one halving, so that small images are judged by more than their grain.
        downs = max(1, len(halvings(tuple(size), _LAST, _SMALLEST)) - 1)
        widths = [in_channels, *(min(channels * 2**stage, widest) for stage in range(downs))]
        blocks = [_Down(a, b, first=stage == 0) for stage, (a, b) in enumerate(pairwise(widths))]
        blocks += [_Down(widths[-1], widths[-1], halve=False) for _ in range(2)]
        self.blocks = nn.Sequential(*blocks)
        self.head = spectral_norm(_initialize(nn.Linear(widths[-1], 1)))
        self.embedding = spectral_norm(_initialize(nn.Embedding(num_classes, widths[-1]))) if num_classes else None

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Images B C H W (and labels B) -> logits B."""
        features = F.relu(self.blocks(images)).sum((2, 3))
        logits: torch.Tensor = self.head(features).squeeze(1)
        if self.embedding is None:
            return logits
        return logits + (self.embedding(labels) * features).sum(1)


class _Up(nn.Module):
    """Figure 6b: norm, ReLU, double, convolve, norm, ReLU, convolve; beside it double and convolve by 1x1."""

    def __init__(self, before: int, after: int, size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.size = size
        self.norms = nn.ModuleList(_Norm(width, num_classes) for width in (before, after))
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)
        _initialize(self.first, self.second, gain=math.sqrt(2))
        _initialize(self.shortcut)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """B C h w -> B C H W, twice as large or one row or column less."""
        inner = self.first(self._doubled(F.relu(self.norms[0](x, labels))))
        # A 1x1 convolution does the same before the doubling, at a quarter of the cost.
        return self.second(F.relu(self.norms[1](inner, labels))) + self._doubled(self.shortcut(x))

    def _doubled(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="nearest")[..., : self.size[0], : self.size[1]]


class _Down(nn.Module):
    """Figure 6a: ReLU, convolve, ReLU, convolve, average pairs; beside it convolve by 1x1 and average pairs.

    The `first` block sees the image itself, which no ReLU may cut.
    """

    def __init__(self, before: int, after: int, first: bool = False, halve: bool = True) -> None:
        super().__init__()
        self.begins, self.halves = first, halve
        self.first = spectral_norm(_initialize(nn.Conv2d(before, after, 3, padding=1), gain=math.sqrt(2)))
        self.second = spectral_norm(_initialize(nn.Conv2d(after, after, 3, padding=1), gain=math.sqrt(2)))
        self.shortcut = spectral_norm(_initialize(nn.Conv2d(before, after, 1))) if halve else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> B C H/2 W/2, rounded up, or the same size."""
        inner = self.second(F.relu(self.first(x if self.begins else F.relu(x))))
        # Pooled before its 1x1 convolution, which is the same at a quarter of the cost.
        return self._pooled(inner) + self.shortcut(self._pooled(x))

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x, 2, ceil_mode=True) if self.halves else x


class _Norm(nn.Module):
    """Batch norm, whose scale and shift depend on the class if there are classes."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=not num_classes)
        self.affine = nn.Embedding(num_classes, 2 * width) if num_classes else None
        if self.affine is not None:
            nn.init.ones_(self.affine.weight[:, :width])
            nn.init.zeros_(self.affine.weight[:, width:])

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """B C H W -> the same."""
        x = self.norm(x)
        if self.affine is None:
            return x
        scale, shift = self.affine(labels)[:, :, None, None].chunk(2, dim=1)
        return scale * x + shift


def _initialize(*layers: nn.Module, gain: float = 1.0) -> nn.Module:
    """Weights after Glorot and Bengio 2010, uniform, as in the authors' code; biases zero. Returns the last layer."""
    for layer in layers:
        assert isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)
        nn.init.xavier_uniform_(layer.weight, gain)
        if not isinstance(layer, nn.Embedding) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return layers[-1]
