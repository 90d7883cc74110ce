import importlib.util
import json

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


@pytest.fixture
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


def run(*arguments, command="walk"):
    """The exit code of `mezzotint walk ...`."""
    with pytest.raises(SystemExit) as end:
        main([command, *map(str, arguments)])
    return end.value.code or 0


def grey(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def test_a_film_goes_through_the_images_that_generate_gives(models, tmp_path):
    assert run("-m", "marks", "--seed", 7, "--images", "0,5,2", "--steps", 4, "-o", tmp_path / "walk.apng") == 0
    run("-m", "marks", "--seed", 7, "-n", 6, "-o", tmp_path / "six.npz", command="generate")
    images = np.load(tmp_path / "six.npz")["images"]
    with Image.open(tmp_path / "walk.apng") as film:
        assert film.n_frames == 9 and film.size == (SIDE, SIDE) and film.info["duration"] == 60
        for place, number in ((0, 0), (4, 5), (8, 2)):
            film.seek(place)
            np.testing.assert_array_equal(np.asarray(film.convert("L")), images[number, :, :, 0])


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp", "walk.apng", "sheet.png", "frames/"])
def test_every_kind_of_output_says_what_made_it(models, tmp_path, name):
    assert run("-m", "marks", "--images", "0,1", "--steps", 2, "--seed", 77, "-o", f"{tmp_path}/{name}") == 0
    path = tmp_path / name / "000002.png" if name == "frames/" else tmp_path / name
    with Image.open(path) as image:
        note = image.info["comment" if name.endswith("gif") else "xmp"].decode()
    for fact in ("trainedAlgorithmicMedia", "marks", "77", "sha256:ab12", "images 0,1, 2 steps"):
        assert fact in note


def test_the_same_walk_gives_the_same_bytes(models, tmp_path):
    for name in ("a", "b"):
        assert run("-m", "clothes", "--loop", "-o", tmp_path / f"{name}.gif") == 0
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_a_folder_holds_the_frames_of_the_walk_and_no_more(models, tmp_path):
    assert run("-m", "marks", "--images", "0,1", "--steps", 3, "--loop", "-o", f"{tmp_path}/new.folder/") == 0
    assert [p.name for p in sorted((tmp_path / "new.folder").iterdir())] == [f"{i:06d}.png" for i in range(6)]


def test_a_sheet_has_a_row_for_each_class_or_seed(models, tmp_path):
    short = ("--images", "0,1", "--steps", 3)
    assert run("-m", "clothes", *short, "-o", tmp_path / "classes.png") == 0
    named = grey(tmp_path / "classes.png")
    factor = (named.shape[1] - 6) // (4 * SIDE)
    assert named.shape[1] == 4 * SIDE * factor + 6 and named.shape[0] > 3 * SIDE * factor + 4
    assert run("-m", "clothes", *short, "--label", "coat", "--seeds", 2, "-o", tmp_path / "seeds.png") == 0
    two = grey(tmp_path / "seeds.png")
    assert two.shape == (2 * SIDE + 2, 4 * SIDE + 6)
    for seed in (0, 1):
        run("-m", "clothes", *short, "--label", 1, "--seed", seed, "-o", tmp_path / f"{seed}.png")
        row = seed * (SIDE + 2)
        np.testing.assert_array_equal(two[row : row + SIDE], grey(tmp_path / f"{seed}.png"))


def test_a_long_walk_on_a_sheet_is_broken_at_its_images(models, tmp_path):
    assert run("-m", "marks", "--images", "0,1,2", "--steps", 5, "-o", tmp_path / "long.png") == 0
    assert grey(tmp_path / "long.png").shape == (3 * SIDE + 4, 5 * SIDE + 8)
    assert run("-m", "marks", "--images", "0,1,2", "--steps", 1, "-o", tmp_path / "row.png") == 0
    assert grey(tmp_path / "row.png").shape == (SIDE, 3 * SIDE + 4)


def test_a_class_for_each_image_dissolves(models, tmp_path):
    out = tmp_path / "dissolve.png"
    assert run("-m", "clothes", "--images", "3,3", "--label", "Bag, Ankle boot", "--steps", 2, "-o", out) == 0
    corners = grey(out)[0, :: SIDE + 2].astype(int)
    assert corners.tolist() == [128, 141, 153]


@pytest.mark.parametrize("name", ["out.gif", "out.png", "folder/000001.png"])
def test_what_exists_is_refused_before_any_work_and_replaced_on_demand(models, tmp_path, name, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / name).write_bytes(b"precious")
    out = tmp_path / name if "/" not in name else tmp_path / "folder"
    arguments = ("-m", "marks", "--steps", 2, "-o", out)
    before = set(tmp_path.rglob("*"))
    assert run(*arguments) == 2 and "--overwrite" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == b"precious" and set(tmp_path.rglob("*")) == before
    assert run(*arguments, "--overwrite") == 0
    assert (tmp_path / name).read_bytes() != b"precious"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-m", "x4"], 2),
        (["-m", "marks", "--label", "all"], 2),
        (["-m", "clothes", "--label", "shoe"], 2),
        (["-m", "clothes", "--label", "Bag,Coat"], 2),
        (["-m", "clothes", "--seeds", "2"], 2),
        (["-m", "marks", "--images", "0,x"], 2),
        (["-m", "marks", "--images", ""], 2),
        (["-m", "marks", "--steps", "0"], 2),
        (["-m", "marks", "--steps", "9999"], 4),
        (["-m", "marks", "--duration", "5"], 2),
        (["-m", "marks", "--duration", "45"], 2),
        (["-m", "marks", "-o", "out.npz"], 2),
        (["-m", "marks", "-o", "file/out.gif"], 6),
    ],
)
def test_mistakes_end_with_one_line_and_the_right_code(models, tmp_path, monkeypatch, capsys, arguments, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    assert run(*arguments) == code
    error = capsys.readouterr().err
    assert error.strip() and "Traceback" not in error
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


def test_json_is_one_object_for_each_file_and_a_summary(models, tmp_path, capsys):
    assert run("-m", "marks", "--images", "0,1", "--steps", 2, "-o", tmp_path / "folder", "--json") == 0
    *rows, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert summary["summary"] is True and summary["images"] == [0, 1] and summary["frames"] == 3


def test_the_shipped_generator_walks_and_is_enlarged(tmp_path):
    pytest.importorskip("openvino")
    options = ("--images", "0,1", "--steps", 2, "--threads", 1)
    assert run(*options, "-o", tmp_path / "all.gif") == 0
    with Image.open(tmp_path / "all.gif") as film:
        assert film.n_frames == 3
    assert run(*options, "--label", "Bag", "--upscale", 2, "-o", tmp_path / "large.webp") == 0
    with Image.open(tmp_path / "large.webp") as film:
        assert film.size == (2 * SIDE, 2 * SIDE) and b"Upscaler" in film.info["xmp"]


def test_a_walk_through_the_latents_of_a_file(models, tmp_path, capsys):
    z = np.array([[-1, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]], np.float32)
    facts = [{"label": name} for name in ("Bag", "Coat", "Coat")]
    write_latents(tmp_path / "z.json", catalog.card("clothes"), z, facts)
    given = ("-m", "clothes", "--latent", tmp_path / "z.json")
    assert run(*given, "--steps", 2, "-o", tmp_path / "film.apng") == 0
    with Image.open(tmp_path / "film.apng") as film:
        assert film.n_frames == 5 and "z.json" in film.info["xmp"].decode()
        film.seek(4)
        last = np.asarray(film.convert("L"))
    assert last[5, 5] == 191 and last[0, 0] == 140
    assert run(*given, "--label", "all", "--images", "2,0", "--steps", 1, "-o", tmp_path / "all.png") == 0
    assert run(*given, "--seeds", 2) == 2 and run(*given, "--truncation", 1) == 2 and run(*given, "--images", 3) == 2
    assert "3 latents" in capsys.readouterr().err


def test_a_film_as_mp4_or_what_it_needs(models, tmp_path, capsys):
    out = tmp_path / "walk.mp4"
    code = run("-m", "marks", "--images", "0,1", "--steps", 3, "-o", out)
    if importlib.util.find_spec("av"):
        assert code == 0 and out.read_bytes()[4:8] == b"ftyp"
    else:
        assert code == 2 and "mezzotint[video]" in capsys.readouterr().err and not out.exists()


def test_more_walks_than_memory_holds_are_refused_before_any_work(models, tmp_path, capsys):
    assert run("-m", "marks", "--seeds", 10**10, "--upscale", 16, "-o", tmp_path / "walk.gif") == 4
    assert "GiB of memory" in capsys.readouterr().err and not list(tmp_path.iterdir())
