"""An export computes what the network computes at any size, or it does not appear."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import mezzotint
from mezzotint import refs, runtimes
from mezzotint.card import GENERATION, SUPER_RESOLUTION, Card, read_card
from mezzotint.errors import InputError, ModelError, OutputError, UsageError
from mezzotint.export.onnx import export_network
from mezzotint.models import weights


class TinySR(nn.Module):
    """Batch norm that is not neutral, and a pixel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.PixelShuffle(2))
        norm = self.body[1]
        for tensor in (norm.running_mean, norm.weight.data, norm.bias.data):
            tensor.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return self.body(lr)


class WronglyFused(TinySR):
    def fused(self) -> TinySR:
        fused = TinySR().eval()
        fused.body[0].bias.data += 0.01
        return fused


class OneSize(TinySR):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return self.body(lr) * (1 if lr.shape[2] == 24 else 2)


class DataDependent(TinySR):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return self.body(lr) if lr.sum() > 0 else self.body(-lr)


SR_CARD = Card(name="tiny", task=SUPER_RESOLUTION, network="tiny.TinySR", scale=2)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_network(TinySR(), SR_CARD, tmp_path_factory.mktemp("exported") / "tiny.onnx")


def test_batch_norm_is_folded_and_the_card_is_the_only_metadata(exported: Path) -> None:
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} == {"Conv", "DepthToSpace"}
    assert [entry.key for entry in model.metadata_props] == ["mezzotint"]
    parameters = sum(p.numel() for p in TinySR().parameters())
    assert read_card(exported) == SR_CARD.replace(parameters=parameters, macs=9 * 3 * 12)
    shape = model.graph.input[0].type.tensor_type.shape
    assert [bool(dim.dim_param) for dim in shape.dim] == [True, False, True, True]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("lr", "sr")
    # Nothing of the machine it was made on.
    assert str(Path(torch.__file__).parent).encode() not in exported.read_bytes()
    assert str(Path(__file__).parent).encode() not in exported.read_bytes()


_EXPORT = """
import sys
sys.path.insert(0, sys.argv[1])
import test_onnx
network = test_onnx.TinySR().train()
test_onnx.export_network(network, test_onnx.SR_CARD, sys.argv[2])
assert network.training  # the caller's network stays as it was
"""


def test_another_process_makes_the_same_bytes_in_silence(exported: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _EXPORT, str(Path(__file__).parent), str(tmp_path / "there.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "there.onnx").read_bytes() == exported.read_bytes()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (WronglyFused(), "not written: the exported network is 0.0.* off"),
        (OneSize(), "not written: .*invalid dimensions"),
        (DataDependent(), "DataDependent does not take what the card of tiny says: .*item"),
    ],
    ids=["wrongly fused", "one size", "data-dependent"],
)
def test_an_export_that_computes_something_else_does_not_appear(
    tmp_path: Path, network: nn.Module, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        export_network(network, SR_CARD, tmp_path / "tiny.onnx")
    assert not list(tmp_path.iterdir())


def test_outputs_are_checked_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.onnx"):
        export_network(TinySR(), SR_CARD, tmp_path / "tiny.pt")
    with pytest.raises(OutputError, match="no folder"):
        export_network(TinySR(), SR_CARD, tmp_path / "missing" / "tiny.onnx")
    (tmp_path / "tiny.onnx").write_bytes(b"old")
    with pytest.raises(UsageError, match="--overwrite"):
        export_network(TinySR(), SR_CARD, tmp_path / "tiny.onnx")
    assert (tmp_path / "tiny.onnx").read_bytes() == b"old"
    with pytest.raises(UsageError, match="no weights"):
        mezzotint.export("bicubic-x2", tmp_path / "new.onnx")
    with pytest.raises(InputError, match="no such model file"):
        mezzotint.export(tmp_path / "absent.safetensors", tmp_path / "new.onnx")


def test_the_public_function_and_the_package_share_a_name() -> None:
    assert mezzotint.export is importlib.import_module("mezzotint.export")
    assert callable(mezzotint.export)
    assert callable(mezzotint.export.onnx.export)


# Small arguments by name; what a network does not take is left out. Contract: an exported network is one of these kinds.
_SMALL = {"channels": 8, "num_blocks": 1, "size": (20, 28), "latent_dim": 6, "num_classes": 3, "widths": (8, 6)}


def _deployable() -> list[str]:
    """References of all networks in models/ that enlarge images or generate them."""
    found = []
    for name in refs.modules("models"):
        module = importlib.import_module(f"mezzotint.models.{name}")
        for public in refs.public(module):
            network = _small(f"{name}.{public}")[0]
            if hasattr(network, "scale") or hasattr(network, "latent_dim"):
                found.append(f"{name}.{public}")
    return found


def _small(reference: str) -> tuple[nn.Module, dict]:
    import inspect

    kind = refs.resolve(reference, "models")
    arguments = {key: _SMALL[key] for key in inspect.signature(kind).parameters if key in _SMALL}
    torch.manual_seed(0)
    return kind(**arguments), arguments


@pytest.mark.parametrize("reference", _deployable())
def test_every_network_gives_the_same_in_every_runtime(tmp_path: Path, reference: str) -> None:
    network, arguments = _small(reference)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    random = np.random.default_rng(0)
    if hasattr(network, "scale"):
        card = Card("x", SUPER_RESOLUTION, reference, arguments, scale=network.scale, halo=network.halo)
        inputs = [random.random((1, 3, 19, 33), dtype=np.float32)]
    else:
        labels = tuple(str(n) for n in range(getattr(network, "num_classes", 0)))
        size = getattr(network, "size", None)
        card = Card("x", GENERATION, reference, arguments, latent_dim=network.latent_dim, size=size, labels=labels)
        inputs = [random.standard_normal((5, *card.latent_shape), dtype=np.float32)]
        inputs += [np.arange(5) % len(labels)] if labels else []
    weights.save(network, card, tmp_path / "x.safetensors")
    mezzotint.export(tmp_path / "x.safetensors", tmp_path / "x.onnx")
    with torch.inference_mode():
        expected = network.eval()(*map(torch.from_numpy, inputs)).numpy()
    for runtime in runtimes.RUNTIMES:
        model = runtimes.load(tmp_path / "x.onnx", runtime, "f32", threads=1)
        result = model(*inputs)
        assert result.dtype == np.float32
        assert result.shape == expected.shape
        assert np.abs(result - expected).max() < 1e-4
