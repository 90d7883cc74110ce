"""The discriminator of SRGAN: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative
Adversarial Network", section 2.1.1 and figure 4 (arXiv 1609.04802).

Images B C H W of any size, values -1 to 1 -> logits B, or B 1 ceil(H/16) ceil(W/16) with `head="patch"`.

Deviations: the paper's dense layers see 6x6 features, which is what its 96x96 patches leave; here other sizes are
averaged to 6x6 first, so 96x96 is exactly the paper. Logits instead of a sigmoid; a patch head (Isola et al. 2017,
section 3.2.2) that judges every region instead of the whole image, at a fifth of the parameters; batch norm can be left
out, which gradient penalties need.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

__all__ = ["SRGANDiscriminator"]


class SRGANDiscriminator(nn.Module):
    """Eight 3x3 convolutions, every second of stride 2, `channels` to 8 x `channels` wide, then two dense layers."""

    def __init__(
        self,
        channels: int = 64,
        in_channels: int = 3,
        batch_norm: bool = True,
        head: Literal["dense", "patch"] = "dense",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        layers: list[nn.Module] = []
        before = in_channels
        for stage, factor in enumerate((1, 2, 4, 8)):
            for stride in (1, 2):
                wide = factor * channels
                # The layer that sees the image has no batch norm.
                norm = batch_norm and (stage, stride) != (0, 1)
                layers.append(nn.Conv2d(before, wide, 3, stride=stride, padding=1, bias=not norm))
                layers += [nn.BatchNorm2d(wide)] if norm else []
                layers.append(nn.LeakyReLU(0.2))
                before = wide
        self.features = nn.Sequential(*layers)
        if head == "dense":
            self.head = nn.Sequential(
                nn.AdaptiveAvgPool2d(6),
                nn.Flatten(),
                nn.Linear(36 * before, 2 * before),
                nn.LeakyReLU(0.2),
                nn.Linear(2 * before, 1),
                nn.Flatten(0),
            )
        else:
            self.head = nn.Sequential(nn.Conv2d(before, 1, 3, padding=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images -> logits."""
        return self.head(self.features(images))
