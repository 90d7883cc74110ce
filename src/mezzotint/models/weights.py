"""Trained weights on disk: one `.safetensors` file with its card, written atomically, read without trust."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from mezzotint import files, refs
from mezzotint.card import GENERATION, KEY, Card, read_card
from mezzotint.errors import InputError, MezzotintError, ModelError, UsageError, missing_extra
from mezzotint.models.cost import multiplications
from mezzotint.models.reparameterization import ReparameterizedConv
from mezzotint.tensors import digest, read_header

# This folder's `__all__` names networks that recipes and cards may refer to; the functions here are none.
__all__: list[str] = []

# A constructor argument beyond this is damage or an attack: no width, depth or side of ours comes near it.
_LARGEST_ARGUMENT = 4096
# Of the input that cost is counted on: any will do for networks of convolutions.
_SIDE = 32


def save(network: nn.Module, card: Card, path: str | Path, *, overwrite: bool = True) -> Card:
    """Write `network`'s state with `card`, its `parameters`, `macs` and `weights_sha256` filled in; returns it.

    Equal weights and equal cards give equal bytes. Raises `ModelError` if `load` could not read the file back (the card
    does not describe this network, or a weight is not finite) and `OutputError`.
    """
    try:
        import safetensors.torch
    except ModuleNotFoundError as error:
        raise missing_extra("safetensors", "train") from error

    # A copy of each: the format has no tensors that share memory.
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in network.state_dict().items()}
    _compare({name: tuple(tensor.shape) for name, tensor in state.items()}, expected_shapes(card, path), path)
    check_finite(state, path)
    card = counted(network, card).replace(weights_sha256=sha256(state))
    # One metadata key: the library writes several in varying order.
    files.write_bytes(path, safetensors.torch.save(state, {KEY: card.to_json()}), overwrite=overwrite)
    return card


def load(path: str | Path) -> tuple[nn.Module, Card]:
    """The network of a `.safetensors` file, in evaluation mode on the CPU, and its card.

    Nothing is allocated until the header, the file's length, and every name and shape agree with the card's network; the
    weights must be finite and have the card's SHA-256. Leaves torch's random state alone. Raises `InputError`,
    `ModelError` naming the file and the difference, and `UsageError` if safetensors is missing.
    """
    try:
        import safetensors
        import safetensors.torch
    except ModuleNotFoundError as error:
        raise missing_extra("safetensors", "train") from error

    path = Path(path)
    card, (_, tensors) = read_card(path), read_header(path)
    _compare({name: tensor.shape for name, tensor in tensors.items()}, expected_shapes(card, path), path)
    try:
        data = path.read_bytes()
        state = safetensors.torch.load(data)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path} is not a readable model file ({error})") from error
    if card.weights_sha256 != digest(data, tensors):
        raise ModelError(f"{path} is damaged: its weights are not those on its card (SHA-256 differs)")
    check_finite(state, path)
    with torch.random.fork_rng(devices=[]):
        network = construct(card, path)
    network.load_state_dict(state)
    return network.eval(), card


def sha256(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over the bytes of tensors on the CPU, in the order of their names: what a card calls `weights_sha256`."""
    total = hashlib.sha256()
    for name in sorted(state):
        total.update(state[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def adopt(network: nn.Module, source: nn.Module) -> None:
    """Start `network` from the weights of `source`, in place: all of them, or all but those of a tail that is another one.

    Kernels that `source` has merged for deployment are taken apart again. A network whose tail differs (another scale, or
    another way to the same) is given the tail by its own `adopt_tail`, where it has that, and keeps a fresh one otherwise.
    Raises `UsageError` naming the first difference elsewhere.
    """
    mine, theirs = network.state_dict(), source.state_dict()
    fits = {name for name in mine if name in theirs and mine[name].shape == theirs[name].shape}
    taken = {name: theirs[name] for name in fits}
    for name, module in network.named_modules():
        weight, bias = theirs.get(f"{name}.weight"), theirs.get(f"{name}.bias")
        if not isinstance(module, ReparameterizedConv) or weight is None or bias is None:
            continue
        if weight.shape == module.kernel().shape:
            module.become(weight, bias)
            fits |= {f"{name}.{key}" for key in ("weight", *module.state_dict())}
    differing = (mine.keys() | theirs.keys()) - fits
    elsewhere = sorted(name for name in differing if not name.startswith("tail."))
    if elsewhere or not fits:
        raise UsageError(f"their '{(elsewhere or ['weights'])[0]}' is another one")
    network.load_state_dict(taken, strict=False)
    if differing and hasattr(network, "adopt_tail"):
        network.adopt_tail(source)  # type: ignore[operator]


def deployed(network: nn.Module) -> nn.Module:
    """The network as it is run: its own `fused()` form, same function at less cost, where it has one."""
    fused = getattr(network, "fused", None)
    return fused() if callable(fused) else network


def counted(network: nn.Module, card: Card) -> Card:
    """The card with the `parameters` and `macs` of `network` as it is. Raises `ModelError` if it takes other inputs."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if card.task == GENERATION:
        pixels, shapes = 1, [(1, *card.latent_shape), *([(1,)] if card.labels else [])]
    else:
        pixels, shapes = _SIDE**2, [(1, card.in_channels, _SIDE, _SIDE)]
    try:
        macs = round(multiplications(network, *shapes) / pixels)
    except RuntimeError as error:
        why = " ".join(str(error).split())[:200]
        # Counting sees shapes alone, so a network whose steps depend on the values of its input stops here, too.
        raise ModelError(f"{type(network).__name__} does not take what the card of {card.name} says: {why}") from error
    return card.replace(parameters=parameters, macs=macs)


def construct(card: Card, path: str | Path) -> nn.Module:
    """The network a card describes, with untrained weights."""
    for name, value in card.arguments.items():
        sides = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(side, int) and abs(side) > _LARGEST_ARGUMENT for side in sides):
            raise ModelError(f"{path}: its card asks for {name}={value}, beyond {_LARGEST_ARGUMENT}")
    try:
        return refs.resolve(card.network, "models")(**card.arguments)
    except (MezzotintError, TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        raise ModelError(f"{path}: its card names a network this version cannot build ({error})") from error


def expected_shapes(card: Card, path: str | Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that the card's network holds, found without allocating them."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in construct(card, path).state_dict().items()}


def _compare(shapes: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]], path: str | Path) -> None:
    """Raise `ModelError` with the first difference."""
    for name in sorted(expected.keys() | shapes.keys()):
        if name not in shapes:
            raise ModelError(f"{path} does not fit the network on its card: '{name}' is missing")
        if name not in expected:
            raise ModelError(f"{path} does not fit the network on its card: '{name[:80]}' is not part of it")
        if shapes[name] != expected[name]:
            difference = f"'{name}' has shape {list(shapes[name])}, not {list(expected[name])}"
            raise ModelError(f"{path} does not fit the network on its card: {difference}")


def check_finite(state: dict[str, torch.Tensor], path: str | Path) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: weights '{name}' hold values that are not finite")
