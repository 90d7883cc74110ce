"""Full training state in one safetensors file, written atomically: a killed run resumes to the same bytes.

Networks, averages, optimizers and counters are all there is: randomness is a function of (seed, step), so no
generator state needs saving.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from mezzotint.errors import InputError
from mezzotint.files import write_bytes

_KEY = "state"


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer], state: dict[str, Any]
) -> None:
    """Write modules, optimizers and `state` (JSON values) to `path`; the previous file survives until that is done.

    Keys: `module/parameter` and `optimizer/index/moment`.
    """
    tensors = {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    groups = {}
    for name, optimizer in optimizers.items():
        saved = optimizer.state_dict()
        groups[name] = saved["param_groups"]
        for index, moments in saved["state"].items():
            tensors |= {f"{name}/{index}/{key}": torch.as_tensor(value) for key, value in moments.items()}
    # clone: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    metadata = {_KEY: json.dumps({"state": state, "groups": groups}, sort_keys=True)}
    write_bytes(path, save(tensors, metadata))


def load_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer]
) -> dict[str, Any]:
    """Restore what `save_checkpoint` wrote, in place, and return `state`. Raises `InputError`."""
    with _readable(path):
        with safe_open(path, "pt") as file:
            saved = json.loads(file.metadata()[_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        for name, module in modules.items():
            # A network and its optimizer share a name; only the optimizer's keys go on with another slash.
            module.load_state_dict({key: value for key, value in _below(tensors, name).items() if "/" not in key})
        for name, optimizer in optimizers.items():
            moments = {key: value for key, value in _below(tensors, name).items() if "/" in key}
            _load_optimizer(optimizer, saved["groups"][name], moments)
        state: dict[str, Any] = saved["state"]
    return state


def read_state(path: Path) -> dict[str, Any]:
    """The `state` in a file of `save_checkpoint`, without its tensors. Raises `InputError`."""
    with _readable(path), safe_open(path, "pt") as file:
        state: dict[str, Any] = json.loads(file.metadata()[_KEY])["state"]
    return state


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Whatever is wrong with a checkpoint as one error."""
    try:
        yield
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(f"cannot resume from {path}: {what}; it belongs to another recipe or is damaged") from error


def _below(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _load_optimizer(
    optimizer: torch.optim.Optimizer, groups: list[dict[str, Any]], flat: dict[str, torch.Tensor]
) -> None:
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in flat.items():
        index, _, name = key.partition("/")
        moments.setdefault(int(index), {})[name] = value
    for group in groups:
        group["betas"] = tuple(group["betas"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
    # Moments in another memory layout than their parameter take other code paths, whose last bits differ.
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
