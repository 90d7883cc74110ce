"""`mezzotint data preview`: a sheet of what a recipe makes of pictures."""

import gzip
import json
import struct

import numpy as np
import pytest
from PIL import Image

from mezzotint.cli import main

SMALL = ["data.patch=16", "phases=[]"]  # HR patches of 64


@pytest.fixture
def run(capsys):
    """Runs the command and returns (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", "preview", *map(str, arguments)])
        return ended.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), np.uint8)
        Image.fromarray(pixels).resize((120, 100), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


def tiles(sheet, count: int, side: int) -> list[np.ndarray]:
    """Pictures of a sheet of HR and LR pairs, two pairs a row."""
    pixels = np.asarray(Image.open(sheet)).astype(int)
    rows = -(-count // 4)
    pitch = (pixels.shape[0] + 2) // rows
    places = [(i // 4 * pitch, i % 4 * (side + 2)) for i in range(count)]
    return [pixels[y : y + side, x : x + side] for y, x in places]


@pytest.mark.parametrize("recipe", ["compact-x4", "photo-x4"])
def test_pairs_of_a_super_resolution_recipe(run, photos, tmp_path, recipe):
    sheet = tmp_path / "sheet.png"
    code, out, err = run(recipe, *SMALL, "--data", photos, "-o", sheet, "-n", 3)
    assert code == 0 and err == "" and "3 samples" in out
    shown = tiles(sheet, 6, 64)
    for hr, lr in zip(shown[::2], shown[1::2], strict=True):
        blocks = lr.reshape(16, 4, 16, 4, 3)
        assert (blocks == blocks[:, :1, :, :1]).all() and not np.array_equal(hr, lr)
        reduced = hr.reshape(16, 4, 16, 4, 3).mean((1, 3))
        assert np.corrcoef(reduced.ravel(), blocks[:, 0, :, 0].ravel())[0, 1] > 0.7


def test_the_seed_decides(run, photos, tmp_path):
    sheets = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        sheets[name] = tmp_path / f"{name}.png"
        assert run("photo-x4", *SMALL, "--data", photos, "-o", sheets[name], "-n", 2, "--seed", seed)[0] == 0
    a, b, c = (sheets[name].read_bytes() for name in "abc")
    assert a == b != c


def test_prepared_images_of_a_generation_recipe(run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    for name, array in (("images-idx3", images), ("labels-idx1", np.arange(20, dtype=np.uint8) % 10)):
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (tmp_path / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    sheet = tmp_path / "sheet.png"
    code, out, err = run("fashion-28", "--data", tmp_path, "-o", sheet, "-n", 4, "--json")
    assert code == 0 and err == ""
    assert json.loads(out) == {
        "output": str(sheet), "recipe": "fashion-28", "task": "generation", "n": 4, "seed": 0, "skipped": 0,
    }  # fmt: skip
    pixels = np.asarray(Image.open(sheet))
    # Captions may enlarge the images by a whole factor; each is one of the set.
    factor = (pixels.shape[1] - 2) // 2 // 28
    first = pixels[: 28 * factor : factor, : 28 * factor : factor]
    assert any(np.array_equal(first, image) for image in images)


def test_nothing_is_overwritten_unasked(run, photos, tmp_path):
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"precious")
    arguments = ("compact-x4", *SMALL, "--data", photos, "-o", sheet, "-n", 1)
    code, _, err = run(*arguments)
    assert code == 2 and "--overwrite" in err and sheet.read_bytes() == b"precious"
    assert run(*arguments, "--overwrite")[0] == 0 and Image.open(sheet).width == 64 * 2 + 2


def test_broken_pictures_are_named(run, photos, tmp_path):
    (photos / "0.png").write_bytes(b"not a picture")
    code, _, err = run("compact-x4", *SMALL, "--data", photos, "-o", tmp_path / "sheet.png")
    assert code == 0 and "0.png" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["no-such-recipe"]),
        (2, ["photo-x4", "degradation.clean=2"]),
        (2, ["compact-x4", "-n", "0"]),
        (3, ["compact-x4", "--data", "nowhere"]),
        (3, ["compact-x4", "data.patch=60"]),
    ],
)
def test_mistakes(run, photos, tmp_path, code, arguments):
    sheet = tmp_path / "sheet.png"
    data = [] if "--data" in arguments else ["--data", photos]
    ended, _, err = run(*arguments, *data, "-o", sheet)
    assert ended == code and err and not sheet.exists()


def test_an_unknown_format_of_the_sheet_is_said_before_any_work(run, photos, tmp_path):
    code, _, err = run("compact-x4", "--data", photos, "-o", tmp_path / "sheet.xyz")
    assert code == 2 and ".xyz" in err
