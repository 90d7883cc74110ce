import json

import numpy as np
import pytest
from PIL import Image

from mezzotint import catalog
from mezzotint.cli import main

FAST = ("--samples", 32, "--starts", 2, "--steps", 5, "--threads", 1)


def run(command, *arguments):
    """The exit code of `mezzotint COMMAND ...`."""
    with pytest.raises(SystemExit) as end:
        main([command, *map(str, arguments)])
    return end.value.code or 0


@pytest.fixture
def picture(tmp_path):
    """A photograph of a bag, as it were."""
    image = np.full((60, 80, 3), 240, np.uint8)
    image[25:50, 20:60] = (60, 40, 30)
    Image.fromarray(image).save(tmp_path / "bag.png")
    return tmp_path / "bag.png"


def test_a_sheet_and_latents_that_generate_and_walk_take(picture, tmp_path, capsys):
    out = tmp_path / "found.png"
    assert run("project", picture, picture, *FAST, "-o", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "bag.png" in lines[0] and "dB" in lines[0] and "of 32 samples" in lines[0]
    with Image.open(out) as sheet:
        assert sheet.width > 3 * 28 and "trainedAlgorithmicMedia" in sheet.info["xmp"].decode()
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["weights_sha256"] == catalog.card("fashion-28").weights_sha256
    one, two = document["latents"]
    assert one == two and one["label"] in catalog.card("fashion-28").labels and one["psnr"] >= one["sample_psnr"] - 1
    options = ("--latent", tmp_path / "found.json", "--runtime", "pytorch", "--precision", "f32")
    assert run("generate", *options, "-o", tmp_path / "again.npz") == 0
    assert np.load(tmp_path / "again.npz")["images"].shape == (2, 28, 28, 1)
    assert run("walk", *options, "--steps", 2, "-o", tmp_path / "walk.png") == 0


def test_json_and_what_exists(picture, tmp_path, capsys):
    (tmp_path / "found.json").write_bytes(b"precious")
    assert run("project", picture, *FAST, "-o", tmp_path / "found.png") == 2
    assert "found.json exists" in capsys.readouterr().err and not (tmp_path / "found.png").exists()
    assert run("project", picture, *FAST, "-o", tmp_path / "found.png", "--overwrite", "--json") == 0
    one, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert one["picture"] == "bag.png" and summary["summary"] is True and summary["samples"] == 32


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["missing.png"], 3),
        (["broken.png"], 3),
        (["bag.png", "-o", "found.txt"], 2),
        (["bag.png", "-o", "found.heic"], 2),
        (["bag.png", "-m", "compact-x4"], 2),
        (["bag.png", "--label", "shoe"], 2),
        (["bag.png", "--samples", "2", "--starts", "3"], 2),
        (["bag.png", "--features", "missing.safetensors"], 3),
    ],
)
def test_mistakes_end_with_one_line_and_the_right_code(picture, tmp_path, monkeypatch, capsys, arguments, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run("project", *arguments) == code
    error = capsys.readouterr().err
    assert error.strip() and "Traceback" not in error
    assert {path.name for path in tmp_path.iterdir()} == {"bag.png", "broken.png"}
