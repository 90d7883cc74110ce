"""PatchGAN, the discriminator of pix2pix: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial
Networks", section 3.2.2 and appendix 6.1.2 (arXiv 1611.07004), with spectral norm (Miyato et al. 2018, section 2.1, arXiv
1802.05957).

Images B C H W of at least 8x8 pixels, values -1 to 1 -> logits B 1 floor(H/8) floor(W/8), each of which sees 70x70 pixels.

Deviations: spectral norm instead of batch norm, so that scores depend on one image alone, as gradient penalties need; the
two 4x4 convolutions of stride 1 keep the size, where the paper's lose a row and a column each; weights begin as He et al.
2015 have it for leaky rectifiers.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["PatchDiscriminator"]


class PatchDiscriminator(nn.Module):
    """C64-C128-C256-C512 in the paper's notation for `channels` of 64, then one logit for each place: five 4x4 kernels."""

    def __init__(self, channels: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        layers: list[nn.Module] = []
        before = in_channels
        for factor, stride in ((1, 2), (2, 2), (4, 2), (8, 1)):
            # An even kernel that keeps the size needs one more row and column at the end than at the beginning.
            padding = 1 if stride == 2 else 0
            layers += [] if padding else [nn.ZeroPad2d((1, 2, 1, 2))]
            convolution = nn.Conv2d(before, factor * channels, 4, stride, padding)
            nn.init.kaiming_normal_(convolution.weight, a=0.2)
            layers += [spectral_norm(convolution), nn.LeakyReLU(0.2)]
            before = factor * channels
        self.layers = nn.Sequential(*layers, nn.ZeroPad2d((1, 2, 1, 2)), spectral_norm(nn.Conv2d(before, 1, 4)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images -> logits."""
        return self.layers(images)
