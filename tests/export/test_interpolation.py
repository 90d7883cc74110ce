"""Weights in between are the parents at both ends, go steadily from one to the other, and run like any others."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import mezzotint as mz
from mezzotint.card import SUPER_RESOLUTION, Card, read_card
from mezzotint.cli import main
from mezzotint.errors import InputError, OutputError, UsageError
from mezzotint.models import weights
from mezzotint.models.compact import Compact
from mezzotint.models.srresnet import SRResNet

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LR = np.random.default_rng(0).random((1, 3, 12, 14), np.float32)


def save(path: Path, network: torch.nn.Module, reference: str, arguments: dict, **facts: object) -> Path:
    facts |= {"scale": network.scale, "halo": network.halo, "in_channels": network.in_channels}
    card = Card(path.stem, SUPER_RESOLUTION, reference, arguments, **facts)
    weights.save(network, card, path)
    return path


def moved(network: torch.nn.Module, seed: int, by: float) -> torch.nn.Module:
    """The network as more training might leave it, averages of batch norms included."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor += by * (torch.rand(tensor.shape, generator=random) - 0.5)
            else:
                tensor += 7
    return network


@pytest.fixture
def parents(tmp_path) -> tuple[Path, Path]:
    """SRResNet with batch norms, and itself moved a little."""
    torch.manual_seed(0)
    arguments = {"scale": 2, "channels": 4, "num_blocks": 1}
    network = moved(SRResNet(**arguments), 1, 0.2)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    facts = {"recipe": {"seed": 0}, "steps": 5, "minutes": 1.0, "licence": "CC0", "metrics": {"Set5": {"psnr_y": 30.0}}}
    a = save(tmp_path / "a.safetensors", network, "srresnet.SRResNet", arguments, data="sky", **facts)
    b = save(tmp_path / "b.safetensors", moved(network, 2, 0.05), "srresnet.SRResNet", arguments, data="sea", **facts)
    return a, b


def output_of(path: Path) -> np.ndarray:
    with torch.inference_mode():
        return weights.load(path)[0](torch.from_numpy(LR)).numpy()


def test_both_ends_are_the_parents_and_the_way_is_steady(parents, tmp_path) -> None:
    a, b = map(output_of, parents)
    distances = []
    for share in SHARES:
        path = tmp_path / f"{share}.safetensors"
        mz.interpolate(*parents, path, share=share)
        between = output_of(path)
        if share in (0, 1):
            np.testing.assert_array_equal(between, a if share == 0 else b)
        distances.append((np.abs(between - a).mean(), np.abs(between - b).mean()))
    from_a, from_b = zip(*distances, strict=True)
    assert all(np.diff(from_a) > 0) and all(np.diff(from_b) < 0) and from_a[-1] > 1e-4
    # Batch norm's averages lie in between as weights do.
    states = [weights.load(path)[0].state_dict() for path in (*parents, tmp_path / "0.25.safetensors")]
    name = next(name for name in states[0] if name.endswith("running_var"))
    torch.testing.assert_close(states[2][name], 0.75 * states[0][name] + 0.25 * states[1][name])


def test_the_card_names_both_parents_and_claims_nothing(parents, tmp_path) -> None:
    card = mz.interpolate(*parents, tmp_path / "between.safetensors", share=0.25)
    assert card == read_card(tmp_path / "between.safetensors")
    digests = [read_card(path).weights_sha256 for path in parents]
    assert card.parents == (
        {"name": "a", "weights_sha256": digests[0], "share": 0.75},
        {"name": "b", "weights_sha256": digests[1], "share": 0.25},
    )
    assert (card.name, card.data, card.licence) == ("between", "sky; sea", "CC0")
    assert not card.recipe and not card.metrics and card.steps is None and card.minutes is None
    assert card.weights_sha256 not in digests


def test_an_onnx_file_runs_without_torch_and_a_safetensors_file_with_it(parents, tmp_path) -> None:
    card = mz.interpolate(*parents, tmp_path / "c.onnx")
    mz.interpolate(*parents, tmp_path / "d.safetensors")
    assert read_card(tmp_path / "c.onnx").weights_sha256 == card.weights_sha256
    results = [
        mz.load(tmp_path / "c.onnx", "openvino", "f32", threads=1)(LR),
        mz.load(tmp_path / "d.safetensors", "pytorch", "f32")(LR),
    ]
    np.testing.assert_allclose(results[0], results[1], atol=1e-4)
    np.testing.assert_allclose(results[1], output_of(tmp_path / "d.safetensors"), atol=1e-4)


def test_what_does_not_fit_is_told_before_anything_is_written(parents, tmp_path) -> None:
    a, _ = parents
    torch.manual_seed(0)
    small = {"scale": 2, "channels": 4, "num_blocks": 1}
    others = {
        "network differs, srresnet.SRResNet and compact.Compact": (Compact, "compact.Compact", small),
        "scale differs, 2 and 3": (SRResNet, "srresnet.SRResNet", small | {"scale": 3}),
        "num_blocks of srresnet.SRResNet is 1 and 2": (SRResNet, "srresnet.SRResNet", small | {"num_blocks": 2}),
        "in_channels of srresnet.SRResNet is 3 and 1": (
            SRResNet, "srresnet.SRResNet", small | {"in_channels": 1},
        ),
    }  # fmt: skip
    for message, (network, reference, arguments) in others.items():
        other = save(tmp_path / "other.safetensors", network(**arguments), reference, arguments)
        with pytest.raises(UsageError, match=message):
            mz.interpolate(a, other, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_an_argument_left_out_is_its_default(parents, tmp_path) -> None:
    a, _ = parents
    spelled = {"scale": 2, "channels": 4, "num_blocks": 1, "in_channels": 3}
    c = save(tmp_path / "c.safetensors", SRResNet(**spelled), "srresnet.SRResNet", spelled)
    assert mz.interpolate(a, c, tmp_path / "out.safetensors").parents[1]["name"] == "c"


@pytest.mark.parametrize(
    ("output", "share", "error", "message"),
    [
        ("out.safetensors", 1.5, UsageError, "a share goes from 0"),
        ("out.safetensors", float("nan"), UsageError, "a share goes from 0"),
        ("out.pt", 0.5, UsageError, "must end in .safetensors"),
        ("b.safetensors", 0.5, UsageError, "exists; use --overwrite"),
        ("no/folder/out.onnx", 0.5, OutputError, "there is no folder"),
    ],
)
def test_mistakes(parents, tmp_path, output, share, error, message) -> None:
    before = parents[1].read_bytes()
    with pytest.raises(error, match=message):
        mz.interpolate(*parents, tmp_path / output, share=share)
    assert parents[1].read_bytes() == before


def test_models_without_weights_to_mix(parents, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"bicubic-x4.*has no weights to interpolate"):
        mz.interpolate(parents[0], "bicubic-x4", tmp_path / "out.safetensors")
    with pytest.raises(InputError, match="no such model file"):
        mz.interpolate(parents[0], tmp_path / "none.safetensors", tmp_path / "out.safetensors")


def test_the_command(parents, tmp_path, capsys) -> None:
    a, b = parents
    output = tmp_path / "out.safetensors"

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        return ended.value.code or 0, *capsys.readouterr()

    code, out, _ = run("interpolate", a, b, "--share", "0.3", "-o", output)
    assert code == 0 and out.startswith(str(output)) and "70% a, 30% b" in out
    assert json.loads(run("inspect", output, "--json")[1])["card"]["parents"][1]["share"] == 0.3
    code, out, err = run("interpolate", a, b, "-o", output)
    assert code == 2 and out == "" and "--overwrite" in err
    assert run("interpolate", a, b, "-o", output, "--overwrite")[0] == 0
    assert run("interpolate", a, b, "--share", "2", "-o", output, "--overwrite")[0] == 2


def test_without_torch_the_command_says_what_to_install(parents, tmp_path, monkeypatch, capsys) -> None:
    import sys

    for name in ("mezzotint.export.interpolation", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit) as ended:
        main(["interpolate", *map(str, parents), "-o", str(tmp_path / "out.onnx")])
    assert ended.value.code == 2 and "pip install 'mezzotint[train]'" in capsys.readouterr().err
