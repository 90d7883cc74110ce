"""Every kind of file through the whole way, read, enlarged and written: size, colour, opacity and metadata come out right.

The model repeats pixels, so every result can be foretold from the picture that the file was made of.
"""

import io
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageCms

from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.image.io import Picture, decode, encode
from mezzotint.image.metadata import Metadata
from mezzotint.pipelines.upscale import Upscaler

HEIGHT, WIDTH = 24, 32
Y, X = np.mgrid[:HEIGHT, :WIDTH] / 31
SMOOTH = np.stack([30 + 180 * X, 220 - 160 * Y, 60 + 60 * X + 60 * Y], 2)  # H W 3, 0 to 255
DEEP = np.rint(SMOOTH * 257).astype(np.uint16)
RGB = np.rint(SMOOTH).astype(np.uint8)
GREY = RGB[..., 0]
ALPHA = np.where((X - 0.5) ** 2 + (Y - 0.4) ** 2 < 0.1, 255, 0).astype(np.uint8)
PALETTE = Image.fromarray(RGB).quantize(32)
CLEAR_INDEX = int(np.asarray(PALETTE)[0, 0])
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class Nearest:
    """x2 by repeating pixels."""

    precision = "f32"
    card = Card("nearest", SUPER_RESOLUTION, "none", scale=2, in_channels=3, halo=0)

    def __call__(self, lr):
        return lr.repeat(2, 2).repeat(2, 3)


def transparent_palette():
    image = PALETTE.copy()
    image.info["transparency"] = CLEAR_INDEX
    return image


# A picture of each mode by Pillow, what its colours are (H W C, 8 bits), and its opacity.
MODES = {
    "1": (lambda: Image.fromarray(GREY > 128), (GREY > 128).astype(np.uint8)[..., None] * 255, None),
    "L": (lambda: Image.fromarray(GREY), GREY[..., None], None),
    "LA": (lambda: Image.fromarray(np.dstack([GREY, ALPHA])), GREY[..., None], ALPHA),
    "P": (PALETTE.copy, np.asarray(PALETTE.convert("RGB")), None),
    "P+clear": (
        transparent_palette,
        np.asarray(PALETTE.convert("RGB")),
        np.where(np.asarray(PALETTE) == CLEAR_INDEX, 0, 255).astype(np.uint8),
    ),
    "RGB": (lambda: Image.fromarray(RGB), RGB, None),
    "RGBA": (lambda: Image.fromarray(np.dstack([RGB, ALPHA])), RGB, ALPHA),
    "CMYK": (lambda: Image.fromarray(RGB).convert("CMYK"), RGB, None),
}
# The same in 16 bits, by our own writers.
DEEP_MODES = {
    "L16": (DEEP[..., :1], None),
    "LA16": (DEEP[..., :1], ALPHA.astype(np.uint16) * 257),
    "RGB16": (DEEP, None),
    "RGBA16": (DEEP, ALPHA.astype(np.uint16) * 257),
}
HOLD = {
    "PNG": ["1", "L", "LA", "P", "P+clear", "RGB", "RGBA", *DEEP_MODES],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", *DEEP_MODES],
    "JPEG": ["L", "RGB", "CMYK"],
    "WebP": ["RGB", "RGBA"],
    "AVIF": ["L", "RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB"],
    "GIF": ["1", "L", "P", "P+clear"],
    "HEIC": ["L", "RGB", "RGBA"],
}
PLAIN = ("BMP", "GIF")  # hold no metadata
LOSSY = ("JPEG", "AVIF", "HEIC")
CELLS = [
    (mode, name, target, icc, exif)
    for name, modes in HOLD.items()
    for mode, target, icc, exif in product(modes, ("keep", "JPEG", "PNG"), (False, True), (False, True))
    if not (name in PLAIN and (icc or exif))
]


def camera(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Camera"
    return exif


def source(mode, name, icc, exif):
    """The bytes of a file, stored turned by a quarter where EXIF says so."""
    options = {} if name in PLAIN else {"dpi": (300, 300)}
    options |= {"icc_profile": SRGB} if icc else {}
    stream = io.BytesIO()
    if mode in DEEP_MODES:
        pixels, alpha = DEEP_MODES[mode]
        turned = [None if part is None else np.ascontiguousarray(np.rot90(part)) for part in (pixels, alpha)]
        pixels, alpha = turned if exif else (pixels, alpha)
        raw = camera(6).tobytes().removeprefix(b"Exif\0\0") if exif else None
        metadata = Metadata(exif=raw, icc=options.get("icc_profile"), dpi=(300, 300))
        encode(Picture(pixels, alpha, metadata=metadata), stream, name)
        return stream.getvalue()
    image = MODES[mode][0]()
    if exif:
        # Orientation 6: shown turned clockwise by a quarter, so stored turned the other way.
        clear = image.info.get("transparency")
        image = image.transpose(Image.Transpose.ROTATE_90)
        image.info |= {} if clear is None else {"transparency": clear}
        options["exif"] = camera(6)
    if name == "HEIC":
        pillow_heif = pytest.importorskip("pillow_heif")
        options["exif"] = camera(6).tobytes() if exif else None
        pillow_heif.from_pillow(image).save(stream, quality=95, chroma=444, **options)
        return stream.getvalue()
    if name == "AVIF":
        options["subsampling"] = "4:4:4"
    if "transparency" in image.info:
        options["transparency"] = CLEAR_INDEX
    quality = {"quality": 95} if name in LOSSY else {}
    image.save(stream, name, **options, **quality, **({"lossless": True} if name == "WebP" else {}))
    return stream.getvalue()


def test_there_are_enough_cells():
    assert len(CELLS) >= 200 and len({cell[:2] for cell in CELLS}) >= 35


@pytest.mark.parametrize("name", HOLD)
def test_every_cell_of(name):
    upscaler = Upscaler(Nearest())
    for mode, found, target, icc, exif in CELLS:
        if found == name:
            try:
                check(upscaler, mode, name, target, icc, exif)
            except AssertionError as error:
                raise AssertionError(f"{mode} {name} -> {target}, ICC {icc}, EXIF {exif}: {error}") from error


def check(upscaler, mode, name, target, icc, exif):
    picture = decode(source(mode, name, icc, exif), "cell")
    target = picture.format if target == "keep" else target
    target = "PNG" if target in ("GIF", "HEIC") else target
    stream = io.BytesIO()
    notes = encode(upscaler.stamped(upscaler.picture(picture)), stream, target)
    again = decode(stream.getvalue(), "result")

    assert (again.format, again.height, again.width) == (target, 2 * HEIGHT, 2 * WIDTH)
    deep = mode in DEEP_MODES
    pixels, alpha = DEEP_MODES[mode] if deep else MODES[mode][1:]
    kept_deep = deep and target in ("PNG", "TIFF")
    assert again.pixels.dtype == (np.uint16 if kept_deep else np.uint8)
    assert any("8 bits" in note for note in notes) == (deep and not kept_deep)
    unit = 257 if kept_deep else 1
    expected = (pixels if kept_deep or not deep else pixels / 257).repeat(2, 0).repeat(2, 1).astype(float)
    opacity = None if alpha is None else (alpha / alpha.max()).repeat(2, 0).repeat(2, 1)
    if opacity is not None and target == "JPEG":
        expected = expected * opacity[..., None] + 255 * (1 - opacity[..., None])
        opacity = None
        assert any("white" in note for note in notes)
    lossless = name not in LOSSY and target not in LOSSY
    off = np.abs(again.pixels - np.broadcast_to(expected, again.pixels.shape)) / unit
    if opacity is not None:
        # What is under full transparency is nobody's business.
        assert np.abs(again.alpha / np.iinfo(again.alpha.dtype).max - opacity).max() <= (0 if lossless else 0.05)
        off = off[opacity > 0]
    assert off.mean() <= 2 and np.median(off) <= 2
    if lossless and mode != "CMYK":
        assert off.max() <= (0 if not deep or kept_deep else 0.51)

    if target not in PLAIN:
        converted = mode == "CMYK"
        assert again.metadata.icc == (SRGB if icc and not converted else None)
        assert b"algorithmicallyEnhanced" in again.metadata.xmp and b"nearest" in again.metadata.xmp
    if target not in (*PLAIN, "WebP", "AVIF") and name in ("PNG", "JPEG", "TIFF"):
        assert np.allclose(again.metadata.dpi, 300, atol=0.1)
    if exif and target not in PLAIN:
        kept = Image.Exif()
        kept.load(again.metadata.exif)
        assert kept[0x010F] == "Camera" and kept.get(0x0112, 1) == 1


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_levels_of_sixteen_bits_go_through(name, channels):
    levels = np.arange(65_536, dtype=np.uint16).reshape(256, 256, 1).repeat(channels, 2)
    stream = io.BytesIO()
    encode(Picture(levels), stream, name)
    result = Upscaler(Nearest()).picture(decode(stream.getvalue()))
    stream = io.BytesIO()
    assert encode(result, stream, name) == ()
    np.testing.assert_array_equal(decode(stream.getvalue()).pixels, levels.repeat(2, 0).repeat(2, 1))


def test_gamma_goes_through_png_and_is_told_elsewhere():
    gamma = (100_000).to_bytes(4, "big")  # linear light
    stream = io.BytesIO()
    encode(Picture(RGB, metadata=Metadata(png_colour=((b"gAMA", gamma),))), stream, "PNG")
    result = Upscaler(Nearest()).picture(decode(stream.getvalue()))
    stream = io.BytesIO()
    assert encode(result, stream, "PNG") == ()
    assert (b"gAMA", gamma) in decode(stream.getvalue()).metadata.png_colour
    for name in ("JPEG", "TIFF", "WebP", "AVIF"):
        assert any("gamma" in note for note in encode(result, io.BytesIO(), name))
