import io

import numpy as np
import pytest
from PIL import Image

from mezzotint.errors import InputError
from mezzotint.image.io import Picture, decode, encode
from mezzotint.image.metadata import Metadata

RNG = np.random.default_rng(0)
EXIF = Image.Exif()
EXIF[0x010F], EXIF.get_ifd(0x8769)[0x829A], EXIF.get_ifd(0x8825)[1] = "Camera", 0.5, "N"


def samples(channels, height=33, width=47):
    return RNG.integers(0, 65_536, (height, width, channels), dtype=np.uint16)


def encoded(picture):
    stream = io.BytesIO()
    encode(picture, stream, "TIFF")
    return stream.getvalue()


def planes(picture):
    return picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha[..., None]], 2)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_every_layout_of_another_writer_is_read_exactly(channels, order, compression):
    tifffile = pytest.importorskip("tifffile")
    image = samples(channels)
    for predictor in (False, True) if compression else (False,):
        for apart in (False, True) if channels > 1 else (False,):
            for layout in ({"rowsperstrip": 7}, {"tile": (16, 32)}, {"bigtiff": order == "<"}):
                options = {**layout, "photometric": "rgb" if channels > 2 else "minisblack"}
                if channels > 1:
                    options["planarconfig"] = "separate" if apart else "contig"
                if channels in (2, 4):
                    options["extrasamples"] = ["unassalpha"]
                stream = io.BytesIO()
                body = image.transpose(2, 0, 1) if apart else image if channels > 1 else image[..., 0]
                tifffile.imwrite(
                    stream,
                    body,
                    byteorder=order,
                    compression=compression,
                    predictor=predictor,
                    metadata=None,
                    **options,
                )
                picture = decode(stream.getvalue())
                np.testing.assert_array_equal(planes(picture), image)
                assert picture.format == "TIFF" and picture.lossless and not picture.notes


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_another_reader_reads_ours(channels):
    tifffile = pytest.importorskip("tifffile")
    image = samples(channels, 400, 700)
    alpha = image[..., -1] if channels in (2, 4) else None
    data = encoded(Picture(image[..., : 1 if channels < 3 else 3], alpha))
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)).reshape(image.shape), image)
    np.testing.assert_array_equal(planes(decode(data)), image)


def test_metadata_go_with_the_pixels():
    exif = EXIF.tobytes().removeprefix(b"Exif\0\0")
    metadata = Metadata(exif=exif, icc=b"profile" * 9, xmp=b"<x:xmpmeta/>", dpi=(300, 300))
    back = decode(encoded(Picture(samples(3), metadata=metadata))).metadata
    assert (back.icc, back.xmp, back.dpi) == (metadata.icc, metadata.xmp, metadata.dpi)
    kept = Image.Exif()
    kept.load(back.exif)
    assert kept[0x010F] == "Camera" and kept.get_ifd(0x8769)[0x829A] == 0.5 and kept.get_ifd(0x8825)[1] == "N"


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_applied_once(turn):
    tifffile = pytest.importorskip("tifffile")
    stream, image = io.BytesIO(), samples(3, 5, 8)
    tifffile.imwrite(stream, image, photometric="rgb", metadata=None, extratags=[(274, 3, 1, turn, True)])
    expected = image.swapaxes(0, 1) if turn > 4 else image
    expected = expected[:, ::-1] if turn in (2, 3, 6, 7) else expected
    expected = expected[::-1] if turn in (3, 4, 7, 8) else expected
    picture = decode(stream.getvalue())
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.metadata.orientation == 1


def test_opacity_that_is_multiplied_in_is_divided_out_and_white_may_be_zero():
    tifffile = pytest.importorskip("tifffile")
    colours, alpha = samples(3), np.maximum(samples(1), 20_000)
    multiplied = np.rint(colours * (alpha / 65_535)).astype(np.uint16)
    stream = io.BytesIO()
    whole = np.concatenate([multiplied, alpha], 2)
    tifffile.imwrite(stream, whole, photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    assert np.abs(decode(stream.getvalue()).pixels.astype(int) - colours).max() <= 2
    stream, grey = io.BytesIO(), samples(1)[..., 0]
    tifffile.imwrite(stream, grey, photometric="miniswhite", metadata=None)
    np.testing.assert_array_equal(decode(stream.getvalue()).pixels[..., 0], 65_535 - grey)


def test_other_depths_are_refused_or_told():
    tifffile = pytest.importorskip("tifffile")
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples(3).astype(np.uint32), photometric="rgb", metadata=None)
    with pytest.raises(InputError):
        decode(stream.getvalue())
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples(4), photometric="separated", metadata=None)
    assert any("8 bits" in note for note in decode(stream.getvalue()).notes)
    stream, pages = io.BytesIO(), samples(3)[None].repeat(3, 0)
    tifffile.imwrite(stream, pages, photometric="rgb", metadata=None)
    with pytest.raises(InputError, match="3 pages"):
        decode(stream.getvalue())
    np.testing.assert_array_equal(decode(stream.getvalue(), first_frame=True).pixels, pages[0])


@pytest.mark.parametrize(
    ("kind", "channels", "why"),
    [(np.int8, 1, "signed numbers of 8"), (np.float32, 3, "floating-point colours"), (np.float64, 1, "of 64 bits")],
)
def test_whole_files_of_kinds_that_are_not_read_are_not_called_damaged(kind, channels, why):
    tifffile = pytest.importorskip("tifffile")
    values = np.full((9, 8, 3) if channels == 3 else (9, 8), -1 if kind is np.int8 else 0.5, kind)
    stream, photometric = io.BytesIO(), "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(stream, values, photometric=photometric, metadata=None)
    with pytest.raises(InputError, match=why) as found:
        decode(stream.getvalue(), "a.tif")
    assert str(found.value).startswith("a.tif: it holds") and "damaged" not in str(found.value)


def test_a_bigtiff_that_is_not_read_is_not_called_damaged():
    tifffile = pytest.importorskip("tifffile")
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples(3), photometric="rgb", metadata=None, bigtiff=True, byteorder=">")
    with pytest.raises(InputError, match="byte order MM is not read; convert"):
        decode(stream.getvalue(), "a.tif")


def test_twelve_bits_go_over_the_full_range():
    # Pillow writes no 12 bits: of a file of 8 bits and 3 x 1 pixels, depth and width are changed, for two samples.
    stream = io.BytesIO()
    Image.fromarray(np.array([[0xFF, 0xF0, 0x80]], np.uint8)).save(stream, "TIFF")
    data = bytearray(stream.getvalue())
    for tag, value in ((256, 2), (258, 12)):
        place = data.index(tag.to_bytes(2, "little") + b"\3\0" if tag == 258 else tag.to_bytes(2, "little") + b"\4\0")
        data[place + 8 : place + 12] = value.to_bytes(4, "little")
    np.testing.assert_array_equal(decode(bytes(data)).pixels[..., 0], [[65_535, 2_048]])
