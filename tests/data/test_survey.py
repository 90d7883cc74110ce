"""A look at pictures that are made here: sizes, colours, classes, damage."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from mezzotint.data.survey import Survey, survey
from mezzotint.errors import InputError


def save(path, size=(40, 30), colour=True, **options):
    """A picture of width x height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3 if colour else 1), np.uint8)
    Image.fromarray(pixels if colour else pixels.repeat(3, 2)).save(path, **options)


def test_count_size_colour_and_classes_by_sub_folder(tmp_path):
    for name, count in (("cat", 3), ("dog", 5)):
        for index in range(count):
            save(tmp_path / name / f"{index}.png", (40 + 2 * index, 30))
    found = survey([tmp_path])
    assert (found.count, found.grey, found.classes) == (8, False, (("cat", 3), ("dog", 5)))
    assert found.size == (30, 43) and not found.uniform and found.aspect == pytest.approx(43 / 30, abs=0.1)


@pytest.mark.parametrize("kind", ["png", "jpg", "L", "I;16"])
def test_grey_is_what_looks_grey_however_it_is_stored(tmp_path, kind):
    if kind in ("png", "jpg"):
        save(tmp_path / f"a.{kind}", (200, 160), colour=False)
    else:
        Image.fromarray(np.full((9, 9), 7, np.uint8 if kind == "L" else np.uint16)).save(tmp_path / "a.png")
    assert survey([tmp_path]).grey
    save(tmp_path / "b.png")
    assert not survey([tmp_path]).grey


def test_a_turned_photograph_has_the_size_that_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.jpg", (40, 30), exif=exif)
    assert survey([tmp_path]).size == (40, 30)


def test_wide_and_tall_pictures_together_are_best_cut_square():
    wide, tall = ((30, 40),) * 5, ((40, 30),) * 4
    assert Survey(9, wide + tall, False).aspect == 1 and Survey(5, wide, False).aspect == 40 / 30
    # One odd picture among many changes nothing.
    assert Survey(17, wide * 3 + ((40, 30),), False).aspect == 40 / 30


def test_idx_files_have_sizes_colours_and_labels(tmp_path):
    images, labels = np.zeros((20, 8, 6), np.uint8), np.arange(20, dtype=np.uint8) % 4
    for name, head, array in (
        ("train-images-idx3-ubyte.gz", struct.pack(">IIII", 0x803, *images.shape), images),
        ("train-labels-idx1-ubyte.gz", struct.pack(">II", 0x801, 20), labels),
    ):
        (tmp_path / name).write_bytes(gzip.compress(head + array.tobytes()))
    found = survey([tmp_path])
    assert (found.count, found.size, found.uniform, found.grey) == (20, (8, 6), True, True)
    assert found.classes == tuple((str(number), 5) for number in range(4))


def test_only_a_few_pictures_of_a_large_folder_are_opened(tmp_path, monkeypatch):
    for index in range(300):
        save(tmp_path / f"{index:03d}.png", (4, 4))
    opened, whole = [], Image.open
    monkeypatch.setattr(Image, "open", lambda *arguments, **options: opened.append(1) or whole(*arguments, **options))
    found = survey([tmp_path])
    assert found.count == 300 and len(found.sizes) == len(opened) <= 64


def test_labels_count_where_all_sources_mean_the_same(tmp_path):
    for folder, names in (("a", ("cat", "dog")), ("b", ("cat", "dog")), ("c", ("cow", "dog"))):
        for name in names:
            save(tmp_path / folder / name / "0.png")
    assert survey([tmp_path / "a", tmp_path / "b"]).classes == (("cat", 2), ("dog", 2))
    assert survey([tmp_path / "a", tmp_path / "c"]).classes == ()


def test_damaged_pictures_are_passed_over_and_nothing_else_is_an_error(tmp_path):
    (tmp_path / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(InputError, match=r"no picture that was tried can be read.*0\.png"):
        survey([tmp_path])
    save(tmp_path / "1.png")
    found = survey([tmp_path])
    assert found.count == 2 and len(found.sizes) == 1


def test_likeness_tells_pictures_of_one_layout_from_pictures_of_anything(tmp_path):
    rng = np.random.default_rng(0)
    things = np.zeros((40, 40, 3))
    things[10:30, 5:35] = 200
    for index in range(40):
        blocks = rng.integers(0, 256, (5, 5, 3)).repeat(8, 0).repeat(8, 1)
        for kind, pixels in (("anything", blocks), ("things", 0.7 * things + 0.3 * blocks)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / kind / f"{index}.png")
    assert survey([tmp_path / "anything"]).likeness < 0.04 < 0.3 < survey([tmp_path / "things"]).likeness
    for index in range(3):
        save(tmp_path / "same" / f"{index}.png")
    assert survey([tmp_path / "same"]).likeness == 1
