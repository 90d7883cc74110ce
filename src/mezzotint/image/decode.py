"""Bytes of an image file -> `Picture`; whatever the bytes are, only our own errors come out."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mezzotint.errors import InputError, LimitError, MezzotintError
from mezzotint.image import heic, png16, tiff16, tiff_directory
from mezzotint.image.formats import FORMATS, describe, sniff
from mezzotint.image.metadata import Metadata, as_cicp, of_png, without_prefix
from mezzotint.image.picture import Picture, from_pillow, upright

if TYPE_CHECKING:
    from PIL import ImageFile

MAX_PIXELS = 100_000_000


def decode(data: bytes, name: str = "image", *, max_pixels: int = MAX_PIXELS, first_frame: bool = False) -> Picture:
    """Decode PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF or HEIC; `name` stands in the messages.

    The size is checked in the header, before any pixel is decoded. An animation or a document of several pages is an
    error unless `first_frame` asks for its first picture. Raises `InputError`, `LimitError`.
    """
    found = sniff(data[:64])
    if found is None:
        readable = ", ".join(FORMATS)
        raise InputError(f"{name} is not an image that can be read: {describe(data[:64])}; readable are {readable}")
    with only_our_errors(name, found):
        if found == "PNG":
            head = png16.header(data)
            check_pixels(name, head.width, head.height, max_pixels)
            # Pillow gives up silently on some of the damage that checksums tell.
            said = of_png(png16.chunks(data))
        if found == "HEIC":
            heif = heic.open_image(data)
            check_pixels(name, heif.size[0], heif.size[1], max_pixels)
            return heic.read(heif)
        if found == "TIFF":
            _check_samples(data)
        if found == "TIFF" and (layout := tiff16.layout(data)) is not None:
            check_pixels(name, layout.width, layout.height, max_pixels)
            _check_single(name, found, layout.pages, first_frame)
            return _read_tiff16(data, layout)
        image = open_image(data, found)
        check_pixels(name, image.width, image.height, max_pixels)
        _check_single(name, found, getattr(image, "n_frames", 1), first_frame)
        notes = _deep_tiff_notes(image, name)
        deep = found == "PNG" and head.depth == 16
        picture = _read_png16(data, image) if deep else from_pillow(image)
        if found == "TIFF" and image.tag_v2.get(258) == (12,):
            # Pillow leaves the samples of 12 bits as they are, 0 to 4,095.
            wide = (picture.pixels.astype(np.uint32) * 65_535 + 2_047) // 4_095
            picture = picture.replace(pixels=wide.astype(np.uint16))
        if found == "PNG":
            picture = picture.replace(metadata=picture.metadata.replace(**said))
        if found == "AVIF" and not picture.metadata.icc:
            picture = picture.replace(metadata=picture.metadata.replace(png_colour=avif_colour(data)))
        notes += picture.notes
        if found == "AVIF" and (depth := _avif_depth(data)) > 8:
            notes += (f"{depth}-bit AVIF: read with 8 bits a channel",)
        return picture.replace(format=found, lossless=is_lossless(data, found, image), notes=notes)


def open_image(data: bytes, found: str) -> Any:
    """Pillow's image, its header read: by its own class, so that no other decoder can be reached."""
    module, _, name = FORMATS[found].plugin.partition(".")
    opened: ImageFile.ImageFile = getattr(importlib.import_module(f"PIL.{module}"), name)(io.BytesIO(data))
    return opened


def check_pixels(name: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse a size that a header claims. Raises `InputError` for none, `LimitError` for too many pixels."""
    if width < 1 or height < 1:
        raise InputError(f"{name} claims to have {width} x {height} pixels")
    if width * height > max_pixels:
        raise LimitError(
            f"{name} has {width:,} x {height:,} = {width * height:,} pixels, more than the limit of {max_pixels:,}; "
            "if it can be trusted, raise the limit with --max-pixels"
        )


def _check_single(name: str, found: str, frames: int, first_frame: bool) -> None:
    if frames > 1 and not first_frame:
        what = "pages" if found == "TIFF" else "frames"
        raise InputError(f"{name} holds {frames} {what}; --frames first takes the first one")


def _check_samples(data: bytes) -> None:
    """Refuse what Pillow knows no mode for, or opens as if it were something else. Raises `InputError`, `ValueError`."""
    directory = tiff_directory.first(data)
    # 258: bits a sample; 262: 2 or more are colours; 339: 2 is signed, 3 floating.
    depth, colour = directory.number(data, 258, 1), directory.number(data, 262, 1) > 1
    kind = directory.number(data, 339, 1)
    if kind == 2 and (colour or depth < 16):
        raise InputError(f"it holds signed numbers of {depth} bits; convert it to 8 or 16 bits without sign")
    if kind == 3 and (colour or depth != 32):
        what = "colours" if colour else "grey"
        raise InputError(f"it holds floating-point {what} of {depth} bits; convert it to 16-bit integers")


def _deep_tiff_notes(image: Any, name: str) -> tuple[str, ...]:
    """Pillow opens TIFFs of other colours than grey and RGB, and of other depths than 16, with 8 bits without a word."""
    depth = max(image.tag_v2.get(258, (8,))) if image.format == "TIFF" else 8
    if depth <= 8 or image.mode in ("I;16", "I;16L", "I;16B", "I", "F"):
        return ()
    if image.mode == "CMYK":
        return (f"{depth}-bit CMYK: read with 8 bits a channel",)
    raise InputError(f"{name} is a {depth}-bit colour TIFF, which would be read with 8 bits; convert it to 16-bit RGB")


def _read_tiff16(data: bytes, layout: tiff16.Layout) -> Picture:
    pixels, alpha, metadata = tiff16.read(data, layout)
    turned = upright(pixels, layout.orientation), None if alpha is None else upright(alpha, layout.orientation)
    return Picture(*turned, format="TIFF", metadata=metadata)


def _read_png16(data: bytes, image: Any) -> Picture:
    """Pixels by our own reader, metadata by Pillow, which is not asked for any pixels."""
    pixels, alpha = png16.read(data)
    metadata = Metadata.of_pillow(image)
    if metadata.exif is None:
        # EXIF may follow the pixels, where Pillow has not been.
        late = [bytes(body) for kind, body in png16.chunks(data) if kind == b"eXIf"]
        metadata = metadata.replace(exif=without_prefix(late[0]) if late else None)
    turn = metadata.orientation
    alpha = None if alpha is None else upright(alpha, turn)
    return Picture(upright(pixels, turn), alpha, metadata=metadata.upright())


def is_lossless(data: bytes, found: str, image: Any) -> bool:
    """Whether the file holds exactly the pixels that were to be stored."""
    if found == "WebP":
        place = 12
        while place + 8 <= len(data) and data[place : place + 4] not in (b"VP8 ", b"VP8L"):
            # A frame of an animation is a header of 16 bytes and then chunks like those of a still picture.
            inside = data[place : place + 4] == b"ANMF"
            place += 24 if inside else 8 + (int.from_bytes(data[place + 4 : place + 8], "little") + 1) // 2 * 2
        return data[place : place + 4] == b"VP8L"
    return not FORMATS[found].lossy and image.info.get("compression") != "jpeg"


def _avif_depth(data: bytes) -> int:
    """Bits a channel from the pixel information box: its type, 4 bytes of version and flags, a count, the bits."""
    place = data.find(b"pixi", 0, 65_536)
    return data[place + 9] if 0 < place < len(data) - 9 else 8


def avif_colour(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """What the colour information box says, as PNG says it: two bytes each for primaries and transfer function."""
    place = data.find(b"colrnclx", 0, 65_536) + 8
    numbers = data[place : place + 4] if place >= 8 else b""
    return as_cicp(int.from_bytes(numbers[:2], "big"), int.from_bytes(numbers[2:], "big")) if len(numbers) == 4 else ()


@contextmanager
def only_our_errors(name: str, found: str) -> Iterator[None]:
    """Decoders answer damage with dozens of exception types; a person gets one line."""
    try:
        yield
    except MezzotintError as error:
        # Errors from below know the reason but not the file.
        if name in str(error):
            raise
        raise type(error)(f"{name}: {error}") from error
    except MemoryError as error:
        raise LimitError(f"{name} needs more memory to decode than there is") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if "MAX_TEXT" in reason or "DecompressionBomb" in type(error).__name__:
            raise LimitError(f"{name} unpacks to far more than it should ({reason})") from error
        raise InputError(f"{name} is a damaged or truncated {found} file ({reason})") from error
