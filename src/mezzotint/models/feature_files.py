"""Networks whose features images are compared by, from files that a person brings; nothing is downloaded.

Each is read without trust, frozen and in evaluation mode, and comes with a SHA-256 that says what it was. All raise
`InputError` (unreadable), `ModelError` naming the file and the difference, and `UsageError` if safetensors is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from mezzotint.errors import InputError, ModelError, missing_extra
from mezzotint.models.features import SqueezeNet11
from mezzotint.models.inception import InceptionV3
from mezzotint.models.vgg import VGG19
from mezzotint.tensors import digest, read_header

# This folder's `__all__` names networks that recipes and cards may refer to; the functions here are none.
__all__: list[str] = []

# The layers of SqueezeNet 1.1 that LPIPS compares, and their channels (lpips/pretrained_networks.py).
LPIPS_LAYERS = {"relu1": 64, "fire3": 128, "fire5": 256, "fire6": 384, "fire7": 384, "fire8": 512, "fire9": 512}

# torchvision names its files after the first digits of their SHA-256.
_VGG19_SHA256 = "dcbb9e9d"
# TensorFlow's weights in the names of torchvision, as pytorch-fid and torch-fidelity publish them: one file under two names.
_INCEPTION = (
    "pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
_LARGEST_FILE = 1 << 30


def load_squeezenet(path: str | Path) -> tuple[SqueezeNet11, str]:
    """SqueezeNet 1.1 from a `.safetensors` file with torchvision's names, and the SHA-256 of the file's tensors.

    The file may hold the classifier too, which is left out.
    """
    with torch.random.fork_rng(devices=[]):
        network = SqueezeNet11()
    state, sha256 = _read(path, _shapes(network), "SqueezeNet 1.1")
    network.load_state_dict(state)
    return network.eval().requires_grad_(False), sha256


def load_vgg19(path: str | Path) -> tuple[VGG19, str]:
    """VGG19 from torchvision's `vgg19-dcbb9e9d.pth`, whose bytes are checked, or from a `.safetensors` with its names.

    Returns with it the SHA-256 of the `.pth`, or of the tensors of the `.safetensors`.
    """
    with torch.random.fork_rng(devices=[]):
        network = VGG19()
    if Path(path).suffix == ".pth":
        name = f"torchvision's vgg19-{_VGG19_SHA256}.pth"
        state, sha256 = _read_pth(path, _shapes(network), "VGG19", name, _VGG19_SHA256)
    else:
        state, sha256 = _read(path, _shapes(network), "VGG19")
    network.load_state_dict(state)
    return network.eval().requires_grad_(False), sha256


def load_inception(path: str | Path) -> tuple[InceptionV3, str]:
    """FID's Inception-v3 from the one file that defines it, `pt_inception-2015-12-05-6726825d.pth`, and its SHA-256.

    Its bytes are checked before they are parsed; the classifier in it is left out.
    """
    with torch.random.fork_rng(devices=[]):
        network = InceptionV3()
    # How many batches its statistics were taken from matters to nothing, and not every such file says it.
    shapes = {name: shape for name, shape in _shapes(network).items() if not name.endswith("num_batches_tracked")}
    state, sha256 = _read_pth(path, shapes, "FID's Inception-v3", *_INCEPTION, alternative="")
    network.load_state_dict(state, strict=False)
    return network.eval().requires_grad_(False), sha256


def load_lpips_heads(path: str | Path) -> tuple[dict[str, torch.Tensor], str]:
    """The weights of LPIPS v0.1's heads for SqueezeNet by layer, each C float32, and the SHA-256 of the file's tensors.

    In the file they have the names of the authors' code, `lin0.model.1.weight` to `lin6.model.1.weight`, each 1 C 1 1.
    """
    shapes = {f"lin{index}.model.1.weight": (1, c, 1, 1) for index, c in enumerate(LPIPS_LAYERS.values())}
    state, sha256 = _read(path, shapes, "the heads of LPIPS v0.1 for SqueezeNet")
    return {layer: state[name].flatten() for layer, name in zip(LPIPS_LAYERS, shapes, strict=True)}, sha256


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _read(path: str | Path, shapes: Mapping[str, tuple[int, ...]], what: str) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of `shapes` from a `.safetensors` file, as finite float32, and the SHA-256 of all it holds."""
    try:
        import safetensors
        import safetensors.torch
    except ModuleNotFoundError as error:
        raise missing_extra("safetensors", "train") from error

    path = Path(path)
    _, tensors = read_header(path)
    _compare(path, {name: tensor.shape for name, tensor in tensors.items()}, shapes, what)
    try:
        # It may hold more than what is asked for, but not without end.
        _check_length(path, what)
        data = path.read_bytes()
        loaded = safetensors.torch.load(data)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path} is not a readable model file ({error})") from error
    return _finite(path, {name: loaded[name].float() for name in shapes}), digest(data, tensors)


def _read_pth(
    path: str | Path,
    shapes: Mapping[str, tuple[int, ...]],
    what: str,
    name: str,
    begin: str,
    alternative: str = ", or a .safetensors file of the same names",
) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of `shapes` from the file `name`, which is parsed only when its SHA-256 begins with `begin`."""
    path = Path(path)
    try:
        _check_length(path, what)
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if not sha256.startswith(begin):
        raise ModelError(f"{path} is not {name}: its SHA-256 begins with {sha256[:8]}; take that file{alternative}")
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    _compare(path, {key: tuple(tensor.shape) for key, tensor in loaded.items()}, shapes, what)
    return _finite(path, {key: loaded[key].float() for key in shapes}), sha256


def _check_length(path: Path, what: str) -> None:
    if (length := path.stat().st_size) > _LARGEST_FILE:
        raise ModelError(f"{path} is no {what}: it has {length} bytes, more than {_LARGEST_FILE}")


def _compare(
    path: Path, found: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]], what: str
) -> None:
    for name, shape in shapes.items():
        if found.get(name) != shape:
            has = list(found[name]) if name in found else "missing"
            raise ModelError(f"{path} does not hold {what}: '{name}' is {has}, not {list(shape)}")


def _finite(path: Path, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise ModelError(f"{path} holds weights that are not finite")
    return state
