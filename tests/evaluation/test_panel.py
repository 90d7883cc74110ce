"""The comparison panel: which pictures and places it shows, what stands where, and the command that writes it."""

import numpy as np
import pytest
from PIL import Image

from mezzotint import runtimes
from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.cli import main
from mezzotint.errors import ModelError, UsageError
from mezzotint.evaluation import evaluate, panel
from mezzotint.evaluation.panel import Panel
from mezzotint.evaluation.super_resolution import super_resolve

SIDE = 128
GAP = 4


class Constant:
    """A model of one shade; `factor` lets it break its card's promise."""

    def __init__(self, shade: float, scale: int = 2, factor: int = 2) -> None:
        self.card = Card(name="constant", task=SUPER_RESOLUTION, network="fake", scale=scale)
        self.shade, self.factor = shade, factor

    def __call__(self, lr: np.ndarray) -> np.ndarray:
        return np.full((1, 3, lr.shape[2] * self.factor, lr.shape[3] * self.factor), self.shade, np.float32)


def noise(seed: int, height: int = 80, width: int = 90, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def enlarged(lr: np.ndarray) -> np.ndarray:
    """Bicubic, x2, as the model of that name gives it."""
    return super_resolve(runtimes.load("bicubic-x2"), lr)


@pytest.fixture
def sheets(monkeypatch):
    """What goes into the sheet: (tiles N H W C, columns, captions) of each call."""
    calls = []

    def watched(images, columns, gap, captions):
        calls.append((images, columns, captions))
        return real(images, columns, gap, captions)

    real = panel.contact_sheet
    monkeypatch.setattr(panel, "contact_sheet", watched)
    return calls


def test_the_place_that_changed_most_in_every_column(sheets) -> None:
    lr = noise(0)
    sr, hr = enlarged(lr), noise(1, 160, 180)
    # A change in the lower right corner, which only crops that begin at row 32 and column 52 hold whole.
    sr[150:160, 170:180] ^= 0x80
    collected = Panel("mine", 2)
    collected.add("folder/a.png", lr, sr, hr)
    sheet = collected.sheet()
    ((tiles, columns, captions),) = sheets
    assert columns == 4 and tiles.shape == (4, SIDE, SIDE, 3) and sheet.dtype == np.uint8
    place = slice(32, 160), slice(52, 180)
    nearest = lr.repeat(2, 0).repeat(2, 1)
    for tile, image in zip(tiles, (nearest, enlarged(lr), sr, hr), strict=True):
        np.testing.assert_array_equal(tile, image[place])
    assert captions[0] == "a" and captions[3] == "original"
    for caption, name, image in ((captions[1], "bicubic", enlarged(lr)), (captions[2], "mine", sr)):
        red, green, blue = np.moveaxis(image[place].astype(float) - hr[place], 2, 0)
        luma = (65.481 * red + 128.553 * green + 24.966 * blue) / 255
        assert caption == f"{name} {10 * np.log10(255**2 / (luma**2).mean()):.2f} dB"


def test_the_pictures_that_changed_most_come_first(sheets) -> None:
    collected = Panel("mine", 2, pictures=2)
    for name, change in (("little", 5), ("none", 0), ("most", 90), ("more", 40)):
        lr = np.full((30, 30, 3), 100, np.uint8)
        sr = enlarged(lr)
        collected.add(f"{name}.png", lr, sr + np.uint8(change), sr)
    collected.sheet()
    ((_, _, captions),) = sheets
    assert [captions[0], captions[4]] == ["most", "more"] and len(captions) == 8
    assert captions[1] == "bicubic exact"


def test_small_and_grey_pictures_beside_large_ones(sheets) -> None:
    collected = Panel("mine", 2)
    lr = noise(0, 20, 30, 1)
    collected.add("grey.png", lr, 255 - enlarged(lr), noise(1, 40, 60, 1))
    lr = noise(2)
    collected.add("large.png", lr, enlarged(lr), noise(3, 160, 180))
    collected.sheet()
    ((tiles, _, _),) = sheets
    assert tiles.shape == (8, SIDE, SIDE, 3)
    paper = np.full((SIDE, SIDE, 3), 255)
    paper[44:84, 34:94] = noise(1, 40, 60, 1)
    np.testing.assert_array_equal(tiles[3], paper)


def test_a_second_model_runs_on_the_pictures_shown_alone(sheets) -> None:
    other = Constant(0.2)
    collected = Panel("mine", 2, against=other, pictures=1)
    for seed in range(3):
        lr = noise(seed)
        collected.add(f"{seed}.png", lr, enlarged(lr), noise(seed, 160, 180))
    collected.sheet()
    ((tiles, columns, captions),) = sheets
    assert columns == 5 and len(tiles) == 5 and captions[3].startswith("constant ")
    assert (tiles[3] == 51).all()


def test_captions_tell_two_runs_of_one_recipe_apart(sheets) -> None:
    collected = Panel("a/long/way/to/runs/first", 2, against=Constant(0.5), against_name="runs/second")
    lr = noise(0)
    collected.add("a.png", lr, enlarged(lr), noise(1, 160, 180))
    collected.sheet()
    ((_, _, captions),) = sheets
    assert captions[2].startswith("...way/to/runs/first ") and captions[3].startswith("runs/second ")


def test_a_second_model_that_does_not_fit(tmp_path) -> None:
    with pytest.raises(UsageError, match="bicubic-x3 does not enlarge 2 times, as mine does"):
        Panel("mine", 2, against=runtimes.load("bicubic-x3"))
    collected = Panel("mine", 2, against=Constant(0.5, factor=3))
    lr = noise(0)
    collected.add("a.png", lr, enlarged(lr), noise(1, 160, 180))
    with pytest.raises(ModelError, match="not 2 times"):
        collected.sheet()
    with pytest.raises(UsageError, match="at least one picture"):
        Panel("mine", 2).sheet()


def test_evaluate_feeds_it_what_it_measured(tmp_path) -> None:
    Image.fromarray(noise(0, 64, 64)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"not a picture")
    collected = Panel("grey", 2)
    evaluate(Constant(0.5), tmp_path, on_images=collected.add)
    sheet = collected.sheet()
    # The model's column, the third of one row: even grey.
    factor = sheet.shape[1] // (4 * 64)
    x = 2 * (64 * factor + GAP)
    assert (sheet[: 64 * factor, x : x + 64 * factor] == 128).all()


@pytest.fixture
def run(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, arguments)])
        return ended.value.code or 0, *capsys.readouterr()

    return call


def test_the_command_writes_it_and_overwrites_nothing(run, tmp_path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "panel.png"
    photos.mkdir()
    Image.fromarray(noise(0)).save(photos / "a.png")
    assert run("bicubic-x2", photos, "--panel", output, "--against", "bicubic-x2")[0] == 0
    before = output.read_bytes()
    # Five columns, enlarged by a whole factor for the captions.
    assert (Image.open(output).width - 4 * GAP) % (5 * 90) == 0
    code, out, err = run("bicubic-x2", photos, "--panel", output)
    assert code == 2 and out == "" and "--overwrite" in err and output.read_bytes() == before
    assert run("bicubic-x2", photos, "--panel", output, "--overwrite")[0] == 0
    assert output.read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--against", "bicubic-x2"], "--panel"),
        (["--panel", "panel.xyz"], "ends with one of"),
        (["--panel", "panel.png", "--against", "bicubic-x3"], "does not enlarge 2 times"),
        (["--panel", "panel.png", "--against", "fashion-28"], "fashion-28"),
    ],
)
def test_mistakes_are_told_before_any_work(run, tmp_path, monkeypatch, arguments, told) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(0)).save(tmp_path / "a.png")
    code, out, err = run("bicubic-x2", tmp_path, *arguments)
    assert code == 2 and out == "" and told in err
    assert not (tmp_path / "panel.png").exists()


def test_a_generator_has_no_panel(run, tmp_path) -> None:
    code, _, err = run("fashion-28", tmp_path, "--panel", tmp_path / "panel.png")
    assert code == 2 and "--panel is for super-resolution" in err
