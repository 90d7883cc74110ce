import io
import struct
import xml.dom.minidom

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from mezzotint.image.io import Picture, decode, encode
from mezzotint.image.metadata import ENHANCED, Metadata

RGB = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image, format_name, **options):
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def encoded(picture, format_name, quality=None):
    stream = io.BytesIO()
    notes = encode(picture, stream, format_name, quality)
    return stream.getvalue(), notes


ORIENTED = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10
TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "WebP"])
def test_exif_orientation_is_applied_once_and_reset(orientation, format_name):
    # TURNS stores the upright picture as a camera held so would.
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Camera"
    stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](ORIENTED)))
    options = {"lossless": True} if format_name == "WebP" else {}
    picture = decode(saved(stored, format_name, exif=exif, **options))
    np.testing.assert_array_equal(picture.pixels[..., 0], ORIENTED)
    assert picture.metadata.orientation == 1
    again = decode(encoded(picture, "PNG")[0])
    np.testing.assert_array_equal(again.pixels, picture.pixels)
    written = Image.Exif()
    written.load(again.metadata.exif)
    assert written[0x010F] == "Camera"


def camera_exif():
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    details = exif.get_ifd(0x8769)
    details[0xA002], details[0xA003], details[0x927C] = 17, 12, b"maker note"
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_tiff_without_a_resolution_gets_none(kind):
    stream = io.BytesIO()
    Image.fromarray(np.full((9, 8), 200, kind)).save(stream, "TIFF")
    found = decode(stream.getvalue())
    assert found.metadata.dpi is None
    for name in ("PNG", "JPEG", "TIFF"):
        stream = io.BytesIO()
        encode(found, stream, name)
        assert decode(stream.getvalue()).metadata.dpi is None


@pytest.mark.parametrize("format_name", ["PNG", "PNG16", "JPEG", "WebP", "AVIF", "TIFF"])
def test_metadata_survives(format_name):
    metadata = Metadata(exif=camera_exif(), icc=SRGB, xmp=b"<x:xmpmeta>packet</x:xmpmeta>", dpi=(300.0, 300.0))
    pixels = RGB.astype(np.uint16) * 257 if format_name == "PNG16" else RGB
    data, notes = encoded(Picture(pixels, metadata=metadata), format_name.removesuffix("16"))
    again = decode(data)
    assert not notes and not again.notes
    assert again.metadata.icc == SRGB and again.metadata.xmp == metadata.xmp
    exif = Image.Exif()
    exif.load(again.metadata.exif)
    assert exif[0x010F] == "Camera" and exif.get_ifd(0x8769)[0x927C] == b"maker note"
    if format_name not in ("WebP", "AVIF"):
        assert again.metadata.dpi == pytest.approx((300, 300), abs=0.1)
    bare = decode(encoded(Picture(pixels, metadata=metadata.stripped()), format_name.removesuffix("16"))[0])
    assert bare.metadata.xmp is None and bare.metadata.icc == SRGB
    assert b"Camera" not in (bare.metadata.exif or b"")


def test_a_new_size_is_told_in_exif_and_nothing_else_moves():
    before = camera_exif()
    after = Metadata(exif=before).resized(68, 48).exif
    exif = Image.Exif()
    exif.load(after)
    assert exif.get_ifd(0x8769)[0xA002] == 68 and exif.get_ifd(0x8769)[0xA003] == 48
    assert len(after) == len(before) and sum(a != b for a, b in zip(after, before, strict=True)) <= 4


def test_png_gamma_is_kept_at_both_depths():
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100_000))
    picture = decode(saved(Image.fromarray(RGB), "PNG", pnginfo=info))
    deep = picture.replace(pixels=picture.pixels.astype(np.uint16) * 257)
    for part in (picture, deep):
        assert Image.open(io.BytesIO(encoded(part, "PNG")[0])).info["gamma"] == 1.0


def test_provenance_joins_xmp_that_is_there_and_replaces_only_its_own():
    theirs = b'<x:xmpmeta><rdf:RDF><rdf:Description dc:title="A &amp; B"/></rdf:RDF></x:xmpmeta>'
    once = Metadata(xmp=theirs).stamped(ENHANCED, {"Model": 'a"<b'})
    twice = once.stamped(ENHANCED, {"Model": "second"})
    assert b'dc:title="A &amp; B"' in twice.xmp and twice.xmp.count(b"DigitalSourceType=") == 1
    assert b"second" in twice.xmp and b"a&quot;&lt;b" in once.xmp and b"a&quot;" not in twice.xmp
    xml.dom.minidom.parseString(Metadata().stamped(ENHANCED, {"Model": 'a"<b&'}).xmp)


def test_texts_of_a_png_stay_in_a_png_and_are_missed_elsewhere():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat, steps: 20")
    info.add_text("Title", "A cat", zip=True)
    info.add_itxt("Comment", "Ünï")
    info.add_text("Raw profile type exif", "an old turn")
    data = saved(Image.fromarray(RGB), "PNG", pnginfo=info)
    for sixteen in (False, True):
        picture = decode(data)
        if sixteen:
            picture = picture.replace(pixels=picture.pixels.astype(np.uint16) * 257)
        picture = picture.replace(metadata=picture.metadata.stamped(ENHANCED, {}))
        with Image.open(io.BytesIO(encoded(picture, "PNG")[0])) as again:
            texts = {key: str(value) for key, value in again.text.items() if "xmp" not in key}
        assert texts == {"parameters": "a cat, steps: 20", "Title": "A cat", "Comment": "Ünï"}
    (note,) = encoded(decode(data), "JPEG")[1]
    assert "Comment, Title, parameters" in note and "--format png" in note
    assert not decode(data).metadata.stripped().png_text
