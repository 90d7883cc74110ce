"""Weights in between: Wang et al. 2019, "Deep Network Interpolation for Continuous Imagery Effect Transition", section 3
(arXiv 1811.10515); Wang et al. 2018, ESRGAN, section 3.4.

Between weights trained for fidelity and the same weights trained on against a discriminator lies a straight line of
networks, and along it invented detail comes in gradually. One must have started from the other: between weights that were
trained apart lies nothing good.
"""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mezzotint import __version__, catalog
from mezzotint.card import Card
from mezzotint.errors import OutputError, UsageError
from mezzotint.export.onnx import export_network
from mezzotint.models import weights

__all__ = ["interpolate"]


def interpolate(
    a: str | Path, b: str | Path, output: str | Path, *, share: float = 0.5, overwrite: bool = False
) -> Card:
    """Write weights (1 - share) * a + share * b, averages of batch norm included, and return their card.

    `a` and `b` are names, run folders or `.safetensors` files of one network with the same arguments; `share` is 0 for
    exactly `a` to 1 for exactly `b`. `output` ends in `.safetensors`, or in `.onnx` for a file to run. Its card names both
    parents with their SHA-256 and shares, and has no recipe and no measured quality.

    Raises `UsageError` (a share outside 0 to 1, weights that do not fit each other, an `output` that exists or of another
    kind), `InputError`, `ModelError`, `OutputError`.
    """
    output = Path(output)
    if not 0 <= share <= 1:
        raise UsageError(f"a share goes from 0, all of {a}, to 1, all of {b}; it is {share:g}")
    _check_output(output, overwrite)
    (network, first), (other, second) = _load(a), _load(b)
    _check_fit(str(a), first, str(b), second, type(network))
    _mix(network, other, share)
    card = _card(output.stem, first, second, share)
    if output.suffix == catalog.TRAINED:
        return weights.save(network, card, output, overwrite=overwrite)
    with tempfile.TemporaryDirectory() as folder:
        # Saving is what checks the weights and puts their SHA-256 on the card.
        card = weights.save(network, card, Path(folder) / "between.safetensors")
    export_network(network, card, output, overwrite=overwrite)
    return card


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuse before any work what could not be written after it."""
    if output.suffix not in (catalog.TRAINED, catalog.DEPLOYED):
        raise UsageError(f"{output} must end in {catalog.TRAINED}, or in {catalog.DEPLOYED} for a file to run")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists; use --overwrite to replace it")
    if not output.parent.is_dir():
        raise OutputError(f"cannot write {output}: there is no folder {output.parent}")


def _load(name: str | Path) -> tuple[nn.Module, Card]:
    path = catalog.find(name, catalog.TRAINED)
    if path is None:
        raise UsageError(f"'{name}' is built in and has no weights to interpolate")
    return weights.load(path)


def _check_fit(a: str, first: Card, b: str, second: Card, kind: type[nn.Module]) -> None:
    """Raise `UsageError` with the first thing that makes a weight of one mean something else in the other."""
    for fact in ("task", "network", "scale", "labels"):
        one, two = getattr(first, fact), getattr(second, fact)
        if one != two:
            raise UsageError(f"nothing lies between {a} and {b}: their {fact} differs, {one} and {two}")
    # A card may leave out what is the default.
    for key, parameter in inspect.signature(kind).parameters.items():
        one, two = (_plain(card.arguments.get(key, parameter.default)) for card in (first, second))
        if one != two:
            raise UsageError(f"nothing lies between {a} and {b}: {key} of {first.network} is {one} and {two}")


def _plain(value: Any) -> Any:
    """Lists, as JSON has them, for tuples, as constructors have them."""
    return list(value) if isinstance(value, tuple) else value


@torch.no_grad()
def _mix(network: nn.Module, other: nn.Module, share: float) -> None:
    """Move every weight and average of `network` to its place between both, in place."""
    theirs = other.state_dict()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(theirs[name], share)  # exact at both ends
        elif share >= 0.5:
            tensor.copy_(theirs[name])  # batch norm's count of batches


def _card(name: str, first: Card, second: Card, share: float) -> Card:
    """What is true of both, and whose they are."""
    parents = tuple(
        {"name": card.name, "weights_sha256": card.weights_sha256, "share": part}
        for card, part in ((first, 1 - share), (second, share))
    )
    return first.replace(
        name=name,
        description=f"Between {first.name} and {second.name}",
        version=__version__,
        recipe={},
        steps=None,
        minutes=None,
        data=_both(first.data, second.data),
        licence=_both(first.licence, second.licence),
        metrics={},
        parents=parents,
    )


def _both(one: str, two: str) -> str:
    return one if one == two else "; ".join(filter(None, (one, two)))
