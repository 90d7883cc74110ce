"""Weights of others, as a network of ours: ESRGAN (RRDB), Real-ESRGAN's compact network, SPAN; `.pth` or `.safetensors`.

Read without trust: no pickle is run (`pickled.py`), only tensors that the network needs are read, and none before names,
shapes and sizes are known to fit.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from mezzotint import tensors, torch_files
from mezzotint.card import KEY, SUPER_RESOLUTION, Card
from mezzotint.errors import InputError, ModelError
from mezzotint.models import weights
from mezzotint.models.foreign_keys import Recognised, recognise
from mezzotint.tensors import Tensor

# This folder's `__all__` names networks that recipes and cards may refer to; the functions here are none.
__all__: list[str] = []

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# What training programs put before every name: wrappers of several GPUs, places in a larger whole.
_PREFIX = re.compile(r"(?:(?:module|generator|netG|net_g|model_g|params_ema|params|_orig_mod)\.)+")


def load(path: str | Path, *, name: str = "", licence: str = "", scale: int | None = None) -> tuple[nn.Module, Card]:
    """The network of a `.pth` or `.safetensors` file without a card of ours, in evaluation mode, and a card for it.

    What the network is and its arguments are told by the names and shapes of its tensors; `scale` decides where those
    leave it open and is checked otherwise. The card says which file the weights came from, with its SHA-256.

    Raises `InputError` (unreadable), `ModelError` naming the file and the tensor that does not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such model file: {path}")
    if path.suffix == ".safetensors":
        _, found = tensors.read_header(path)
    else:
        found = torch_files.read_header(path)
    found = _without_prefix(found)
    try:
        known = recognise({key: tensor.shape for key, tensor in found.items()}, scale)
    except ValueError as error:
        raise ModelError(f"{path} is no upscaler that can be read: {error}") from error
    if scale not in (None, known.arguments["scale"]):
        raise ModelError(f"{path} enlarges {known.arguments['scale']} times, not {scale} times")
    card = Card(name or path.stem, SUPER_RESOLUTION, known.network, known.arguments, scale=known.arguments["scale"])
    ours = weights.expected_shapes(card, path)
    wanted = {known.theirs[mine]: shape for mine, shape in ours.items()}
    branched = _take_branches(wanted, found)
    # What else may be there: kernels that were merged from the branches once, and a mark that the names have told.
    idle = {f"{place}.eval_conv.{kind}" for place in branched for kind in ("weight", "bias")} | {"no_norm"}
    _compare(path, known, {key: tensor for key, tensor in found.items() if key not in idle}, wanted)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    state = {key: _floats(data, found[key], key, path) for key in wanted}
    for place in branched:
        state |= _merged(place, state)
    state = {mine: state[known.theirs[mine]] for mine in ours}
    weights.check_finite(state, path)
    with torch.random.fork_rng(devices=[]):
        network = weights.construct(card, path)
    network.load_state_dict(state)
    source = {
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "architecture": known.architecture,
        "names": known.style,
    }
    facts = {key: getattr(network, key, None) for key in ("in_channels", "halo", "alignment")}
    card = card.replace(
        out_channels=network.in_channels,
        description=f"{known.architecture}, weights of others",
        licence=licence,
        source=source,
        weights_sha256=weights.sha256(state),
        **facts,
    )
    return network.eval(), weights.counted(network, card)


def is_foreign(path: str | Path) -> bool:
    """Whether a file, by its name and without trust in what it says, is for `load`: no card of ours is in it."""
    path = Path(path)
    if path.suffix in (".pth", ".pt", ".ckpt"):
        return True
    return path.suffix == ".safetensors" and path.is_file() and KEY not in tensors.read_header(path)[0]


def _without_prefix(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their names in the network, where all have the same prefix."""
    first = _PREFIX.match(next(iter(found), ""))
    prefix = first[0] if first else ""
    return {key.removeprefix(prefix): tensor for key, tensor in found.items() if key.startswith(prefix)}


def _take_branches(wanted: dict[str, tuple[int, ...]], found: dict[str, Tensor]) -> list[str]:
    """Where the file has SPAN's branches of a convolution, want those in place of its merged kernel; where that is."""
    places = []
    for merged, shape in list(wanted.items()):
        place = merged.removesuffix(".eval_conv.weight")
        if place == merged or f"{place}.sk.weight" not in found:
            continue
        outputs, inputs = shape[:2]
        places.append(place)
        del wanted[merged], wanted[f"{place}.eval_conv.bias"]
        # How much wider the branches are inside is told by the first of them.
        first = found.get(f"{place}.conv.0.weight")
        gain = max(1, first.shape[0] // inputs) if first and first.shape else 1
        kernels = {
            "sk": (outputs, inputs, 1, 1),
            "conv.0": (gain * inputs, inputs, 1, 1),
            "conv.1": (gain * outputs, gain * inputs, 3, 3),
            "conv.2": (outputs, gain * outputs, 1, 1),
        }
        for layer, shape in kernels.items():
            wanted |= {f"{place}.{layer}.weight": shape, f"{place}.{layer}.bias": shape[:1]}
    return places


def _merged(place: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """SPAN's branches at `place` multiplied out: kernel and bias of the one convolution that computes the same.

    In float64, since the products of three kernels lose digits. Zeros are put around the image, as the authors' code does
    when it is deployed, and not around what the first branch makes of it.
    """
    (skip, skip_bias), (w1, b1), (w2, b2), (w3, b3) = (
        (state[f"{place}.{layer}.weight"].double(), state[f"{place}.{layer}.bias"].double())
        for layer in ("sk", "conv.0", "conv.1", "conv.2")
    )
    contract, expand = w3[:, :, 0, 0], w1[:, :, 0, 0]
    kernel = torch.einsum("ob,bahw,ai->oihw", contract, w2, expand) + F.pad(skip, (1, 1, 1, 1))
    bias = contract @ (w2.sum((2, 3)) @ b1 + b2) + b3 + skip_bias
    return {f"{place}.eval_conv.weight": kernel.float(), f"{place}.eval_conv.bias": bias.float()}


def _compare(path: Path, known: Recognised, found: dict[str, Tensor], wanted: dict[str, tuple[int, ...]]) -> None:
    """Raise `ModelError` with the first tensor that is missing, too many or of another shape."""
    what = f"{path} does not fit {known.architecture} with the names of {known.style}"
    for key, shape in wanted.items():
        if key not in found:
            raise ModelError(f"{what}: '{key}' is missing")
        if found[key].shape != shape:
            raise ModelError(f"{what}: '{key}' has shape {list(found[key].shape)}, not {list(shape)}")
        if found[key].dtype not in _DTYPES:
            raise ModelError(f"{what}: '{key}' holds numbers of the type {found[key].dtype}")
    for key in found:
        if key not in wanted:
            raise ModelError(f"{what}: '{key[:80]}' is not part of it")


def _floats(data: bytes, tensor: Tensor, key: str, path: Path) -> torch.Tensor:
    """The numbers of one tensor, float32."""
    values = torch.frombuffer(bytearray(data[tensor.begin : tensor.end]), dtype=_DTYPES[tensor.dtype]).float()
    if not values.isfinite().all():
        raise ModelError(f"{path}: weights '{key}' hold values that are not finite")
    return values.reshape(tensor.shape)
