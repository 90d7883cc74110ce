"""From one transparent picture to textures of any size, through the commands' own functions."""

import numpy as np
import pytest
from PIL import Image

import mezzotint
from mezzotint.card import read_card
from mezzotint.errors import InputError, UsageError
from mezzotint.evaluation import generation_data
from mezzotint.training.run import train

TINY = [
    "generator.channels=4", "discriminator.channels=4", "generator.size=[10,14]", "data.size=[10,14]", "data.batch=16",
    "steps=2", "validations=1",
]  # fmt: skip
FOUR = ["generator.out_channels=4", "discriminator.in_channels=4", "data.channels=4"]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "stone.png"
    planes = np.random.default_rng(0).integers(0, 256, (40, 50, 4), np.uint8)
    Image.fromarray(planes).save(path)
    return path


@pytest.fixture(scope="module", params=["article", "pyramid-64"])
def run(request, picture, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / request.param
    train(request.param, picture, out, overrides=[*TINY, *FOUR, "data.crop=true"], threads=1, quiet=True)
    return out


def test_a_texture_is_made_at_any_size_with_opacity(run):
    card = read_card(run / "weights.onnx")
    assert card.latent_dim == (4, 10, 14) and card.size == (10, 14) and card.out_channels == 4
    (small,) = mezzotint.generate(run, 1)
    assert small.size == (14, 10) and small.mode == "RGBA"
    large = mezzotint.generate(run, 2, seed=3, size=(33, 21))
    assert [image.size for image in large] == [(21, 33)] * 2
    # The same image, however many are made.
    assert mezzotint.generate(run, 1, seed=3, size=(33, 21))[0].tobytes() == large[0].tobytes()
    with Image.open(next((run / "samples").iterdir())) as sheet:
        assert sheet.mode == "RGB"


def test_it_is_measured_against_parts_of_the_picture(run, picture):
    training, held_out, classes, _ = generation_data.load(read_card(run / "weights.onnx"), picture, None, seed=0)
    assert training.pixels.shape[1:] == held_out.pixels.shape[1:] == (10, 14, 3) and not classes
    assert len(np.unique(training.pixels.reshape(len(training.pixels), -1), axis=0)) > 100


def test_a_picture_smaller_than_the_parts_is_refused(picture, tmp_path):
    with pytest.raises(InputError, match=r"stone.png.* is too small: 50 x 40, needs 64 x 64"):
        train("article", picture, tmp_path / "run", quiet=True)


def test_only_generation_cuts_parts_and_learns_opacity(picture, tmp_path):
    with pytest.raises(UsageError, match=r"data.crop: only generation.*data.channels: super-resolution"):
        train("compact-x4", picture, tmp_path / "run", overrides=["data.crop=true", "data.channels=4"], quiet=True)


def test_a_resumed_run_with_spectral_norm_and_classes_ends_with_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(4):
            pixels = np.random.default_rng(index).integers(0, 256, (12, 9, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{index}.png")
    overrides = ["generator.channels=4", "discriminator.channels=4", "data.batch=4", "validations=1", "ema=0.5"]
    overrides += [f"{part}.size=[12,9]" for part in ("generator", "discriminator", "data")]
    overrides += [f"{part}.num_classes=2" for part in ("generator", "discriminator")]
    for folder, lengths in (("whole", [6]), ("broken", [3, 6])):
        for steps in lengths:
            out = tmp_path / folder / "run"
            train("sngan-32", tmp_path / "data", out, overrides=[*overrides, f"steps={steps}"], resume=True, quiet=True)
            if steps != lengths[-1]:
                for name in ("weights.safetensors", "weights.onnx"):
                    (out / name).unlink()
    for name in ("weights.safetensors", "weights.onnx"):
        whole, broken = (tmp_path / folder / "run" / name for folder in ("whole", "broken"))
        assert whole.read_bytes() == broken.read_bytes(), name
