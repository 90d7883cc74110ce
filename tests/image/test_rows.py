"""Pictures that are written while they are computed: the same pixels as any PNG reader sees them."""

import io

import numpy as np
import pytest
from PIL import Image

from mezzotint.errors import QualityError
from mezzotint.image.io import Picture, decode, encode
from mezzotint.image.metadata import Metadata
from mezzotint.image.rows import Rows

RNG = np.random.default_rng(0)


def in_bands(pixels: np.ndarray, *heights: int) -> Rows:
    return Rows(pixels.shape, pixels.dtype, lambda: iter(np.split(pixels, np.cumsum(heights))))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_what_the_bands_did(dtype: type, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from mezzotint.image import png_rows

    monkeypatch.setattr(png_rows, "_PIECE", 700)
    pixels = RNG.integers(0, np.iinfo(dtype).max, (41, 33, channels), dtype, endpoint=True)
    stream = io.BytesIO()
    picture = Picture(in_bands(pixels, 1, 20), metadata=Metadata(dpi=(200, 200)))
    encode(picture, stream, "PNG")
    found = decode(stream.getvalue())
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.metadata.dpi == pytest.approx((200, 200), abs=0.1)
    if dtype == np.uint8:
        image = Image.open(io.BytesIO(stream.getvalue()))
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_holds_what_the_bands_did(dtype: type, channels: int, big: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from mezzotint.image import tiff_rows

    # Strips of 3 or more rows; and what would be a BigTIFF only above 4 GiB.
    monkeypatch.setattr(tiff_rows, "_STRIP_BYTES", 700)
    if big:
        monkeypatch.setattr(tiff_rows, "_LARGEST_PLAIN", 100)
    pixels = RNG.integers(0, np.iinfo(dtype).max, (41, 33, channels), dtype, endpoint=True)
    exif = Image.Exif()
    exif[0x010F], exif.get_ifd(0x8769)[0x829A] = "Camera", 0.5
    metadata = Metadata(dpi=(200, 200), icc=b"profile", xmp=b"<x:xmpmeta/>", exif=exif.tobytes())
    stream = io.BytesIO()
    encode(Picture(in_bands(pixels, 1, 20, 2, 0), metadata=metadata), stream, "TIFF")
    assert stream.getvalue()[2] == (43 if big else 42)
    found = decode(stream.getvalue())
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.metadata.dpi == pytest.approx((200, 200), abs=0.1)
    assert (found.metadata.icc, found.metadata.xmp) == (metadata.icc, metadata.xmp)
    kept = Image.Exif()
    kept.load(found.metadata.exif or b"")
    assert kept[0x010F] == "Camera" and kept.get_ifd(0x8769)[0x829A] == 0.5
    if dtype == np.uint8:
        image = Image.open(io.BytesIO(stream.getvalue()))
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_a_tiff_of_one_strip_and_of_one_row() -> None:
    for height in (1, 3):
        pixels = RNG.integers(0, 256, (height, 5, 3), np.uint8)
        stream = io.BytesIO()
        encode(Picture(Rows.of(pixels)), stream, "TIFF")
        np.testing.assert_array_equal(decode(stream.getvalue()).pixels, pixels)


def test_formats_without_rows_get_the_whole() -> None:
    pixels = RNG.integers(0, 256, (41, 33, 3), np.uint8)
    stream = io.BytesIO()
    encode(Picture(in_bands(pixels, 7)), stream, "BMP")
    np.testing.assert_array_equal(decode(stream.getvalue()).pixels, pixels)


def test_what_goes_wrong_while_computing_comes_out() -> None:
    def bands():
        yield np.zeros((4, 8, 3), np.uint8)
        raise QualityError("no numbers")

    for format_name in ("PNG", "TIFF"):
        with pytest.raises(QualityError):
            encode(Picture(Rows((8, 8, 3), np.dtype(np.uint8), bands)), io.BytesIO(), format_name)
