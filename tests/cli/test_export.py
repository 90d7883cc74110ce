from pathlib import Path

import pytest
import torch

from mezzotint.card import SUPER_RESOLUTION, Card, read_card
from mezzotint.cli import main
from mezzotint.models import weights
from mezzotint.models.compact import Compact

ARGUMENTS = {"scale": 2, "channels": 4, "num_blocks": 1}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["export", *arguments])
    return end.value.code or 0


def test_exports_a_run_folder_and_never_overwrites_unasked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    card = Card("tiny", SUPER_RESOLUTION, "compact.Compact", ARGUMENTS, scale=2)
    saved = weights.save(Compact(**ARGUMENTS), card, tmp_path / "weights.safetensors")
    output = tmp_path / "out.onnx"
    assert run(str(tmp_path), str(output)) == 0
    assert capsys.readouterr().err == ""
    card = read_card(output)
    assert card.parameters < saved.parameters  # of the deployed form, kernels merged
    assert card.weights_sha256 == saved.weights_sha256
    output.write_bytes(b"mine")
    assert run(str(tmp_path), str(output)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert output.read_bytes() == b"mine"


def test_mistakes_end_with_their_code(tmp_path: Path) -> None:
    assert run("bicubic-x4", str(tmp_path / "out.onnx")) == 2
    assert run(str(tmp_path / "absent.safetensors"), str(tmp_path / "out.onnx")) == 3
    (tmp_path / "weights.safetensors").write_bytes(b"damaged")
    assert run(str(tmp_path), str(tmp_path / "out.onnx")) == 5
    assert not (tmp_path / "out.onnx").exists()


def test_weights_of_others(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    state = {f"body.{layer}.bias": torch.zeros(outputs) for layer, outputs in ((0, 4), (2, 12))}
    state |= {"body.0.weight": torch.randn(4, 3, 3, 3), "body.1.weight": torch.randn(4)}
    state |= {"body.2.weight": torch.randn(12, 4, 3, 3)}
    source, output, weights = tmp_path / "theirs.pth", tmp_path / "ours.onnx", tmp_path / "ours.safetensors"
    torch.save({"params_ema": state}, source)
    assert run(str(source), str(output), "--licence", "BSD-3-Clause", "--name", "small") == 0
    assert capsys.readouterr() == (f"{output}  {output.stat().st_size / 1e6:.2f} MB, verified against torch\n", "")
    card = read_card(output)
    assert (card.name, card.licence, card.scale, card.halo) == ("small", "BSD-3-Clause", 2, 2)
    assert card.source["file"] == "theirs.pth" and card.source["architecture"] == "SRVGGNetCompact"
    # A file to train on from, which is a model like any other.
    assert run(str(source), str(weights), "--scale", "2") == 0
    assert run(str(weights), str(tmp_path / "again.onnx")) == 0
    assert read_card(tmp_path / "again.onnx").weights_sha256 == card.weights_sha256
    assert run(str(source), str(output), "--scale", "4", "--overwrite") == 5
    assert run(str(weights), str(tmp_path / "b.onnx"), "--licence", "MIT") == 2
    assert run(str(source), str(tmp_path / "b.png")) == 2
