"""Training steps a second, looked at every few steps so that a GPU's queue and single slow steps do not matter."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mezzotint.recipes.model import Recipe
from mezzotint.training.devices import autocast_type
from mezzotint.training.loop import fit
from mezzotint.training.run import build

# Steps between two looks at the clock; the first group of a turn warms up. A recipe must have it as its `log_every`.
GROUP = 5


class Clock:
    """Steps a second between the first and the last call, each made after a group of steps; `done` when time is up."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls = seconds, []

    def __call__(self, *_: Any) -> None:
        self.calls.append(time.perf_counter())

    @property
    def done(self) -> bool:
        return len(self.calls) > 1 and self.calls[-1] - self.calls[0] >= self.seconds

    @property
    def speed(self) -> float:
        return GROUP * (len(self.calls) - 1) / (self.calls[-1] - self.calls[0])


def bare(recipe: Recipe, batch: dict[str, torch.Tensor], device: torch.device, seconds: float) -> float:
    method, _ = build(recipe, device)
    autocast = autocast_type(recipe.precision, device)

    def update(name: str, loss: torch.Tensor) -> None:
        method.optimizers[name].zero_grad(set_to_none=True)
        with torch.autocast(device.type, enabled=False):
            loss.backward()
        method.optimizers[name].step()

    clock = Clock(seconds)
    while not clock.done:
        for _ in range(GROUP):
            with torch.autocast(device.type, autocast, enabled=autocast is not None):
                scalars = method.step(batch, update)
        next(iter(scalars.values())).item()  # waits for a GPU
        clock()
    return clock.speed


def ours(recipe: Recipe, batches: Any, device: torch.device, seconds: float) -> float:
    method, _ = build(recipe, device)
    clock = Clock(seconds)
    with tempfile.TemporaryDirectory() as folder:
        fit(method, batches, recipe, Path(folder), device, report=clock, interrupted=lambda: clock.done)
    return clock.speed


def in_turns(turns: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The speeds of each, measured one after the other, beginning with another every time."""
    speeds: dict[str, list[float]] = {kind: [] for kind in turns}
    order = list(turns)
    for _ in range(rounds):
        for kind in order:
            speeds[kind].append(turns[kind]())
        order.append(order.pop(0))
    return speeds


def medians(speeds: dict[str, list[float]]) -> dict[str, float]:
    """Of each the median over its turns."""
    return {kind: statistics.median(values) for kind, values in speeds.items()}
