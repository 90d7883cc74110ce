"""What a network costs to run, counted rather than timed: the same on every machine, and as papers count it."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

# Functions about networks, none that a recipe could name.
__all__: list[str] = []


def multiplications(network: nn.Module, *shapes: tuple[int, ...]) -> int:
    """Multiply-accumulates of all convolutions and matrix products for inputs of `shapes`; activations, sums and
    normalisation are left out, as in papers. An input of one dimension is labels, B.
    """
    # A copy without values: shapes are all that counts, and counting must not move the network.
    network = copy.deepcopy(network).to("meta").eval()
    kinds = [torch.int64 if len(shape) == 1 else torch.float32 for shape in shapes]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(*(torch.zeros(shape, dtype=kind, device="meta") for shape, kind in zip(shapes, kinds, strict=True)))
    # A multiply-accumulate is two operations to torch.
    return int(counter.get_total_flops()) // 2
