from pathlib import Path

import pytest

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
