"""Folders, zips and IDX files give the same images in the same order; broken and hostile ones give one clear error."""

import gzip
import io
import struct
import threading
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.data import sources
from mezzotint.data.images import with_channels
from mezzotint.data.sources import decode, open_source
from mezzotint.errors import InputError


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


FILES = {
    "b.png": encoded(noise(0, 5, 4, 3)),
    "a/deep/x.PNG": encoded(noise(1, 3, 6)),
    "a/y.bmp": encoded(noise(2, 4, 4, 3), "BMP"),
    "notes.txt": b"not an image and not named like one",
    ".hidden.png": b"",
    ".thumbnails/t.png": b"",
    "__MACOSX/b.png": b"",
}
IMAGES = ["a/deep/x.PNG", "a/y.bmp", "b.png"]


def as_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def as_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path / "images.zip"


@pytest.fixture(params=[as_folder, as_zip])
def store(request, tmp_path):
    """Keeps files as a folder or as a zip, and returns its path."""
    return lambda files: request.param(tmp_path, files)


def test_images_in_order_and_nothing_else(store) -> None:
    source = open_source(store(FILES))
    assert source.names == IMAGES and len(source) == 3
    assert source.labels is None and source.classes == []
    assert [source.read(i) for i in range(3)] == [FILES[name] for name in IMAGES]
    assert [source.image(i).shape for i in range(3)] == [(3, 6, 1), (4, 4, 3), (5, 4, 3)]
    np.testing.assert_array_equal(source.image(2), noise(0, 5, 4, 3))


def test_labels_by_sub_folder(store) -> None:
    image = encoded(noise(0, 2, 2))
    source = open_source(store(dict.fromkeys(("train/dog/2.png", "train/cat/9.png", "train/dog/1.png"), image)))
    assert source.names == ["train/cat/9.png", "train/dog/1.png", "train/dog/2.png"]
    assert source.classes == ["cat", "dog"] and source.labels == [0, 1, 1]


@pytest.mark.parametrize("names", [("one/a.png", "one/b.png"), ("a.png", "x/b.png"), ("x/a.png", "x/y/b.png")])
def test_no_labels_when_folders_do_not_say(store, names: tuple[str, ...]) -> None:
    source = open_source(store({name: encoded(noise(0, 2, 2)) for name in names}))
    assert source.labels is None and source.classes == []


def test_nothing_to_read_says_what_was_looked_for(store) -> None:
    with pytest.raises(InputError, match=r"no images in .*\.png"):
        open_source(store({"readme.md": b"hello"}))


def test_a_broken_image_is_named(store) -> None:
    source = open_source(store({"good.png": encoded(noise(0, 4, 4)), "bad.png": b"this is text"}))
    with pytest.raises(InputError, match=r"bad\.png is not an image"):
        source.image(0)
    assert source.image(1).shape == (4, 4, 1)


def test_sizes_are_checked_before_reading(store, monkeypatch) -> None:
    # A megabyte of zeros packs into a kilobyte: the zip may not be trusted to be as small as it looks.
    source = open_source(store({"bomb.png": bytes(1 << 20)}))
    monkeypatch.setattr(sources, "_LARGEST_FILE", 1 << 19)
    with pytest.raises(InputError, match=r"bomb\.png .*1,048,576"):
        source.read(0)


def test_reading_from_many_threads(store) -> None:
    files = {f"{i:02d}.png": encoded(noise(i, 40, 40, 3)) for i in range(20)}
    source = open_source(store(files))
    wrong = []

    def work() -> None:
        for i in range(20):
            if source.read(i) != files[source.names[i]]:
                wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_linked_folders_are_followed_and_loops_end(tmp_path) -> None:
    as_folder(tmp_path / "elsewhere", {"x.png": encoded(noise(0, 2, 2))})
    data = as_folder(tmp_path / "data", {"a.png": encoded(noise(1, 2, 2))})
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    (data / "loop").symlink_to(data)
    assert open_source(data).names == ["a.png", "linked/x.png"]


def test_names_in_a_zip_are_never_paths(tmp_path) -> None:
    inside = tmp_path / "work"
    inside.mkdir()
    image = encoded(noise(0, 2, 2))
    source = open_source(as_zip(inside, {"../up.png": image, "/absolute.png": image, "C:\\windows.png": image}))
    assert len(source) == 3 and all(source.read(i) == image for i in range(3))
    assert sorted(tmp_path.rglob("*.png")) == []


def test_a_damaged_zip_member_is_named(tmp_path) -> None:
    path = tmp_path / "stored.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"A" * 100)
        archive.writestr("b.png", b"B" * 100)
    path.write_bytes(path.read_bytes().replace(b"A" * 50, b"Z" * 50))
    source = open_source(path)
    with pytest.raises(InputError, match=r"a\.png"):
        source.read(0)
    assert source.read(1) == b"B" * 100


def test_a_zip_cut_short_is_refused(tmp_path) -> None:
    path = as_zip(tmp_path, FILES)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="zip"):
        open_source(path)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("part", ["train", "t10k"])
def test_idx_images_with_their_labels(tmp_path, part: str, ending: str) -> None:
    images, labels = noise(0, 7, 5, 6), np.array([0, 2, 1, 2, 0, 1, 2], np.uint8)
    pack = gzip.compress if ending else bytes
    (tmp_path / f"{part}-images-idx3-ubyte{ending}").write_bytes(pack(idx_bytes(images)))
    (tmp_path / f"{part}-labels-idx1-ubyte{ending}").write_bytes(pack(idx_bytes(labels)))
    for path in (tmp_path / f"{part}-images-idx3-ubyte{ending}", tmp_path):
        source = open_source(path)
        assert source.labels == labels.tolist() and source.classes == ["0", "1", "2"] and len(source) == 7
        np.testing.assert_array_equal(source.image(3), images[3][..., None])
        np.testing.assert_array_equal(decode(source.read(3), "3"), images[3][..., None])


def test_a_folder_with_both_of_mnists_parts_is_its_training_images(tmp_path) -> None:
    for part, count in (("t10k", 2), ("train", 3)):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(noise(0, count, 4, 5)))
    assert len(open_source(tmp_path)) == 3


def test_idx_without_labels_and_in_colour(tmp_path) -> None:
    images = noise(0, 3, 4, 5, 3)
    (tmp_path / "colours.idx").write_bytes(idx_bytes(images))
    source = open_source(tmp_path / "colours.idx")
    assert source.labels is None and source.classes == []
    np.testing.assert_array_equal(source.image(2), images[2])


def test_idx_with_too_few_labels_is_refused(tmp_path) -> None:
    (tmp_path / "t-images-idx3-ubyte").write_bytes(idx_bytes(noise(0, 3, 2, 2)))
    (tmp_path / "t-labels-idx1-ubyte").write_bytes(idx_bytes(noise(0, 2)))
    with pytest.raises(InputError, match="3 images"):
        open_source(tmp_path / "t-images-idx3-ubyte")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_damaged_idx_files_are_refused(tmp_path, pack) -> None:
    whole = idx_bytes(noise(0, 3, 4, 4))
    path = tmp_path / "images-idx3-ubyte"
    for data in (whole[:-1], whole + b"x", whole[:9], struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 64)):
        path.write_bytes(pack(data))
        with pytest.raises(InputError, match="damaged"):
            open_source(path)
    path.write_bytes(pack(idx_bytes(noise(0, 12))))
    with pytest.raises(InputError, match="no images"):
        open_source(path)


def test_a_cut_gzip_is_refused(tmp_path) -> None:
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(noise(0, 30, 9, 9)))[:-200])
    with pytest.raises(InputError, match="cannot read"):
        open_source(path)


def test_what_is_no_data_set_is_refused(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(encoded(noise(0, 2, 2)))
    with pytest.raises(InputError, match="expected a folder, a zip or an IDX file"):
        open_source(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"cannot read .*missing"):
        open_source(tmp_path / "missing")


def test_one_picture_is_a_data_set(tmp_path) -> None:
    (tmp_path / "Stone.JPG").write_bytes(encoded(noise(0, 5, 4, 3), "JPEG"))
    (tmp_path / "other.png").write_bytes(encoded(noise(1, 5, 4, 3)))
    source = open_source(tmp_path / "Stone.JPG")
    assert source.names == ["Stone.JPG"] and source.labels is None and source.image(0).shape == (5, 4, 3)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opacity_is_kept_where_it_is_asked_for(tmp_path, mode: str) -> None:
    planes = noise(0, 6, 5, len(mode))
    planes[0, :, -1], planes[1, :, -1] = 0, 255
    (tmp_path / "a.png").write_bytes(encoded(planes))
    kept, flat = (open_source(tmp_path / "a.png").image(0, opacity=opacity) for opacity in (True, False))
    assert kept.shape == planes.shape and np.array_equal(kept[..., :-1], flat)
    assert np.array_equal(kept[..., -1], planes[..., -1])
    # What lies under full transparency looks white, and does not count.
    assert (kept[0, :, :-1] == 255).all() and np.array_equal(kept[1], planes[1])
    with_more = with_channels(flat, 4)
    assert with_more.shape == (6, 5, 4) and (with_more[..., 3] == 255).all()
    assert np.array_equal(with_channels(kept, 3), with_channels(flat, 3))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "AVIF", "JPEG", "GIF"])
@pytest.mark.parametrize("grey", [False, True])
def test_every_format_is_decoded(kind: str, grey: bool) -> None:
    if kind == "AVIF" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow writes no AVIF")
    pixels = np.full((8, 9) if grey else (8, 9, 3), 128, np.uint8)
    pixels[4:] = 32 if grey else (250, 250, 250)
    result = decode(encoded(pixels, kind, **({"lossless": True} if kind == "WEBP" else {})), "x")
    assert result.dtype == np.uint8 and result.flags.c_contiguous
    # WebP and AVIF know no grey.
    expected = pixels[..., None].repeat(result.shape[2], 2) if grey else pixels
    assert np.abs(result.astype(int) - expected).max() <= (12 if kind in ("JPEG", "AVIF") else 0)
    if kind in ("PNG", "BMP", "TIFF", "JPEG"):
        assert result.shape[2] == (1 if grey else 3)


def test_transparency_lies_on_white() -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    np.testing.assert_array_equal(decode(encoded(rgba), "x"), [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]])
    grey = Image.fromarray(rgba[..., [0, 3]], "LA")
    np.testing.assert_array_equal(decode(encoded(grey), "x"), [[[10], [255], [127]]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(encoded(palette), "x"), [[[200, 0, 0], [0, 200, 0]]])
    see_through = encoded(palette, transparency=1)
    np.testing.assert_array_equal(decode(see_through, "x"), [[[200, 0, 0], [255, 255, 255]]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(orientation: int) -> None:
    upright = np.array([[10, 60, 110], [160, 210, 250]], np.uint8)
    # How a camera stores `upright` for each value of the EXIF tag.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(np.ascontiguousarray(stored), exif=exif)
    np.testing.assert_array_equal(decode(data, "x")[..., 0], upright)


def test_sixteen_bits_are_rounded_not_clipped() -> None:
    deep = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    np.testing.assert_array_equal(decode(encoded(deep), "x")[..., 0], [[0, 0, 1, 1, 128, 255]])


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (40, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(data, "x") == 40).all()


def test_cmyk_becomes_rgb() -> None:
    result = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), "x")
    assert result.shape == (8, 8, 3) and np.abs(result - np.array([255, 0, 0])).max() < 20


def test_only_known_formats_are_decoded() -> None:
    picture = Image.fromarray(noise(0, 4, 4, 3))
    for kind in ("PPM", "TGA", "EPS", "PDF", "PCX", "ICO"):
        with pytest.raises(InputError, match=r"x\.png is not an image"):
            decode(encoded(picture, kind), "x.png")
    with pytest.raises(InputError, match=r"x\.png"):
        decode(b"", "x.png")


def test_too_many_pixels_are_refused_before_decoding() -> None:
    header = struct.pack(">2I5B", 20_000, 9_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(InputError, match=r"bomb\.png"):
        decode(data, "bomb.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_any_prefix_gives_an_image_or_an_input_error(kind: str) -> None:
    if kind == "AVIF" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow writes no AVIF")
    data = encoded(noise(0, 12, 10, 3), kind)
    failed = 0
    for end in range(0, len(data), max(1, len(data) // 60)):
        try:
            decode(data[:end], "cut")
        except InputError as error:
            assert "cut" in str(error) and "\n" not in str(error)
            failed += 1
    assert failed > 20


def test_what_a_run_inside_the_folder_has_made_is_not_learnt_from(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(FILES["b.png"])
    samples = tmp_path / "run" / "samples"
    samples.mkdir(parents=True)
    (samples / "000001.png").write_bytes(FILES["b.png"])
    assert open_source(tmp_path).names == ["a.png", "run/samples/000001.png"]
    for name in ("recipe.json", "log.jsonl"):
        (samples.parent / name).write_text("{}")
    assert open_source(tmp_path).names == ["a.png"]
    assert open_source(samples.parent).names == ["samples/000001.png"]
