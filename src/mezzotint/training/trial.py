"""How fast a recipe trains on this machine: its own networks and method, real steps, timed."""

from __future__ import annotations

import math
import time
from statistics import median
from typing import Any

import torch
from torch import nn

from mezzotint.recipes.model import Recipe
from mezzotint.training.devices import autocast_type
from mezzotint.training.run import build

_LEAST, _MOST = 2, 30  # timed steps


def images_per_second(recipe: Recipe, device: torch.device, seconds: float) -> float:
    """Images that a generation recipe would train on in a second, on images of noise, whose content costs nothing.

    The first step, which prepares what later ones find ready, is not counted; then it goes on for `seconds`, at least two
    steps. 0 where the memory of the device does not suffice. Feeding, averaging and logging are left out (below 10 %).
    """
    torch.manual_seed(recipe.seed)
    try:
        method, _ = build(recipe, device)
        size, batch = recipe.data.size, recipe.data.batch
        assert size is not None
        real = torch.rand(batch, recipe.data.channels, *size, device=device).mul(2).sub(1)
        labels = torch.arange(batch, device=device) % max(1, recipe.generator.arguments.get("num_classes", 0))
        items = {"real": real.contiguous(memory_format=torch.channels_last), "labels": labels}
        if recipe.ramps is not None and hasattr(method, "dials"):
            method.dials["augment"] = recipe.ramps.augment[1]
        autocast = autocast_type(recipe.precision, device)

        def update(name: str, loss: Any) -> None:
            optimizer = method.optimizers[name]
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, enabled=False):
                loss.backward()
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], math.inf)
            optimizer.step()

        times: list[float] = []
        end = math.inf
        while len(times) <= _LEAST or (time.perf_counter() < end and len(times) <= _MOST):
            start = time.perf_counter()
            with torch.autocast(device.type, autocast, enabled=autocast is not None):
                scalars = method.step(items, update)
            float(scalars["generator"].detach())  # waits for a GPU to be done
            times.append(time.perf_counter() - start)
            if len(times) == 1:
                end = time.perf_counter() + seconds
    except torch.OutOfMemoryError:
        return 0.0
    return batch / median(times[1:])


__all__ = ["images_per_second"]
