"""Inception-v3 as FID uses it: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 6
and table 1 (arXiv 1512.00567), in the form of TensorFlow's graph of 2015-12-05, on whose last pooling FID is defined (Heusel
et al. 2017). Images B C H W of any size, values 0 to 1 (grey ones are seen as three equal channels) -> features B 2048.

Names and shapes of parameters are those of `pt_inception-2015-12-05-6726825d.pth`. Where that graph departs from the paper,
and torchvision's network from the graph: average pools leave the border's padding out of the mean, and the last block pools
by maximum. As in the graph, images are resized to 299x299 inside, bilinearly as TensorFlow 1 does it (the first pixel's
corner stays in place, no antialiasing), and values 0 to 255 become (x - 128) / 128. Its classifier is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

# Measured with, never trained: no recipe or card refers to it.
__all__: list[str] = []

SIDE = 299
# A convolution of a chain: name, channels, kernel, stride. Those of a tuple of them stand side by side.
_Layer = tuple[str, int, int | tuple[int, int], int]


class InceptionV3(nn.Module):
    """Images to the 2048 features of the last average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)
        self.Mixed_5b = _Mixed(192, _five(), "average", 32)
        self.Mixed_5c = _Mixed(256, _five(), "average", 64)
        self.Mixed_5d = _Mixed(288, _five(), "average", 64)
        self.Mixed_6a = _Mixed(288, _SIX_A, "halved")
        self.Mixed_6b = _Mixed(768, _six(128), "average", 192)
        self.Mixed_6c = _Mixed(768, _six(160), "average", 192)
        self.Mixed_6d = _Mixed(768, _six(160), "average", 192)
        self.Mixed_6e = _Mixed(768, _six(192), "average", 192)
        self.Mixed_7a = _Mixed(768, _SEVEN_A, "halved")
        self.Mixed_7b = _Mixed(1280, _SEVEN, "average", 192)
        self.Mixed_7c = _Mixed(2048, _SEVEN, "maximum", 192)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images -> features B 2048."""
        x = (resized(images.expand(-1, 3, -1, -1) * 255) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for block in (self.Mixed_5b, self.Mixed_5c, self.Mixed_5d, self.Mixed_6a, self.Mixed_6b, self.Mixed_6c):
            x = block(x)
        for block in (self.Mixed_6d, self.Mixed_6e, self.Mixed_7a, self.Mixed_7b, self.Mixed_7c):
            x = block(x)
        return x.mean((2, 3))


def resized(images: torch.Tensor) -> torch.Tensor:
    """B C H W -> B C 299 299 as TensorFlow 1's `resize_bilinear`: output i lies at i * n / 299 of n input pixels."""
    for axis in (3, 2):
        count = images.shape[axis]
        place = torch.arange(SIDE, device=images.device) * torch.tensor(count / SIDE, device=images.device)
        low = place.long()
        share = (place - low).view(-1, *[1] * (3 - axis))
        near, far = images.index_select(axis, low), images.index_select(axis, (low + 1).clamp_max(count - 1))
        images = near + (far - near) * share
    return images


class _Convolution(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Mixed(nn.Module):
    """Chains of convolutions beside a pooled one, their channels end to end (figures 5 to 7 and 10 of the paper).

    `pool` is "average" or "maximum", 3x3 and followed by a 1x1 convolution to `pooled` channels; or "halved", the maximum
    of every second 3x3.
    """

    def __init__(
        self, before: int, chains: Sequence[Sequence[_Layer | tuple[_Layer, ...]]], pool: str, pooled: int = 0
    ) -> None:
        super().__init__()
        self.pool = pool
        self.chains: list[list[list[str]]] = []
        for chain in chains:
            channels, names = before, []
            for step in chain:
                layers: Any = step if isinstance(step[0], tuple) else (step,)
                for name, after, kernel, stride in layers:
                    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
                    padding = (height // 2, width // 2) if stride == 1 else (0, 0)
                    self.add_module(name, _Convolution(channels, after, kernel, stride, padding))
                names.append([name for name, *_ in layers])
                channels = layers[0][1]
            self.chains.append(names)
        if pooled:
            self.branch_pool = _Convolution(before, pooled, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = []
        for chain in self.chains:
            y = [x]
            for names in chain:
                y = [self.get_submodule(name)(y[0]) for name in names]
            found += y
        if self.pool == "halved":
            return torch.cat([*found, F.max_pool2d(x, 3, 2)], 1)
        average = self.pool == "average"
        pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) if average else F.max_pool2d(x, 3, 1, 1)
        return torch.cat([*found, self.branch_pool(pooled)], 1)


def _chain(prefix: str, *layers: tuple[int, int | tuple[int, int]], halve: bool = False) -> list[_Layer]:
    """Layers prefix_1, prefix_2, ...; with `halve` the last has stride 2."""
    last = len(layers)
    return [(f"{prefix}_{i}", c, kernel, 2 if halve and i == last else 1) for i, (c, kernel) in enumerate(layers, 1)]


def _fork(prefix: str, channels: int) -> tuple[_Layer, _Layer]:
    return (f"{prefix}a", channels, (1, 3), 1), (f"{prefix}b", channels, (3, 1), 1)


def _five() -> list[list[_Layer]]:
    return [
        [("branch1x1", 64, 1, 1)],
        _chain("branch5x5", (48, 1), (64, 5)),
        _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3)),
    ]


def _six(c: int) -> list[list[_Layer]]:
    return [
        [("branch1x1", 192, 1, 1)],
        _chain("branch7x7", (c, 1), (c, (1, 7)), (192, (7, 1))),
        _chain("branch7x7dbl", (c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))),
    ]


_SIX_A: list[list[_Layer]] = [
    [("branch3x3", 384, 3, 2)],
    _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3), halve=True),
]
_SEVEN_A: list[list[_Layer]] = [
    _chain("branch3x3", (192, 1), (320, 3), halve=True),
    _chain("branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), halve=True),
]
_SEVEN: list[list[_Layer | tuple[_Layer, ...]]] = [
    [("branch1x1", 320, 1, 1)],
    [*_chain("branch3x3", (384, 1)), _fork("branch3x3_2", 384)],
    [*_chain("branch3x3dbl", (448, 1), (384, 3)), _fork("branch3x3dbl_3", 384)],
]
