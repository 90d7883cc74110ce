import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from mezzotint.errors import InputError, LimitError, OutputError, UsageError
from mezzotint.image import decode as decoder
from mezzotint.image.io import Picture, decode, encode, from_pillow, read, to_pillow, write

RGB = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(0, 240, 5), np.arange(0, 240, 4))[..., None].repeat(3, 2).astype(np.float64)
SMOOTH = (SMOOTH / SMOOTH.max() * 255).astype(np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image, format_name, **options):
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def encoded(picture, format_name, quality=None):
    stream = io.BytesIO()
    notes = encode(picture, stream, format_name, quality)
    return stream.getvalue(), notes


@pytest.mark.parametrize("format_name", ["PNG", "WebP", "TIFF", "BMP"])
@pytest.mark.parametrize("kind", ["grey", "rgb", "grey+alpha", "rgb+alpha"])
def test_lossless_formats_give_back_the_same_pixels(format_name, kind):
    pixels = RGB if "rgb" in kind else RGB[..., :1]
    alpha = RGB[..., 2] if "alpha" in kind else None
    data, notes = encoded(Picture(pixels, alpha), format_name)
    again = decode(data)
    if format_name == "BMP" and alpha is not None:
        assert any("transparency" in note for note in notes) and again.alpha is None
        return
    assert again.format == format_name and again.lossless and not notes
    expected = pixels.repeat(3, 2) if again.pixels.shape[2] > pixels.shape[2] else pixels
    if format_name == "WebP" and alpha is not None:
        # WebP may change colours that nobody can see.
        assert (again.pixels == expected)[alpha > 0].all()
    else:
        np.testing.assert_array_equal(again.pixels, expected)
    if alpha is not None:
        np.testing.assert_array_equal(again.alpha, alpha)


@pytest.mark.parametrize("format_name", ["JPEG", "WebP", "AVIF"])
def test_lossy_formats_come_close(format_name):
    data, _ = encoded(Picture(SMOOTH, lossless=False), format_name)
    again = decode(data)
    assert not again.lossless
    assert np.abs(again.pixels.astype(int) - SMOOTH).mean() < 1.5


def test_quality_decides_about_size_and_webp_is_lossless_only_for_lossless_sources():
    for name in ("JPEG", "WebP", "AVIF"):
        assert len(encoded(Picture(RGB), name, 20)[0]) < len(encoded(Picture(RGB), name, 98)[0])
    np.testing.assert_array_equal(decode(encoded(Picture(RGB), "WebP")[0]).pixels, RGB)
    assert not decode(encoded(Picture(RGB), "WebP", 90)[0]).lossless
    with pytest.raises(UsageError):
        encoded(Picture(RGB), "JPEG", 0)


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_every_level(format_name):
    ramp = np.arange(65_536, dtype=np.uint16).reshape(256, 256, 1)
    data, notes = encoded(Picture(ramp), format_name)
    np.testing.assert_array_equal(decode(data).pixels, ramp)
    assert not notes


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_sixteen_bit_colour_keeps_every_level(format_name):
    deep = np.stack([np.arange(65_536, dtype=np.uint16).reshape(256, 256)] * 3, 2)
    deep[..., 1] = deep[::-1, ::-1, 1]
    data, notes = encoded(Picture(deep), format_name)
    np.testing.assert_array_equal(decode(data).pixels, deep)
    assert not notes


def test_what_eight_bits_lose_is_told():
    deep = np.arange(65_536, dtype=np.uint16).reshape(256, 256, 1)
    data, notes = encoded(Picture(deep), "BMP")
    assert any("8 bits" in note for note in notes)
    np.testing.assert_array_equal(decode(data).pixels[..., :1], np.floor(deep / 257 + 0.5).astype(np.uint8))


def big_endian_grey_tiff(samples):
    tags = [
        (256, 4, samples.shape[1]),
        (257, 4, samples.shape[0]),
        (258, 3, 16 << 16),
        (259, 3, 1 << 16),
        (262, 3, 1 << 16),
        (273, 4, 8),
        (278, 4, samples.shape[0]),
        (279, 4, samples.nbytes),
    ]
    body = samples.astype(">u2").tobytes()
    entries = b"".join(struct.pack(">HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"MM\0*" + struct.pack(">I", 8 + len(body)) + body + struct.pack(">H", len(tags)) + entries + bytes(4)


def test_both_byte_orders_of_sixteen_bit_tiff():
    ramp = np.arange(400, dtype=np.uint16).reshape(20, 20) * 163
    np.testing.assert_array_equal(decode(big_endian_grey_tiff(ramp)).pixels[..., 0], ramp)


def with_transparent_palette():
    image = Image.fromarray(RGB).quantize(16)
    image.info["transparency"] = 3
    return image


MODES = {
    "1": (Image.fromarray(RGB[..., 0] > 99), 1, False),
    "L": (Image.fromarray(RGB[..., 0]), 1, False),
    "LA": (Image.fromarray(RGB[..., :2], "LA"), 1, True),
    "P": (Image.fromarray(RGB).quantize(16), 3, False),
    "P+transparent": (with_transparent_palette(), 3, True),
    "RGB": (Image.fromarray(RGB), 3, False),
    "RGBA": (Image.fromarray(RGB).convert("RGBA"), 3, True),
    "RGBX": (Image.fromarray(RGB).convert("RGBX"), 3, False),
    "YCbCr": (Image.fromarray(RGB).convert("YCbCr"), 3, False),
    "HSV": (Image.fromarray(RGB).convert("HSV"), 3, False),
    "CMYK": (Image.fromarray(RGB).convert("CMYK"), 3, False),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_conversion_table(mode):
    image, channels, has_alpha = MODES[mode]
    picture = from_pillow(image)
    assert picture.pixels.shape == (12, 17, channels) and picture.pixels.dtype == np.uint8
    assert (picture.alpha is not None) == has_alpha
    reference = np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(12, 17, -1)
    assert np.abs(picture.pixels.mean((0, 1)) - reference.mean((0, 1))).max() < 2


def test_deep_modes_are_taken_in_range_and_refused_outside():
    grey = np.arange(204, dtype=np.int32).reshape(12, 17) * 321
    np.testing.assert_array_equal(from_pillow(Image.fromarray(grey)).pixels[..., 0], grey)
    unit = (grey / 65_535).astype(np.float32)
    np.testing.assert_array_equal(from_pillow(Image.fromarray(unit)).pixels[..., 0], grey)
    for bad in (grey + 65_535, grey - 1, unit * 2, unit * np.float32(np.nan)):
        with pytest.raises(InputError):
            from_pillow(Image.fromarray(bad))


def test_palette_transparency_of_a_file_becomes_alpha():
    image = with_transparent_palette()
    picture = decode(saved(image, "PNG", transparency=3))
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(image) == 3)


def test_cmyk_by_profile_drops_the_profile_and_without_one_says_so():
    cmyk = Image.fromarray(SMOOTH).convert("CMYK")
    plain = decode(saved(cmyk, "JPEG", quality=98))
    assert any("CMYK" in note for note in plain.notes)
    assert np.abs(plain.pixels.astype(int) - SMOOTH).mean() < 3
    unusable = decode(saved(cmyk, "JPEG", quality=98, icc_profile=SRGB))
    assert any("CMYK" in note for note in unusable.notes) and unusable.metadata.icc is None


def test_transparency_is_laid_on_white_and_told():
    alpha = np.zeros((12, 17), np.uint8)
    data, notes = encoded(Picture(np.zeros_like(RGB), alpha), "BMP")
    assert (decode(data).pixels == 255).all() and any("transparency" in note for note in notes)


def frames(count):
    return [Image.fromarray(np.roll(RGB, n, 1)) for n in range(count)]


@pytest.mark.parametrize("format_name", ["GIF", "WebP", "PNG", "TIFF", "AVIF"])
def test_animations_are_an_error_unless_the_first_picture_is_asked_for(format_name):
    first, *rest = frames(3)
    data = saved(
        first, format_name, save_all=True, append_images=rest, **{"lossless": True} if format_name == "WebP" else {}
    )
    with pytest.raises(InputError, match="--frames first"):
        decode(data)
    picture = decode(data, first_frame=True)
    assert picture.pixels.shape == RGB.shape
    if format_name in ("PNG", "WebP", "TIFF"):
        np.testing.assert_array_equal(picture.pixels, RGB)


def lying_png(width, height, depth=8):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [8, 16])
def test_size_is_checked_in_the_header(depth):
    with pytest.raises(LimitError, match="400,000,000 pixels, more than the limit of 100,000,000"):
        decode(lying_png(20_000, 20_000, depth))
    with pytest.raises(LimitError):
        decode(saved(Image.new("L", (101, 100)), "JPEG"), max_pixels=10_000)
    assert decode(saved(Image.new("L", (100, 100)), "JPEG"), max_pixels=10_000).width == 100
    with pytest.raises(InputError):
        decode(lying_png(2_000, 2_000, depth))


def test_pillows_own_pixel_limit_does_not_stand_in_the_way_of_ours(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode(saved(Image.fromarray(RGB), "PNG")).pixels.shape == RGB.shape


def test_text_that_unpacks_without_end_is_a_limit():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a" * 3_000_000, zip=True)
    with pytest.raises(LimitError):
        decode(saved(Image.fromarray(RGB), "PNG", pnginfo=info))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, world", "text"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"<svg xmlns=''/>", "SVG"),
    ],
)
def test_files_of_other_kinds_are_named(data, words, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_things_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "none.png", tmp_path / "pipe.png", "\0.png"):
        with pytest.raises(InputError):
            read(path)


def test_sides_that_a_format_cannot_hold():
    wide = Picture(np.zeros((1, 16_384, 1), np.uint8))
    with pytest.raises(LimitError, match="16,383"):
        encoded(wide, "WebP")
    assert decode(encoded(wide, "PNG")[0]).width == 16_384
    with pytest.raises(LimitError, match="65,500"):
        encoded(Picture(np.zeros((1, 65_501, 1), np.uint8)), "JPEG")


def test_writing_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.png"
    assert write(Picture(RGB), path) == ()
    with pytest.raises(OutputError):
        write(Picture(RGB), path)
    before = path.read_bytes()
    with pytest.raises((UsageError, LimitError)):
        write(Picture(np.zeros((1, 16_384, 1), np.uint8)), path, "WebP", overwrite=True)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(UsageError):
        write(Picture(RGB), tmp_path / "a.xyz")


def test_pillow_images_go_round():
    for mode in ("L", "LA", "RGB", "RGBA", "I;16"):
        image = Image.fromarray(RGB[..., 0].astype(np.uint16)) if mode == "I;16" else MODES[mode][0]
        again = to_pillow(from_pillow(image))
        assert again.mode == mode and (np.asarray(again) == np.asarray(image)).all()


def test_lab_tiffs_are_converted():
    # Neutral: lightness 50 % of L*, no colour.
    lab = Image.merge("LAB", [Image.new("L", (4, 3), value) for value in (128, 128, 128)])
    pixels = decode(saved(lab, "TIFF")).pixels.astype(int)
    assert pixels.shape == (3, 4, 3) and np.abs(pixels - 119).max() <= 3


def test_avif_of_a_wide_gamut_stays_one_in_png_and_that_is_told_elsewhere():
    data, usual = encoded(Picture(SMOOTH), "AVIF")[0], b"colrnclx\0\1\0\r"
    assert usual in data and not decode(data).metadata.png_colour
    # Display P3, which Pillow's encoder does not state.
    wide = decode(data.replace(usual, b"colrnclx\0\x0c\0\r"))
    whole, notes = encoded(wide, "PNG")
    assert b"cICP\x0c\r\0\1" in whole and not notes
    assert any("gamma or colour space" in note for note in encoded(wide, "AVIF")[1])
    assert not decode(data.replace(usual, b"colrnclx\0\2\0\2")).metadata.png_colour


def test_deep_avif_is_told(monkeypatch):
    data = encoded(Picture(SMOOTH), "AVIF")[0]
    assert not decode(data).notes
    # No encoder for deep AVIF is at hand: the box that states the depth is changed where it is read.
    place = data.index(b"pixi") + 9
    deep = data[:place] + b"\x0a\x0a\x0a" + data[place + 3 :]
    opened = decoder.open_image
    monkeypatch.setattr(decoder, "open_image", lambda _, name: opened(data, name))
    assert any("10-bit" in note for note in decode(deep).notes)
