"""The bricks of `article.py` at several scales, which make more than texture of them: the coarsest sees the whole image and
each further one adds what is finer. SinGAN: Shaham et al. 2019, "Learning a Generative Model from a Single Natural Image",
section 3 (arXiv 1905.01164); LAPGAN: Denton et al. 2015, "Deep Generative Image Models using a Laplacian Pyramid of
Adversarial Networks", section 2.2 (arXiv 1506.05751).

Generator: noise B C H W, standard normal -> images B C H W, nominally -1 to 1, linear and unclipped, at any size.
Discriminator: images B C H W, values -1 to 1 -> patch logits B num_scales H W, one for each 11x11 neighbourhood at each
scale.

One image of noise is enough for all scales: each reads every second pixel of what the next finer one reads, which is
standard normal noise of its size again. Where coarse images are 11 pixels a side or smaller, a generator sees the whole of
them, and by the zeros around them also where in the image it is. So a pyramid learns a folder of pictures as well as the
parts of a single one, and makes images of other sizes than it has learnt.

Deviations: all scales are trained together, by one discriminator that looks at the finished image in all of its sizes, where
the papers train one scale after the other; sizes are halved, where SinGAN multiplies them by about 3/4; no reconstruction
loss, so SinGAN's editing of the picture itself is not there; the discriminator has no normalisation.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.models import article
from mezzotint.models.upsampling import BilinearUpsampling

__all__ = ["Discriminator", "Generator"]


class Generator(nn.Module):
    """Noise to image of the same height and width. `size` is what it is asked for by default; other sizes work too.

    `channels` is the width of the finest scale; it doubles with each coarser one, up to `widest`. `num_blocks` are those of
    each scale. `latent_dim` is the shape C H W of z.
    """

    def __init__(
        self,
        size: tuple[int, int] = (64, 64),
        channels: int = 16,
        widest: int = 64,
        num_scales: int = 4,
        num_blocks: int = 4,
        out_channels: int = 3,
    ) -> None:
        super().__init__()
        self.size, self.out_channels, self.num_classes = tuple(size), out_channels, 0
        self.latent_dim = (out_channels, *self.size)
        widths = [min(channels * 2**scale, widest) for scale in range(num_scales)]
        # From fine to coarse. All but the coarsest see what the coarser ones have made, beside their noise.
        given = [2 * out_channels] * (num_scales - 1) + [out_channels]
        self.scales = nn.ModuleList(
            _bricks(seen, width, num_blocks, out_channels) for seen, width in zip(given, widths, strict=True)
        )
        self.enlarge = BilinearUpsampling(2, out_channels)

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Noise B C H W -> images B C H W; labels are ignored."""
        noise = [z]
        for _ in self.scales[1:]:
            noise.append(noise[-1][:, :, ::2, ::2])
        image = self.scales[-1](noise[-1])
        for scale, own in zip(self.scales[-2::-1], noise[-2::-1], strict=True):
            image = self.enlarge(image)[..., : own.shape[2], : own.shape[3]]
            image = image + scale(torch.cat([own, image], dim=1))
        return image


class Discriminator(nn.Module):
    """Image to maps of logits; widths as the generator's."""

    def __init__(
        self, channels: int = 16, widest: int = 64, num_scales: int = 4, num_blocks: int = 4, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes = in_channels, 0
        self.scales = nn.ModuleList(
            article.Discriminator(min(channels * 2**scale, widest), num_blocks, in_channels)
            for scale in range(num_scales)
        )

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Images B C H W -> logits B num_scales H W; labels are ignored.

        The logits of a coarse scale are repeated over the pixels that they stand for, so that all scales weigh the same in a
        mean over the maps.
        """
        height, width = images.shape[2:]
        maps = []
        for number, scale in enumerate(self.scales):
            if number:
                images = F.avg_pool2d(images, 2, ceil_mode=True)
            logits = scale(images)
            maps.append(logits.repeat_interleave(2**number, 2).repeat_interleave(2**number, 3)[..., :height, :width])
        return torch.cat(maps, dim=1)


def _bricks(given: int, channels: int, num_blocks: int, out_channels: int) -> nn.Sequential:
    """The article's generator without its tanh, for an input of `given` channels."""
    layers: list[nn.Module] = []
    for block in range(num_blocks):
        before = channels if block else given
        layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(channels, out_channels, 3, padding=1))
