"""SRResNet: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network",
section 2.1.1 and figure 4 (arXiv 1609.04802). The generator of SRGAN is the same network.

B C H W, values 0 to 1 -> B C sH sW, nominally 0 to 1, unclipped.

With its defaults this is the paper's network: 9x9 head and tail, 16 residual blocks with batch norm and PReLU, x2 sub-pixel
steps. Deviation: the paper maps 0..1 to -1..1, here both ends are 0..1; a linear output makes that a matter of the last
bias. The modern form (EDSR and later) is a matter of options: no batch norm, 3x3 ends, one pixel shuffle at the very end, so
that nothing is computed at high resolution, and a bilinear skip, so that the body learns only what bilinear lacks.

Without batch norm, residual blocks begin as identities (Zhang et al. 2019, "Fixup Initialization"). A network with the
staged tail can take over one with the direct tail, which trains at less than half the cost, and begins as that function.
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
from torch import nn

from mezzotint.errors import UsageError
from mezzotint.models.upsampling import BilinearUpsampling

__all__ = ["SRResNet"]


class SRResNet(nn.Module):
    """Super-resolution by `scale` 2, 3 or 4.

    `tail="staged"`: the paper's x2 (or x3) sub-pixel steps, then a convolution at high resolution. `tail="direct"`: one
    convolution to `scale**2` times the channels and one pixel shuffle. `end_kernel`: side of head and tail kernels.
    `bilinear_start`: the untrained network is bilinear enlargement, which without `bilinear_skip` it carries through its
    features (but for the border). It changes only where training begins.
    """

    def __init__(
        self,
        scale: Literal[2, 3, 4] = 4,
        channels: int = 64,
        num_blocks: int = 16,
        in_channels: int = 3,
        batch_norm: bool = True,
        end_kernel: int = 9,
        tail: Literal["staged", "direct"] = "staged",
        bilinear_skip: bool = False,
        bilinear_start: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.in_channels = scale, in_channels
        end = end_kernel // 2
        self.head = nn.Sequential(nn.Conv2d(in_channels, channels, end_kernel, padding=end), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(channels, batch_norm) for _ in range(num_blocks)))
        self.merge = nn.Sequential(*convolution(channels, channels, batch_norm))
        if tail == "staged":
            steps = [3] if scale == 3 else [2] * int(math.log2(scale))
            stages = [SubPixelStep(channels, step) for step in steps]
            self.tail = nn.Sequential(*stages, nn.Conv2d(channels, in_channels, end_kernel, padding=end))
            # A pixel at resolution r counts 1/r low-resolution pixels.
            reach = sum(1 / math.prod(steps[:i]) for i in range(len(steps))) + end / scale
        else:
            self.tail = nn.Sequential(nn.Conv2d(channels, in_channels * scale**2, 3, padding=1), nn.PixelShuffle(scale))
            reach = 1
        self.skip = BilinearUpsampling(scale, in_channels) if bilinear_skip else None
        self.halo = math.ceil(end + 2 * num_blocks + 1 + reach)
        if bilinear_start and bilinear_skip:
            self._set_tail(torch.zeros(in_channels * scale**2, channels, 3, 3), torch.zeros(in_channels * scale**2))
        elif bilinear_start:
            self._start_bilinear()

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge `lr`."""
        features = self.head(lr)
        sr = self.tail(features + self.merge(self.blocks(features)))
        return sr if self.skip is None else sr + self.skip(lr)

    def adopt_tail(self, source: SRResNet) -> None:
        """Make the tail compute what the direct tail of `source` computes, a network with the same body and scale.

        Raises `UsageError` if `source` has another tail or scale, or there are too few channels.
        """
        direct: Any = source.tail[0]
        if not isinstance(direct, nn.Conv2d) or source.scale != self.scale:
            raise UsageError("only a direct tail of the same scale can be taken over")
        self._set_tail(direct.weight.detach(), cast(torch.Tensor, direct.bias).detach())

    @torch.no_grad()
    def _start_bilinear(self) -> None:
        first, activation = cast(nn.Conv2d, self.head[0]), cast(nn.PReLU, self.head[1])
        colours, channels, scale = self.in_channels, first.out_channels, self.scale
        if channels < 2 * colours:
            raise UsageError(f"a bilinear start needs {2 * colours} channels, not {channels}")
        identity = torch.eye(colours)
        _set_centre(first, torch.cat([identity, -identity]))
        for parameter in self.merge.parameters():
            parameter.zero_()
        bilinear = BilinearUpsampling(scale, colours).kernel.reshape(colours, scale**2, 3, 3)
        kernel = torch.zeros(colours, scale**2, channels, 3, 3)
        for colour in range(colours):
            kernel[colour, :, colour] = bilinear[colour] / (1 + activation.weight)
            kernel[colour, :, colours + colour] = -kernel[colour, :, colour]
        self._set_tail(kernel.flatten(0, 1), torch.zeros(colours * scale**2))

    @torch.no_grad()
    def _set_tail(self, kernel: torch.Tensor, bias: torch.Tensor) -> None:
        """Compute the pixel shuffle of a convolution by `kernel`, colours*scale**2 in 3 3, and `bias`.

        A staged tail carries each value x through an activation as PReLU(x) and PReLU(-x), whose difference is
        (1 + slope) x. Channels left over keep their random kernels; the last convolution ignores them at first.
        """
        tail: Any = self.tail
        if isinstance(tail[0], nn.Conv2d):
            convolution = tail[0]
            convolution.weight.copy_(kernel)
            cast(torch.Tensor, convolution.bias).copy_(bias)
            return
        colours, remaining = self.in_channels, self.scale
        kernel, bias = (part.reshape(colours, remaining, remaining, *part.shape[1:]) for part in (kernel, bias))
        for convolution, shuffle, activation in tail[:-1]:
            factor, channels = shuffle.upscale_factor, convolution.out_channels // shuffle.upscale_factor**2
            remaining //= factor
            values = colours * remaining**2
            if 2 * values > channels:
                raise UsageError(f"a staged tail needs {2 * values} channels to compute what a direct one does")
            for target, part in ((convolution.weight, kernel), (convolution.bias, bias)):
                # Pixel a * remaining + i of the whole is place a of this shuffle and value i of the later ones.
                rest = part.shape[3:]
                part = part.reshape(colours, factor, remaining, factor, remaining, *rest)
                part = part.movedim((2, 4), (1, 2)).flatten(0, 4)
                target[: 2 * values * factor**2] = torch.cat([part, -part])
            identity = torch.eye(values) / (1 + activation.weight)
            kernel = torch.zeros(values, channels, 3, 3)
            kernel[:, : 2 * values, 1, 1] = torch.cat([identity, -identity], dim=1)
            kernel = kernel.reshape(colours, remaining, remaining, channels, 3, 3)
            bias = torch.zeros(colours, remaining, remaining)
        _set_centre(tail[-1], kernel[:, 0, 0, :, 1, 1])


def _set_centre(convolution: nn.Conv2d, matrix: torch.Tensor) -> None:
    """Make the first outputs products of `matrix`, out in, with the pixel in the middle of the kernel."""
    centre = convolution.kernel_size[0] // 2
    convolution.weight[: len(matrix)] = 0
    convolution.weight[: len(matrix), :, centre, centre] = matrix
    if convolution.bias is not None:
        convolution.bias[: len(matrix)] = 0


class ResidualBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x))))), 3x3, no activation after the sum (Gross and Wilber 2016)."""

    def __init__(self, channels: int, batch_norm: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels, channels, batch_norm), nn.PReLU(), *convolution(channels, channels, batch_norm)
        )
        if not batch_norm:
            for parameter in self.body[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B C H W -> the same."""
        return x + self.body(x)


class SubPixelStep(nn.Sequential):
    """B C H W -> B C rH rW by a 3x3 convolution and a pixel shuffle, then PReLU."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(nn.Conv2d(channels, channels * factor**2, 3, padding=1), nn.PixelShuffle(factor), nn.PReLU())


def convolution(in_channels: int, out_channels: int, batch_norm: bool) -> list[nn.Module]:
    """A 3x3 convolution, followed by batch norm (which makes the convolution's own bias idle) or not."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=not batch_norm)]
    return [*layers, nn.BatchNorm2d(out_channels)] if batch_norm else layers
