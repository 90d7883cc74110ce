import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mezzotint
from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.cli import main
from mezzotint.image import io
from mezzotint.image.metadata import ENHANCED, Metadata
from mezzotint.image.picture import Picture
from mezzotint.models import weights
from mezzotint.models.srresnet import SRResNet

ARGUMENTS = {"scale": 2, "channels": 4, "num_blocks": 1}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["inspect", *arguments])
    return end.value.code or 0


@pytest.fixture
def model(tmp_path: Path) -> Path:
    card = Card(
        "tiny", SUPER_RESOLUTION, "srresnet.SRResNet", ARGUMENTS, scale=2, description="a \x1b[31mred\x1b[0m one"
    )
    weights.save(SRResNet(**ARGUMENTS), card, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_a_model_shows_its_card_tensors_and_checksums(model: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(str(model), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["card"]["network"] == "srresnet.SRResNet"
    assert facts["tensors"]["head.0.weight"] == "F32 [4, 3, 9, 9]"
    assert facts["weights_match_card"] is True
    assert facts["gmacs_for_1280x720"] == round(facts["card"]["macs"] * 640 * 360 / 1e9, 2) > 0
    assert facts["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()


def test_text_shows_the_same_and_no_terminal_codes(model: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(str(model)) == 0
    text = capsys.readouterr().out
    assert "  network: srresnet.SRResNet\n" in text
    assert "weights_match_card: true\n" in text
    assert "\x1b" not in text


def test_tampered_weights_end_with_five(model: Path, capsys: pytest.CaptureFixture) -> None:
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    assert run(str(model), "--json") == 5
    captured = capsys.readouterr()
    assert json.loads(captured.out)["weights_match_card"] is False
    assert "SHA-256" in captured.err


def test_an_onnx_file_shows_its_ports(model: Path, capsys: pytest.CaptureFixture) -> None:
    import mezzotint

    mezzotint.export(model, model.with_suffix(".onnx"))
    for name in (str(model.with_suffix(".onnx")), str(model.parent)):
        assert run(name, "--json") == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["inputs"] == {"lr": "f32 [?,3,?,?]"}
        assert facts["outputs"] == {"sr": "f32 [?,3,?,?]"}
        assert facts["card"]["name"] == "tiny"


def test_a_built_in_model(capsys: pytest.CaptureFixture) -> None:
    assert run("bicubic-x2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["card"]["scale"] == 2


def test_an_image_shows_depth_metadata_and_provenance(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pixels = np.full((5, 7, 3), 300, np.uint16)
    metadata = Metadata(dpi=(300, 300)).stamped(ENHANCED, {"Model": 'compact "x4" & more'})
    picture = Picture(pixels, np.full((5, 7), 65535, np.uint16), metadata=metadata)
    io.write(picture, tmp_path / "image.png")
    assert run(str(tmp_path / "image.png"), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["format"], facts["lossless"]) == ("image", "PNG", True)
    assert (facts["width"], facts["height"], facts["mode"], facts["bits"]) == (7, 5, "RGB + alpha", 16)
    assert [round(value) for value in facts["dpi"]] == [300, 300]
    assert facts["provenance"] == {"Model": 'compact "x4" & more', "source_type": ENHANCED}


def test_exif_and_icc_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from PIL import Image, ImageCms

    exif = Image.Exif()
    exif[0x010F] = "A Camera Maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("L", (8, 4)).save(tmp_path / "grey.jpg", exif=exif, icc_profile=profile)
    assert run(str(tmp_path / "grey.jpg"), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["exif"]["Make"] == "A Camera Maker"
    assert "sRGB" in facts["icc"]
    assert (facts["mode"], facts["bits"], facts["lossless"]) == ("grey", 8, False)
    assert "provenance" not in facts


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [("text.png", b"hello", 3), ("empty.jpg", b"", 3), ("bad.onnx", b"\xff" * 99, 5), ("bad.safetensors", b"x", 5)],
)
def test_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture, name: str, data: bytes, code: int) -> None:
    (tmp_path / name).write_bytes(data)
    assert run(str(tmp_path / name)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert name in captured.err
    assert captured.err.count("\n") == 1


def test_a_name_that_is_nothing(capsys: pytest.CaptureFixture) -> None:
    assert run("bicubic-x5") == 2
    assert "did you mean" in capsys.readouterr().err


LOG = """{"step": 10, "minutes": 0.1, "said": []}
{"step": 230, "minutes": 0.2, "said": ["mode collapse since 13k images: diversity 0.05 of the real set", "rescue 1 of 5"]}
{"step": 240, "minutes": 0.3, "said": 7}
{"step": 250, "minu"""


def test_a_run_shows_what_its_doctor_said_finished_or_not(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "log.jsonl").write_text(LOG)
    assert run(str(tmp_path), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    words = "mode collapse since 13k images: diversity 0.05 of the real set; rescue 1 of 5"
    assert facts == {"kind": "run", "step": 240, "minutes": 0.3, "doctor": {"step 230": words}}
    shutil.copy(next(Path(mezzotint.__file__).parent.glob("weights/*.onnx")), tmp_path / "weights.onnx")
    assert run(str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert f"step 230: {words}" in out and "card:" in out
