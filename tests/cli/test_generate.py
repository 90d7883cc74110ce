import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mezzotint import catalog, runtimes
from mezzotint.card import GENERATION, SUPER_RESOLUTION, Card
from mezzotint.cli import main
from mezzotint.pipelines.latent_file import write_latents

CLASSES = ("Bag", "Coat", "Ankle boot")
SIDE = 28


class Fake:
    """Grey pictures whose brightness tells the noise, whose corner tells the class."""

    precision = "f32"

    def __init__(self, card):
        self.card = card

    def __call__(self, z, labels=None):
        images = np.tile(z[:, :1, None, None] / 4, (1, 1, SIDE, SIDE))
        if labels is not None:
            images[:, 0, 0, 0] = labels / 10
        return images


@pytest.fixture(autouse=True)
def models(monkeypatch):
    """Two models by name: "clothes", which has classes, and "marks", which has none."""
    common = {"task": GENERATION, "network": "none", "latent_dim": 4, "size": (SIDE, SIDE), "weights_sha256": "ab12"}
    cards = {
        "clothes": Card(name="clothes", labels=CLASSES, **common),
        "marks": Card(name="marks", **common),
        "x4": Card(name="x4", task=SUPER_RESOLUTION, network="none", scale=4),
    }
    monkeypatch.setattr(catalog, "card", lambda name: cards[name])
    monkeypatch.setattr(runtimes, "load", lambda name, *options: Fake(cards[name]))


def run(*arguments):
    """The exit code of `mezzotint generate ...`."""
    with pytest.raises(SystemExit) as end:
        main(["generate", *map(str, arguments)])
    return end.value.code or 0


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_npz_holds_images_and_labels(tmp_path):
    out = tmp_path / "out.npz"
    assert run("-m", "clothes", "-n", 20, "--seed", 3, "--label", "all", "-o", out) == 0
    with np.load(out, allow_pickle=False) as arrays:
        assert set(arrays) == {"images", "labels"}
        images, labels = arrays["images"], arrays["labels"]
    assert images.shape == (20, SIDE, SIDE, 1) and images.dtype == np.uint8
    assert labels.dtype == np.int64 and labels.tolist() == [i % 3 for i in range(20)]


def test_npz_bytes_and_images_depend_on_the_seed_alone(tmp_path):
    for name, n, seed in (("a", 20, 1), ("b", 20, 1), ("c", 5, 1), ("d", 20, 2)):
        assert run("-m", "marks", "-n", n, "--seed", seed, "-o", tmp_path / f"{name}.npz") == 0
    a, b, c, d = (np.load(tmp_path / f"{name}.npz")["images"] for name in "abcd")
    assert digest(tmp_path / "a.npz") == digest(tmp_path / "b.npz")
    np.testing.assert_array_equal(c, a[:5])
    assert not np.array_equal(a, d) and np.load(tmp_path / "a.npz")["labels"].tolist() == [-1] * 20
    assert a.shape == b.shape


def test_a_folder_gets_one_png_for_each_image(tmp_path):
    out = tmp_path / "new.folder" / "images"
    assert run("-m", "clothes", "-n", 18, "--label", "coat", "-o", f"{out}/") == 0
    assert sorted(file.name for file in out.iterdir()) == [f"{i:06d}.png" for i in range(18)]
    run("-m", "clothes", "-n", 18, "--label", 1, "-o", tmp_path / "same.npz")
    same = np.load(tmp_path / "same.npz")["images"]
    np.testing.assert_array_equal(np.asarray(Image.open(out / "000017.png")), same[17, :, :, 0])


def test_a_sheet_of_all_classes_is_labelled_one_column_each(tmp_path):
    run("-m", "clothes", "-n", 6, "--label", "all", "-o", tmp_path / "named.png")
    run("-m", "clothes", "-n", 6, "--label", 0, "--columns", 3, "-o", tmp_path / "plain.png")
    named, plain = Image.open(tmp_path / "named.png"), Image.open(tmp_path / "plain.png")
    assert plain.size == (3 * SIDE + 4, 2 * SIDE + 2)
    factor = (named.width - 4) // (3 * SIDE)
    assert named.width == 3 * SIDE * factor + 4
    assert named.height > 2 * SIDE * factor + 10, "no room for names"


def test_one_image_is_written_as_it_is(tmp_path):
    run("-m", "clothes", "-n", 1, "-o", tmp_path / "one.png")
    run("-m", "clothes", "-n", 1, "-o", tmp_path / "one.npz")
    one = np.asarray(Image.open(tmp_path / "one.png"))
    np.testing.assert_array_equal(one, np.load(tmp_path / "one.npz")["images"][0, :, :, 0])


def test_pictures_say_what_made_them(tmp_path):
    run("-m", "marks", "-n", 2, "--seed", 77, "-o", tmp_path / "sheet.png")
    run("-m", "marks", "-n", 2, "--seed", 77, "-o", tmp_path / "folder/")
    for file in (tmp_path / "sheet.png", tmp_path / "folder" / "000001.png"):
        xmp = Image.open(file).info["xmp"].decode()
        assert "digitalsourcetype/trainedAlgorithmicMedia" in xmp
        assert "mezzotint 0." in xmp and '"marks"' in xmp and '"77"' in xmp and "sha256:ab12" in xmp


def test_without_an_output_the_name_tells_model_and_seed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("-m", "marks", "--seed", 9) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["marks-9.png"]
    assert "marks, seed 9: 16 images -> marks-9.png" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["out.png", "out.npz", "folder/000001.png"])
def test_what_exists_is_refused_before_any_work_and_replaced_on_demand(tmp_path, name, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / name).write_bytes(b"precious")
    out = tmp_path / name if "/" not in name else tmp_path / "folder"
    before = set(tmp_path.rglob("*"))
    assert run("-m", "marks", "-n", 3, "-o", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == b"precious" and set(tmp_path.rglob("*")) == before
    assert run("-m", "marks", "-n", 3, "--overwrite", "-o", out) == 0
    assert (tmp_path / name).read_bytes() != b"precious"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-m", "x4", "-o", "out.png"], 2),
        (["-m", "marks", "--label", "all", "-o", "out.png"], 2),
        (["-m", "clothes", "--label", "9", "-o", "out.png"], 2),
        (["-m", "clothes", "--label", "shoe", "-o", "out.png"], 2),
        (["-m", "marks", "-n", "0", "-o", "out.png"], 2),
        (["-m", "marks", "--seed", "-1", "-o", "out.png"], 2),
        (["-m", "marks", "--truncation", "0", "-o", "out.png"], 2),
        (["-m", "marks", "-o", "out.txt"], 2),
        (["-m", "marks", "-o", "file/out.png"], 6),
        (["-m", "marks", "-o", "file/folder/"], 6),
    ],
)
def test_mistakes_end_with_one_line_and_the_right_code(tmp_path, monkeypatch, capsys, arguments, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    assert run(*arguments) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


def test_images_that_are_not_finite_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(Fake, "__call__", lambda self, z: np.full((len(z), 1, SIDE, SIDE), np.inf))
    assert run("-m", "marks", "-o", tmp_path / "out.png") == 7
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_object_for_each_file_and_a_summary(tmp_path, capsys):
    assert run("-m", "clothes", "-n", 4, "-o", tmp_path / "folder", "--json") == 0
    *rows, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["label"] for row in rows] == [0, 1, 2, 0]
    assert all((tmp_path / "folder" / f"{row['index']:06d}.png").samefile(row["output"]) for row in rows)
    assert summary["summary"] is True and summary["model"] == "clothes" and summary["n"] == 4 and summary["seed"] == 0
    assert run("-m", "clothes", "-o", tmp_path / "x.npz", "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_help_needs_neither_torch_nor_openvino():
    code = """if True:
        import sys
        from mezzotint.cli import main
        try:
            main(["generate", "--help"])
        finally:
            print(*({"torch", "openvino", "numpy"} & set(sys.modules)), "loaded")
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert "--truncation" in result.stdout and result.stdout.splitlines()[-1].strip() == "loaded"


def test_the_images_of_given_latents(tmp_path, capsys):
    z = np.array([[-1, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]], np.float32)
    card = catalog.card("clothes").replace(weights_sha256="other")
    write_latents(tmp_path / "z.json", card, z, [{"label": name} for name in ("Coat", "Bag", None)])
    given = ("-m", "clothes", "--latent", tmp_path / "z.json")
    assert run(*given, "-o", tmp_path / "a.npz") == 0
    assert "other weights" in capsys.readouterr().err
    arrays = np.load(tmp_path / "a.npz")
    assert arrays["labels"].tolist() == [1, 0, 2] and arrays["images"][:, 5, 5, 0].tolist() == [96, 159, 191]
    assert run(*given, "-n", 2, "--label", "Bag", "-o", tmp_path / "b.npz") == 0
    assert np.load(tmp_path / "b.npz")["labels"].tolist() == [0, 0]
    assert run(*given, "-n", 4) == 2 and run(*given, "--truncation", 1) == 2
    assert run("-m", "clothes", "--latent", tmp_path / "a.npz") == 2
    np.save(tmp_path / "z.npy", z)
    assert run("-m", "marks", "--latent", tmp_path / "z.npy", "-o", tmp_path / "c.png") == 0
    assert "Latents" in Image.open(tmp_path / "c.png").info["xmp"].decode()


@pytest.mark.parametrize("size", ["64", "ax3", "64x", "64x64x3"])
def test_a_size_that_is_none_is_refused_before_any_work(tmp_path, capsys, size):
    assert run("-m", "marks", "--size", size, "-o", tmp_path / "out.png") == 2
    assert f"--size takes WIDTHxHEIGHT in pixels, such as 384x256, not '{size}'" in capsys.readouterr().err


def test_a_network_of_one_size_says_so(tmp_path, capsys):
    assert run("-m", "marks", "--size", "64x48", "-o", tmp_path / "out.png") == 2
    assert "marks makes images of one size" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.png", "out.npz", "out/"])
def test_more_images_than_there_is_room_for_are_refused_before_any_work(tmp_path, capsys, name):
    assert run("-m", "clothes", "-n", 10**12, "-o", f"{tmp_path}/{name}") == 4
    assert "take fewer" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_standard_output_is_not_taken_for_the_name_of_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("-m", "marks", "-n", 1, "-o", "-") == 2
    assert "standard output takes no generated images" in capsys.readouterr().err and not list(tmp_path.iterdir())
