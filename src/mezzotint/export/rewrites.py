"""Exact rewrites: a network that computes the same and runs faster, made at export and nowhere else.

A pixel shuffle only moves numbers: input channel c*r*r + i*r + j is what output channel c holds at row i and column j of
every r x r block. So layers behind one can do their work before it, on the small image, where the wide tensor is never
spread out over the large one:

* an activation acts on each number alone; a slope per channel is repeated for the r*r channels it came from;
* a convolution from C to O channels becomes one from C*r*r to O*r*r. Its kernel holds the same numbers beside zeros: a tap
  that reads d pixels away for row i of its block reads row (i + d) mod r of the block floor((i + d) / r) away. SRResNet's
  9x9 tail becomes 5x5. Both pad with zeros, and the block beyond the border is all zero, so borders agree too.

Equal up to the order of floating-point sums. Batch norms are folded by the exporter itself. Networks whose layers stand in
`nn.Sequential` are rewritten; what a `forward` spells out is left as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeGuard

import torch
from torch import nn
from torch.nn import functional as F

_POINTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU)

# A convolution before the shuffle multiplies by zeros too. It gains all the same where it has few outputs, which leave most
# lanes of a vector unit idle that O*r*r outputs use, and up to this much arithmetic against the original's. Measured in
# OpenVINO, C = 64, O = 3: 9x9 and 5x5 behind r = 2 (1.23 and 1.44) gain half, 7x7 (2.04) little; 3x3 behind r = 2 (4.0)
# and 9x9 behind r = 3 (2.8) lose, and so does anything with many outputs.
_MOST_OUTPUTS = 4
_MOST_ARITHMETIC = 2.1


def rewritten(network: nn.Module) -> nn.Module:
    """A copy of `network` that computes the same at less cost; the network itself stays as it is."""
    return _rewritten(copy.deepcopy(network))


def _rewritten(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        module.add_module(name, _rewritten(child))
    if not _is_chain(module):
        return module
    layers = list(_layers(module))
    return nn.Sequential(*layers) if _shuffles_last(layers) else module


def _is_chain(module: nn.Module) -> TypeGuard[nn.Sequential]:
    """Whether `module` does nothing but call its parts in their order."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _layers(chain: nn.Sequential) -> Iterator[nn.Module]:
    """The layers of a chain, chains within it opened."""
    for child in chain:
        yield from _layers(child) if _is_chain(child) else (child,)


def _shuffles_last(layers: list[nn.Module]) -> bool:
    """Move each pixel shuffle behind all that can be done before it, in place; whether there was anything to move."""
    moved = False
    for i in range(len(layers) - 1):
        shuffle = layers[i]
        if type(shuffle) is nn.PixelShuffle:
            before = _before_shuffle(layers[i + 1], shuffle.upscale_factor)
            if before is not None:
                layers[i : i + 2] = before, shuffle
                moved = True
    return moved


def _before_shuffle(layer: nn.Module, factor: int) -> nn.Module | None:
    """What does the same before `PixelShuffle(factor)` as `layer` does after it; None if there is no gain in it."""
    # Exact types: a subclass may do something else.
    if type(layer) in _POINTWISE:
        return layer
    if type(layer) is nn.PReLU:
        return _prelu_before_shuffle(layer, factor)
    if isinstance(layer, nn.Conv2d) and _is_plain(layer) and _gains(layer, factor):
        return _convolution_before_shuffle(layer, factor)
    return None


def _prelu_before_shuffle(prelu: nn.PReLU, factor: int) -> nn.PReLU:
    """One slope stays one; slope c applies to the factor**2 channels that output channel c is made of."""
    slopes = prelu.weight.detach()
    if prelu.num_parameters > 1:
        slopes = slopes.repeat_interleave(factor**2)
    before = nn.PReLU(slopes.numel())
    before.weight = nn.Parameter(slopes.clone())
    return before


def _is_plain(layer: nn.Conv2d) -> bool:
    """Whether `layer` is a convolution that keeps the image's size, with an odd square kernel and zeros at the borders."""
    side, *others = layer.kernel_size
    return (
        type(layer).forward is nn.Conv2d.forward
        and others == [side]
        and side % 2 == 1
        and layer.padding == (side // 2, side // 2)
        and layer.padding_mode == "zeros"
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
    )


def _reach(side: int, factor: int) -> int:
    """How many blocks of `factor` pixels a kernel of `side` pixels looks to either side."""
    return -(-(side // 2) // factor)


def _gains(layer: nn.Conv2d, factor: int) -> bool:
    side = layer.kernel_size[0]
    arithmetic = ((2 * _reach(side, factor) + 1) * factor / side) ** 2
    return layer.out_channels <= _MOST_OUTPUTS and arithmetic <= _MOST_ARITHMETIC


def _convolution_before_shuffle(layer: nn.Conv2d, factor: int) -> nn.Conv2d:
    """C to O channels, k x k -> C*r*r to O*r*r channels, (2R + 1) x (2R + 1), with R = ceil((k // 2) / r)."""
    (side, _), reach = layer.kernel_size, _reach(layer.kernel_size[0], factor)
    # Tap of the old kernel for output phase i, input phase p and block b: r*b + p - i pixels from its centre.
    phases, blocks = torch.arange(factor), torch.arange(-reach, reach + 1)
    taps = side // 2 + factor * blocks + phases[:, None] - phases[:, None, None]
    # Taps beyond the kernel read the zeros put around it.
    border = factor * (reach + 1)
    taps = taps + border
    kernel = F.pad(layer.weight.detach(), (border,) * 4)[:, :, taps][..., taps]  # O C, i p b of rows, i p b of columns
    kernel = kernel.permute(0, 2, 5, 1, 3, 6, 4, 7)  # O i j, C p q, rows of blocks, columns of blocks
    outputs, inputs, width = layer.out_channels * factor**2, layer.in_channels * factor**2, 2 * reach + 1
    before = nn.Conv2d(inputs, outputs, width, padding=reach, bias=layer.bias is not None)
    before.weight = nn.Parameter(kernel.reshape(outputs, inputs, width, width).contiguous())
    if layer.bias is not None:
        before.bias = nn.Parameter(layer.bias.detach().repeat_interleave(factor**2))
    return before
