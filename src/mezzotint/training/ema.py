"""Exponential moving average of weights (Polyak): the network that is validated and shipped."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """An average of `network` that follows at once at first and settles at `decay`: min(decay, (1 + n) / (10 + n)).

    Batch-norm statistics are averaged too.
    """
    return AveragedModel(network, multi_avg_fn=_average(decay), use_buffers=True)


def _average(decay: float) -> Callable[..., None]:
    @torch.no_grad()
    def update(averages: list[torch.Tensor], values: list[torch.Tensor], updates: torch.Tensor | int) -> None:
        n = int(updates)
        # They come in groups of one type. One call for all: this happens at every step, and networks have dozens of them.
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, 1 - min(decay, (1 + n) / (10 + n)))
        else:
            torch._foreach_copy_(averages, values)

    return update
