"""int8 files: close to the original, a quarter of its size, honest about themselves, refused where they make no sense."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from mezzotint import runtimes
from mezzotint.card import SUPER_RESOLUTION, Card, read_card
from mezzotint.cli import main
from mezzotint.export.int8 import quantized
from mezzotint.export.onnx import export_network
from mezzotint.models.srresnet import SRResNet

RNG = np.random.default_rng(0)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    return end.value.code or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that enlarges bilinearly by way of all its layers, and two pictures."""
    folder = tmp_path_factory.mktemp("int8")
    torch.manual_seed(0)
    network = SRResNet(channels=24, num_blocks=1, scale=2, bilinear_start=True).eval()
    card = Card("small", SUPER_RESOLUTION, "none", scale=2, halo=network.halo)
    export_network(network, card, folder / "small.onnx")
    (folder / "photos").mkdir()
    for index in range(2):
        coarse = RNG.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC).save(folder / "photos" / f"{index}.png")
    return folder


def test_the_command_makes_the_file_that_precision_int8_takes(folder: Path, capsys: pytest.CaptureFixture) -> None:
    photos = folder / "photos"
    target = folder / "small.int8.onnx"
    assert run("export", folder / "small.onnx", target, "--int8", "--calibrate", photos, "--threads", "1") == 0
    assert "less than in float32" in capsys.readouterr().out
    exact, rounded = (runtimes.load(folder / "small.onnx", precision=p, threads=1) for p in ("f32", "int8"))
    assert rounded.precision == rounded.card.precision == "int8"
    measured = read_card(target).metrics["photos"]
    assert measured["psnr_y"] > 20 and abs(measured["psnr_y_lost"]) < 1
    picture = np.asarray(Image.open(photos / "0.png").reduce(2), np.float32).transpose(2, 0, 1)[None] / 255
    difference = np.abs(exact(picture) - rounded(picture))
    assert 0 < difference.mean() < 0.02
    kept = onnx.load(target).graph.initializer
    assert {entry.data_type for entry in kept if len(entry.dims) == 4} == {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT8,
    }
    # Nothing is replaced unasked, and an int8 file is not quantised once more.
    assert run("export", folder / "small.onnx", target, "--int8", "--calibrate", photos) == 2
    assert run("export", target, folder / "b.onnx", "--int8", "--calibrate", photos) == 2


def test_a_bias_makes_good_what_rounding_shifts(folder: Path) -> None:
    """The mean of the result is that of the original, closely, on what it was calibrated with."""
    data, card = (folder / "small.onnx").read_bytes(), read_card(folder / "small.onnx")
    pictures = [RNG.random((1, 3, 12, 12), np.float32) for _ in range(3)]
    path = folder / "again.onnx"
    path.write_bytes(quantized(data, pictures, card.replace(precision="int8"), 1))
    exact, rounded = (runtimes.load(which, precision="f32", threads=1) for which in (folder / "small.onnx", path))
    shifts = [float((exact(picture) - rounded(picture)).mean()) for picture in pictures]
    assert abs(np.mean(shifts)) < 1e-3


def test_mistakes_say_what_to_do(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("export", folder / "small.onnx", tmp_path / "a.onnx", "--int8") == 2
    assert "--calibrate" in capsys.readouterr().err
    assert run("upscale", folder / "photos" / "0.png", "-m", "compact-x4", "--precision", "int8", "-o", tmp_path) == 3
    assert "--int8 --calibrate" in capsys.readouterr().err
    assert run("export", "fashion-28", tmp_path / "a.onnx", "--int8", "--calibrate", folder / "photos") == 2
