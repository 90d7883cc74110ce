"""What a file says beside its pixels: EXIF, ICC, XMP, resolution; kept through the work, corrected where it must be."""

from __future__ import annotations

import dataclasses
import html
import math
import re
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

_PREFIX = b"Exif\0\0"
_ORIENTATION, _EXIF_IFD, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x0112, 0x8769, 0xA002, 0xA003
_XMP_TAG, _X_RESOLUTION, _Y_RESOLUTION = 700, 282, 283
# Tags of a TIFF's own directory that describe the picture rather than how it is stored.
_DESCRIPTIVE = (269, 270, 271, 272, 274, 285, 305, 306, 315, 316, 33432)
EXIF_DIRECTORIES = (_EXIF_IFD, 0x8825)
_PNG_COLOUR, _PNG_TEXT = (b"gAMA", b"cHRM", b"sRGB", b"cICP"), (b"tEXt", b"zTXt", b"iTXt")
# Keywords of what is metadata of another kind: XMP, and EXIF as ImageMagick wrote it once, with the turn that has been made.
_NO_TEXT = (b"XML:com.adobe.xmp\0", b"Raw profile type ")
# Colour primaries of BT.709, and unspecified ones, with the transfer functions in use for them: sRGB, near enough.
_USUAL_PRIMARIES, _USUAL_TRANSFER = (1, 2), (1, 2, 6, 13)
# IPTC's terms for where pixels come from: http://cv.iptc.org/newscodes/digitalsourcetype/
ENHANCED = "algorithmicallyEnhanced"
GENERATED = "trainedAlgorithmicMedia"


@dataclass(frozen=True)
class Metadata:
    """Everything is optional; bytes are kept as they were found."""

    exif: bytes | None = None  # a TIFF structure, without the "Exif" prefix of JPEG
    icc: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_colour: tuple[tuple[bytes, bytes], ...] = ()  # PNG's gAMA, cHRM, sRGB, cICP chunks, type and body
    png_text: tuple[tuple[bytes, bytes], ...] = ()  # PNG's tEXt, zTXt, iTXt chunks: title, author, how it was generated

    @classmethod
    def of_pillow(cls, image: Image.Image) -> Metadata:
        """Collect from a loaded Pillow image's `info`; damaged parts are left out rather than passed on."""
        info = image.info
        xmp = info.get("xmp")
        # Of a TIFF that says nothing of its resolution Pillow says one pixel an inch.
        unsaid = image.format == "TIFF" and not {_X_RESOLUTION, _Y_RESOLUTION} <= set(image.tag_v2)  # type: ignore[attr-defined]
        return cls(
            exif=_tiff_exif(image) if image.format == "TIFF" else without_prefix(info.get("exif")),
            icc=_bytes_or_none(info.get("icc_profile")),
            xmp=_bytes_or_none(xmp.encode() if isinstance(xmp, str) else xmp),
            dpi=None if unsaid else _sane_dpi(info.get("dpi")),
        )

    def pillow_info(self) -> dict[str, Any]:
        """The entries of a Pillow image's `info`, as its plugins write them."""
        info: dict[str, Any] = {"icc_profile": self.icc, "xmp": self.xmp, "dpi": self.dpi}
        info["exif"] = None if self.exif is None else _PREFIX + self.exif
        return {key: value for key, value in info.items() if value is not None}

    @property
    def needs_png(self) -> bool:
        """Whether the colours mean something that only PNG's own chunks say: another gamma than sRGB's, or cICP."""
        chunks = dict(self.png_colour)
        if self.icc or b"sRGB" in chunks:
            return False
        # 45,455 is 1 / 2.2, as near to sRGB as gamma comes; H.273 numbers sRGB 1 and 13.
        gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big")
        return (b"cICP" in chunks and chunks[b"cICP"][:2] != b"\1\r") or bool(gamma and abs(gamma - 45_455) > 1_000)

    @property
    def orientation(self) -> int:
        """EXIF's 1 (upright) to 8; 1 if absent or nonsense."""
        value = 1
        with suppress(struct.error, ValueError):
            for tag, kind, place, order in _entries(self.exif or b""):
                if tag == _ORIENTATION and kind == 3:
                    (value,) = struct.unpack_from(f"{order}H", self.exif or b"", place)
        return value if 1 <= value <= 8 else 1

    def upright(self) -> Metadata:
        """For pixels that have been turned: orientation 1, in EXIF and, where EXIF turned them, in XMP."""
        if self.orientation == 1:
            return self
        exif = _patched(self.exif or b"", {_ORIENTATION: 1})
        xmp = self.xmp and re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", self.xmp)
        return self.replace(exif=exif, xmp=xmp)

    def resized(self, width: int, height: int) -> Metadata:
        """For pixels of another size: EXIF names the new one and no longer points to the old thumbnail."""
        if not self.exif:
            return self
        sizes = {_PIXEL_WIDTH: width, _PIXEL_HEIGHT: height}
        return self.replace(exif=_patched(self.exif, sizes))

    def replace(self, **parts: Any) -> Metadata:
        """A copy with some parts changed."""
        return dataclasses.replace(self, **parts)

    def stripped(self) -> Metadata:
        """Without EXIF, XMP and texts, which tell who, where and how; what colours need stays."""
        return self.replace(exif=None, xmp=None, png_text=())

    def stamped(self, source_type: str, facts: Mapping[str, str]) -> Metadata:
        """With a provenance note in XMP: `ENHANCED` or `GENERATED`, and facts such as `{"Model": "compact-x4"}`."""
        return self.replace(xmp=_stamp(self.xmp, source_type, facts))


def without_prefix(exif: Any) -> bytes | None:
    """EXIF bytes as a bare TIFF structure; None if they are not one."""
    if not isinstance(exif, bytes):
        return None
    exif = exif.removeprefix(_PREFIX)
    return exif if exif[:4] in (b"II*\0", b"MM\0*") else None


def of_png(chunks: Iterable[tuple[bytes, memoryview]]) -> dict[str, Any]:
    """What a PNG's chunks, type and body, say of colours and in words, for `Metadata.replace`."""
    found = [(kind, bytes(body)) for kind, body in chunks if kind in (*_PNG_COLOUR, *_PNG_TEXT)]
    return {
        "png_colour": tuple(chunk for chunk in found if chunk[0] in _PNG_COLOUR),
        "png_text": tuple(chunk for chunk in found if chunk[0] in _PNG_TEXT and not chunk[1].startswith(_NO_TEXT)),
    }


def as_cicp(primaries: int, transfer: int) -> tuple[tuple[bytes, bytes], ...]:
    """What AVIF and HEIC say of colours by the numbers of ITU-T H.273, as PNG says it; sRGB goes unsaid."""
    if primaries in _USUAL_PRIMARIES and transfer in _USUAL_TRANSFER:
        return ()
    # The same numbers; RGB, full range.
    return ((b"cICP", bytes([primaries % 256, transfer % 256, 0, 1])),)


def _bytes_or_none(value: Any) -> bytes | None:
    return value if isinstance(value, bytes) and value else None


def _sane_dpi(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (x, y) if all(math.isfinite(value) and 0 < value < 65_535 for value in (x, y)) else None


def _tiff_exif(image: Image.Image) -> bytes | None:
    """The descriptive part of a TIFF's own directory as EXIF; its layout tags belong to the old file alone."""
    from PIL import Image

    found, exif = image.getexif(), Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in found and tag != _ORIENTATION:  # Pillow has turned the pixels already
            exif[tag] = found[tag]
    for directory in EXIF_DIRECTORIES:
        if entries := found.get_ifd(directory):
            exif.get_ifd(directory).update(entries)
    return without_prefix(exif.tobytes()) if len(exif) else None


def _entries(exif: bytes) -> list[tuple[int, int, int, str]]:
    """(tag, type, offset of its inline value, byte order) of the first directory and of the EXIF directory below it."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return []
    found: list[tuple[int, int, int, str]] = []
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    for directory in range(2):
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        first = len(found)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, place)
            found.append((tag, kind, place + 8, order))
        below = [place for tag, _, place, _ in found[first:] if tag == _EXIF_IFD]
        if directory or not below:
            break
        (start,) = struct.unpack_from(f"{order}I", exif, below[0])
    return found


def _patched(exif: bytes, values: Mapping[int, int]) -> bytes:
    """Change numbers in place and unlink the thumbnail, which shows the old picture.

    Every other byte stays where it was, so maker notes, which count from the start of the block, stay readable.
    """
    data = bytearray(exif)
    with suppress(struct.error, ValueError):
        for tag, kind, place, order in _entries(exif):
            if tag in values and kind in (3, 4):
                largest = 0xFFFF if kind == 3 else 0xFFFFFFFF
                struct.pack_into(f"{order}{'H' if kind == 3 else 'I'}", data, place, min(values[tag], largest))
        order = "<" if exif[:2] == b"II" else ">"
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        struct.pack_into(f"{order}I", data, start + 2 + 12 * count, 0)
    return bytes(data)


def _stamp(xmp: bytes | None, source_type: str, facts: Mapping[str, str]) -> bytes:
    """Add one description to an XMP packet, in place of an older one of ours; other people's XMP stays."""
    rows = "".join(f' mezzotint:{key}="{html.escape(value)}"' for key, value in facts.items())
    description = (
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'xmlns:mezzotint="urn:mezzotint:1"{rows} '
        f'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}"/>'
    ).encode()
    if xmp is None:
        head = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        return head + description + b"</rdf:RDF></x:xmpmeta>"
    xmp = re.sub(rb"<rdf:Description [^>]*xmlns:mezzotint=[^>]*/>", b"", xmp)
    xmp = re.sub(rb"\sIptc4xmpExt:DigitalSourceType=([\"'])[^\"']*\1", b"", xmp)
    xmp = re.sub(rb"<Iptc4xmpExt:DigitalSourceType>[^<]*</Iptc4xmpExt:DigitalSourceType>", b"", xmp)
    # A packet we cannot read (UTF-16, damaged) is passed on untouched.
    return xmp.replace(b"</rdf:RDF>", description + b"</rdf:RDF>", 1)
