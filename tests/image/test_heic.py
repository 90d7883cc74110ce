import io
import sys

import numpy as np
import pytest
from PIL import Image

from mezzotint.errors import InputError, LimitError, UsageError
from mezzotint.image.formats import by_name, by_suffix
from mezzotint.image.io import decode, encode

HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def heic(array, exif=None, **options):
    """A lossless file of H W or H W C samples."""
    pillow_heif = pytest.importorskip("pillow_heif")
    mode = {2: "L", 3: "RGB" if array.shape[-1] == 3 else "RGBA"}[array.ndim]
    mode += ";16" if array.dtype == np.uint16 else ""
    file, stream = pillow_heif.from_bytes(mode, array.shape[1::-1], array.tobytes()), io.BytesIO()
    file.save(stream, quality=-1, chroma=444, matrix_coefficients=0, exif=exif, **options)
    return stream.getvalue()


RGB = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["grey", "rgb", "rgba"])
def test_pixels_and_opacity_come_back(kind):
    array = {"grey": RGB[..., 0], "rgb": RGB, "rgba": np.concatenate([RGB, RGB[..., :1]], 2)}[kind]
    picture = decode(heic(array))
    whole = picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha[..., None]], 2)
    assert np.abs(whole.astype(int).squeeze() - array).max() <= 2
    assert picture.format == "HEIC" and not picture.lossless and picture.pixels.dtype == np.uint8


def test_ten_bits_go_over_the_full_range():
    levels = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    array = (levels << 6)[..., None].repeat(3, 2)
    picture = decode(heic(array))
    assert picture.pixels.dtype == np.uint16
    assert np.abs(picture.pixels.astype(int) - np.rint(levels * (65_535 / 1023))[..., None]).max() <= 65
    assert picture.pixels.max() == 65_535 and picture.pixels.min() == 0


def test_orientation_is_applied_once_and_exif_kept():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    picture = decode(heic(RGB, exif=exif.tobytes()))
    assert picture.pixels.shape == (64, 48, 3) and picture.metadata.orientation == 1
    kept = Image.Exif()
    kept.load(picture.metadata.exif)
    assert kept[0x010F] == "Camera" and kept.get(0x0112, 1) == 1
    stream = io.BytesIO()
    encode(picture, stream, "JPEG")
    assert Image.open(io.BytesIO(stream.getvalue())).getexif()[0x010F] == "Camera"


def test_a_wide_colour_space_without_a_profile_is_kept_by_png_and_told_elsewhere():
    # Display P3: primaries 12, sRGB's transfer function.
    picture = decode(heic(RGB, color_primaries=12, transfer_characteristics=13))
    stream = io.BytesIO()
    assert not encode(picture, stream, "PNG") and b"cICP\x0c\x0d\0\1" in stream.getvalue()
    assert any("colour space" in note for note in encode(picture, io.BytesIO(), "JPEG"))


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UsageError, match=r"photo\.heic.*mezzotint\[formats\]"):
        decode(HEAD, "photo.heic")


def test_damage_and_size():
    data = heic(RGB)
    with pytest.raises(LimitError):
        decode(data, max_pixels=1_000)
    for length in (20, 200, len(data) // 2):
        with pytest.raises(InputError):
            decode(data[:length])


def test_it_is_not_written():
    for refused in (by_name, by_suffix):
        with pytest.raises(UsageError, match="heic"):
            refused("a.heic" if refused is by_suffix else "heic")
