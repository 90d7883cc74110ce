import io
import os

import numpy as np
import pytest
from PIL import Image

from mezzotint.data import images as module
from mezzotint.data.images import ImageSet, load_images
from mezzotint.errors import InputError, LimitError, TooSmallError


def noise(seed, height=9, width=12, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def folder_of(path, count, **shape):
    path.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(noise(index, **shape).squeeze()).save(path / f"{index:03d}.png")
    return path


@pytest.fixture
def small_blocks(monkeypatch):
    """Buffers grow from almost nothing, so that small tests see them grow."""
    grow = ImageSet._grow
    monkeypatch.setattr(ImageSet, "_grow", lambda self, size: grow(self, min(size, 4 * (self._used + 1000))))


def test_images_come_back_as_they_were_put_in_whatever_their_sizes():
    images, originals = ImageSet(1 << 30), [noise(seed, 5 + seed, 20 - seed) for seed in range(8)]
    for index, original in enumerate(originals):
        images.append(original, str(index), label=index % 3)
    assert len(images) == 8 and images.labels == [0, 1, 2, 0, 1, 2, 0, 1]
    assert all(np.array_equal(images[index], original) for index, original in enumerate(originals))


def test_what_does_not_fit_into_memory_is_spilled_to_disk_and_reads_the_same(tmp_path, small_blocks):
    data = folder_of(tmp_path / "data", 30)
    memory, disk = load_images([data]), load_images([data], limit_bytes=2000)
    assert isinstance(disk.buffer, np.memmap) and not isinstance(memory.buffer, np.memmap)
    assert disk.names == memory.names and disk.shapes == memory.shapes
    assert all(np.array_equal(memory[index], disk[index]) for index in range(30))


def test_a_spill_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    images = ImageSet(0)
    images.append(noise(0), "a")
    assert isinstance(images.buffer, np.memmap) and not list(tmp_path.iterdir())


def test_a_disk_too_small_for_the_spill_is_one_clear_error(monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(LimitError, match=r"No space left.*TMPDIR"):
        ImageSet(0).append(noise(0), "a")


def test_a_split_takes_its_images_evenly_and_shares_the_pixels():
    images = ImageSet(1 << 30)
    for index in range(100):
        images.append(noise(index), str(index), label=index)
    rest, held_out = images.split(5)
    assert held_out.names == ["0", "24", "49", "74", "99"]
    assert len(rest) == 95 and not set(rest.names) & set(held_out.names)
    assert held_out.buffer is images.buffer and np.array_equal(held_out[2], noise(49))
    assert rest.labels == [int(name) for name in rest.names]


@pytest.mark.parametrize("workers", [1, 5])
def test_the_order_does_not_depend_on_the_number_of_workers(tmp_path, workers):
    images = load_images([folder_of(tmp_path, 70, height=3, width=2)], workers=workers)
    assert images.names == [f"{index:03d}.png" for index in range(70)]
    assert np.array_equal(images[69], noise(69, 3, 2))


def test_broken_images_are_skipped_and_named(tmp_path):
    data = folder_of(tmp_path, 40)
    (data / "007.png").write_bytes((data / "007.png").read_bytes()[:60])
    (data / "011.png").write_text("this is no picture")
    images = load_images([data])
    assert len(images) == 38 and "007.png" not in images.names
    assert [("007.png" in line, "011.png" in line) for line in images.skipped] == [(True, False), (False, True)]


def test_a_folder_with_too_many_broken_images_is_refused_with_the_first(tmp_path):
    data = folder_of(tmp_path, 40)
    for index in (3, 5, 8, 13):
        (data / f"{index:03d}.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"4 of 40 images in .* unusable, first: .*003\.png"):
        load_images([data])


def test_small_images_are_left_out_and_named_however_many(tmp_path):
    data = folder_of(tmp_path / "large", 4)
    small = folder_of(tmp_path / "small", 20, height=5, width=5)
    images = load_images([data, small], least=9)
    assert len(images) == 4 and len(images.skipped) == 20
    assert images.skipped[0] == "000.png is too small: 5 x 5, needs 9 x 9"
    with pytest.raises(TooSmallError, match="20 of 20 images"):
        load_images([small], least=9)
    (small / "000.png").write_bytes(b"")
    with pytest.raises(InputError) as error:
        load_images([small], least=9)
    assert type(error.value) is InputError, "not all of them are too small"


@pytest.mark.parametrize(("height", "width", "kept"), [(8, 8, 1), (8, 100, 1), (7, 100, 0), (100, 7, 0)])
def test_each_side_must_be_long_enough(tmp_path, height, width, kept):
    folder_of(tmp_path / "large", 1, height=8, width=8)
    folder_of(tmp_path / "other", 1, height=height, width=width)
    assert len(load_images([tmp_path / "large", tmp_path / "other"], least=8)) == 1 + kept


def test_labels_come_from_sub_folders(tmp_path):
    for name in ("cat", "dog"):
        folder_of(tmp_path / name, 2)
    images = load_images([tmp_path])
    assert (images.classes, images.labels) == (["cat", "dog"], [0, 0, 1, 1])


@pytest.mark.parametrize("other", ["flat", "other classes"])
def test_there_are_no_labels_unless_all_sources_mean_the_same(tmp_path, other):
    for name in ("a/cat", "a/dog", "same/cat", "same/dog"):
        folder_of(tmp_path / name, 2)
    for name in ("b",) if other == "flat" else ("b/cat", "b/fox"):
        folder_of(tmp_path / name, 2)
    mixed = load_images([tmp_path / "a", tmp_path / "b"])
    assert mixed.classes == [] and set(mixed.labels) == {0} and len(mixed) > 4
    alike = load_images([tmp_path / "a", tmp_path / "same"])
    assert alike.classes == ["cat", "dog"] and alike.labels == [0, 0, 1, 1] * 2


def test_grey_and_colour_become_what_is_asked_for(tmp_path):
    folder_of(tmp_path, 1, channels=1)
    Image.fromarray(noise(5)).save(tmp_path / "zcolour.png")
    colour, grey = load_images([tmp_path]), load_images([tmp_path], channels=1)
    assert np.array_equal(colour[0], noise(0, channels=1).repeat(3, axis=2)) and np.array_equal(colour[1], noise(5))
    assert grey[1].shape == (9, 12, 1)
    pillow = np.asarray(Image.fromarray(noise(5)).convert("L")).astype(int)
    assert np.abs(grey[1][..., 0] - pillow).max() <= 1


def test_only_so_many_of_each_source_are_decoded(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(noise(0)).save(stream, "PNG")
    for index in range(9):
        # Those in between are broken: they must not even be looked at.
        (tmp_path / f"{index}.png").write_bytes(stream.getvalue() if index in (0, 4, 8) else b"broken")
    assert load_images([tmp_path], most=3).names == ["0.png", "4.png", "8.png"]
