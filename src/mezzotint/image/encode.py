"""`Picture` -> bytes of an image file, at high quality, with its metadata; what a format cannot hold is said."""

from __future__ import annotations

import importlib
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from mezzotint.errors import OutputError, UsageError
from mezzotint.image import png16, png_rows, tiff_rows
from mezzotint.image.deflate import strategy
from mezzotint.image.formats import FORMATS, check_size
from mezzotint.image.metadata import Metadata
from mezzotint.image.picture import Picture, to_eight_bits, to_pillow
from mezzotint.image.rows import Rows

# Lossy defaults are set where a difference is hard to see even enlarged: artifacts would be taken for the model's.
QUALITY = {"JPEG": 95, "WebP": 95, "AVIF": 90}
# The largest body of a JPEG marker, less the XMP namespace that stands before the packet.
_JPEG_MARKER, _JPEG_XMP = 65_533, 65_504


def encode(picture: Picture, stream: BinaryIO, format_name: str, quality: int | None = None) -> tuple[str, ...]:
    """Write `picture` as one of `FORMATS` and return notes on what that format could not hold.

    `quality` 1 to 100 is for JPEG (4:4:4), WebP and AVIF (4:4:4). Without it they use 95, 95 and 90, except that WebP
    is lossless for a picture that came from a lossless file. PNG, TIFF and BMP are always lossless; GIF is cut down to 256
    colours. Raises `UsageError`, `LimitError` (sides), `OutputError` (anything the encoder refuses).
    """
    check_quality(quality)
    check_size(format_name, picture.width, picture.height)
    picture, notes = fitted(picture, format_name)
    if isinstance(picture.pixels, Rows):
        if format_name == "PNG":
            png_rows.write(stream, picture.pixels, png_chunks(picture.metadata))
            return notes
        if format_name == "TIFF":
            with refusals_told(format_name):
                tiff_rows.write(stream, picture.pixels, picture.metadata)
            return notes
        picture = picture.replace(pixels=picture.pixels.whole())
    if format_name == "PNG" and picture.pixels.dtype == np.uint16:
        png16.write(stream, picture.pixels, picture.alpha, png_chunks(picture.metadata))
        return notes
    if format_name == "TIFF" and picture.pixels.dtype == np.uint16:
        pixels, alpha = picture.pixels, picture.alpha
        planes = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)
        with refusals_told(format_name):
            tiff_rows.write(stream, Rows.of(planes), picture.metadata)
        return notes
    image = to_pillow(picture)
    importlib.import_module(f"PIL.{FORMATS[format_name].plugin.partition('.')[0]}")
    # Through memory: given a real file, Pillow takes a write cut short by a full disk for a success.
    whole = io.BytesIO()
    with refusals_told(format_name):
        if format_name == "GIF":
            image = image.quantize(256)
        image.save(whole, format=format_name, **_options(picture, image, format_name, quality))
    stream.write(whole.getbuffer())
    return notes


def check_quality(quality: int | None) -> None:
    """Raises `UsageError` for a quality that is none."""
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality goes from 1 to 100, not {quality}")


@contextmanager
def refusals_told(format_name: str) -> Iterator[None]:
    """Encoders answer what they cannot write, such as odd EXIF, with many exception types."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, SyntaxError, RuntimeError, struct.error, OverflowError) as error:
        raise OutputError(f"cannot encode the result as {format_name} ({error})") from error


def fitted(picture: Picture, format_name: str) -> tuple[Picture, tuple[str, ...]]:
    """The picture cut down to what the format holds, and a note for everything that was lost."""
    f, notes, metadata = FORMATS[format_name], [], picture.metadata
    pixels, alpha = picture.pixels, picture.alpha
    if pixels.dtype == np.uint16 and not f.sixteen:
        pixels, alpha = to_eight_bits(pixels), None if alpha is None else to_eight_bits(alpha)
        notes.append(f"{format_name} here holds 8 bits a channel: rounded from 16; --format png keeps them")
    if alpha is not None and not f.alpha:
        opacity = alpha[..., None].astype(np.float32) / np.iinfo(alpha.dtype).max
        white = np.iinfo(pixels.dtype).max
        pixels = np.floor(pixels * opacity + white * (1 - opacity) + 0.5).astype(pixels.dtype)
        alpha = None
        notes.append(f"{format_name} here holds no transparency: laid on white; --format png keeps it")
    if format_name == "GIF":
        notes.append("GIF holds 256 colours: reduced to them; --format png keeps all")
    if format_name in ("BMP", "GIF") and (metadata.exif or metadata.icc):
        notes.append(f"{format_name} holds no EXIF and no colour profile: left out")
    if format_name != "PNG" and metadata.needs_png:
        notes.append(f"its gamma or colour space, stated as in PNG, goes with no {format_name}: --format png keeps it")
    if format_name != "PNG" and metadata.png_text:
        keywords = sorted({body.partition(b"\0")[0].decode("latin-1")[:40] for _, body in metadata.png_text})
        notes.append(f"its texts ({', '.join(keywords)[:80]}) go with no {format_name}: --format png keeps them")
    if format_name == "JPEG":
        if metadata.exif and len(metadata.exif) + 6 > _JPEG_MARKER:
            metadata = metadata.replace(exif=None)
            notes.append("its EXIF is too long for JPEG: left out")
        if metadata.xmp and len(metadata.xmp) > _JPEG_XMP:
            metadata = metadata.replace(xmp=None)
            notes.append("its XMP is too long for JPEG: left out")
    return picture.replace(pixels=pixels, alpha=alpha, metadata=metadata), tuple(notes)


def _options(picture: Picture, image: Any, format_name: str, quality: int | None) -> dict[str, Any]:
    """Keyword arguments of Pillow's `save`."""
    options = picture.metadata.pillow_info()
    image.info.clear()
    if format_name == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        for kind, body in (*picture.metadata.png_colour, *picture.metadata.png_text):
            info.add(kind, body)
        if xmp := options.pop("xmp", None):
            info.add(b"iTXt", xmp_text(xmp))
        return {**options, "pnginfo": info, "compress_type": strategy(picture.pixels)}
    if format_name == "TIFF":
        from PIL import Image, features

        exif = Image.Exif()
        exif.load(options.pop("exif", b""))
        if xmp := options.pop("xmp", None):
            exif[700] = xmp
        # Pillow hands compressed files to libtiff, which cannot write the directories of EXIF below the first.
        nested = any(tag in exif for tag in (0x8769, 0x8825))
        compression = "tiff_adobe_deflate" if features.check("libtiff") and not nested else None
        return {**options, "exif": exif, "compression": compression}
    if format_name == "JPEG":
        options |= {"quality": quality or QUALITY["JPEG"], "subsampling": 0, "optimize": True}
    elif format_name == "WebP":
        # Level 4 of 6: half the time of 6 for 1 % larger files.
        lossless = picture.lossless and quality is None
        options |= {"lossless": lossless, "quality": 75 if lossless else quality or QUALITY["WebP"], "method": 4}
    elif format_name == "AVIF":
        options |= {"quality": quality or QUALITY["AVIF"], "subsampling": "4:4:4"}
    return options


def png_chunks(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """Metadata as PNG chunks, in an order the specification allows."""
    found = list(metadata.png_colour)
    if metadata.icc:
        found = [(kind, body) for kind, body in found if kind != b"sRGB"]
        found.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi:
        x, y = (round(value / 0.0254) for value in metadata.dpi)
        found.append((b"pHYs", x.to_bytes(4, "big") + y.to_bytes(4, "big") + b"\1"))
    if metadata.exif:
        found.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        found.append((b"iTXt", xmp_text(metadata.xmp)))
    return [*found, *metadata.png_text]


def xmp_text(xmp: bytes) -> bytes:
    """The body of PNG's iTXt chunk for XMP: keyword, uncompressed, no language, no translated keyword."""
    return b"XML:com.adobe.xmp\0\0\0\0\0" + xmp
