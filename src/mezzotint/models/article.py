"""The generator and discriminator of a widely read tutorial on GANs, made correct: plain 3x3 convolutions at full size.

Generator: noise B C H W, standard normal -> images B C H W, values -1 to 1 (tanh), at any size.
Discriminator: images B C H W, values -1 to 1 -> patch logits B 1 H W, one for each 11x11 neighbourhood.

What the tutorial got wrong, against Goodfellow et al. 2014 and Radford et al. 2015, and what is done here:

- A convolution after the tanh left the images unbounded, and one after the sigmoid made scores that were neither logits
  nor probabilities. Here tanh comes last, and logits come out. The spare convolutions became a hidden layer each.
- It spoke of a single score but computed a map. Averaged over the map, as the losses do, that is a patch discriminator.
- Batch norm on the discriminator's first layer erased what tells real from fake, and everywhere in it made each score
  depend on the other images. Here the discriminator has none, and leaky ReLUs.
- It froze the generator and fitted the discriminator to real images as targets, so neither learned. That is a matter
  of the training step, and no network can mend it: see `losses/adversarial.py`.

What these networks can do: textures. A pixel sees 11x11 pixels of noise, and pixels more than 10 apart share none, so
they are independent: the result is a stationary texture of any size, and never a face or a shoe, whatever the
training. There is no code for the whole image, so there is nothing to interpolate. `dcgan.py` begins with one vector
and has neither limit. And what costs is resolution: 0.1 million parameters, but 1.1 billion multiplications for
100x100 pixels.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Discriminator", "Generator"]


class Generator(nn.Module):
    """Noise to texture of the same shape. `size` is what it is asked for by default; other sizes work too.

    `latent_dim` is the shape C H W of z, which is no vector but an image of noise.
    """

    def __init__(
        self, size: tuple[int, int] = (100, 100), channels: int = 64, num_blocks: int = 4, out_channels: int = 3
    ) -> None:
        super().__init__()
        self.size, self.out_channels, self.num_classes = tuple(size), out_channels, 0
        self.latent_dim = (out_channels, *self.size)
        layers: list[nn.Module] = []
        for block in range(num_blocks):
            before = channels if block else out_channels
            # Batch norm subtracts any bias again.
            layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, out_channels, 3, padding=1), nn.Tanh())

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Noise B C H W -> images B C H W; labels are ignored."""
        return self.layers(z)


class Discriminator(nn.Module):
    """Image to a map of logits."""

    def __init__(self, channels: int = 64, num_blocks: int = 4, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels, self.num_classes = in_channels, 0
        layers: list[nn.Module] = []
        for block in range(num_blocks):
            before = channels if block else in_channels
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Images B C H W -> logits B 1 H W; labels are ignored."""
        return self.layers(images)
