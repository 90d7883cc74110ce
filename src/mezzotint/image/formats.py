"""The file formats that are read and written: told apart by their first bytes, never by their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mezzotint.errors import LimitError, UsageError


@dataclass(frozen=True)
class Format:
    """What a format can hold. Its first suffix is the one new files get."""

    name: str
    plugin: str  # Pillow's module and class, opened directly: no other of Pillow's 40 decoders is ever tried
    suffixes: tuple[str, ...]
    largest_side: int
    alpha: bool
    sixteen: bool  # whether 16 bits a channel can be held
    lossy: bool
    written: bool = True


FORMATS = {
    f.name: f
    for f in (
        Format("PNG", "PngImagePlugin.PngImageFile", (".png", ".apng"), 2**31 - 1, True, True, False),
        # The standard says 65,535; libjpeg stops at 65,500.
        Format("JPEG", "JpegImagePlugin.JpegImageFile", (".jpg", ".jpeg", ".jpe", ".jfif"), 65_500, False, False, True),
        Format("WebP", "WebPImagePlugin.WebPImageFile", (".webp",), 16_383, True, False, True),
        Format("AVIF", "AvifImagePlugin.AvifImageFile", (".avif",), 65_536, True, False, True),
        Format("TIFF", "TiffImagePlugin.TiffImageFile", (".tif", ".tiff"), 2**31 - 1, True, True, False),
        Format("BMP", "BmpImagePlugin.BmpImageFile", (".bmp", ".dib"), 2**31 - 1, False, False, False),
        Format("GIF", "GifImagePlugin.GifImageFile", (".gif",), 65_535, False, False, False),
        # Read by `image/heic.py`; its encoder is slow, and what it writes is read by few.
        Format("HEIC", "", (".heic", ".heif", ".hif"), 0, True, True, True, written=False),
    )
}
SUFFIXES = {suffix: f.name for f in FORMATS.values() for suffix in f.suffixes}
WRITTEN_SUFFIXES = {suffix: name for suffix, name in SUFFIXES.items() if FORMATS[name].written}

# Films, told by their names, because FFmpeg tells them apart; what cannot be written becomes Matroska, which holds anything.
FILMS = {"MP4": (".mp4", ".m4v"), "MOV": (".mov", ".qt"), "MKV": (".mkv",)}
WRITTEN_FILMS = {suffix: name for name, suffixes in FILMS.items() for suffix in suffixes}
_READ_FILMS = (".webm", ".avi", ".wmv", ".asf", ".flv", ".mpg", ".mpeg", ".m2ts", ".mts", ".3gp", ".ogv")
FILM_SUFFIXES = {**WRITTEN_FILMS, **dict.fromkeys(_READ_FILMS, "MKV")}

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
)
_FOREIGN = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript program"),
    (b"8BPS", "a Photoshop document"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"PK\3\4", "a zip archive"),
)


def sniff(head: bytes) -> str | None:
    """The name of the format that a file's first 64 bytes announce, or None."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    # An ISO media file names its brand and then those it is compatible with.
    if head[4:8] == b"ftyp":
        brands = {head[place : place + 4] for place in range(8, min(len(head), int.from_bytes(head[:4], "big")), 4)}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & {b"heic", b"heix", b"heim", b"heis", b"mif1"}:
            return "HEIC"
    return None


def describe(head: bytes) -> str:
    """What a file that is none of ours looks like, for an error message."""
    if not head:
        return "it is empty"
    for signature, what in _FOREIGN:
        if head.startswith(signature):
            return f"it is {what}"
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return "it looks like text"
    return "its first bytes are of none of these formats"


def by_name(name: str) -> Format:
    """The format to write that a person names: "png", "JPEG", "jpg", "tif", ... Raises `UsageError` with the choices."""
    wanted = SUFFIXES.get("." + name.lower().lstrip("."), name)
    for f in FORMATS.values():
        if f.written and f.name.lower() == wanted.lower():
            return f
    choices = ", ".join(f.name.lower() for f in FORMATS.values() if f.written)
    raise UsageError(f"cannot write the image format '{name}'; choose {choices}")


def by_suffix(path: str | Path) -> Format:
    """The format to write that a file name asks for. Raises `UsageError` with the known suffixes."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        raise UsageError(
            f"cannot tell what image to write as {path}; known suffixes: {' '.join(sorted(WRITTEN_SUFFIXES))}"
        )
    return FORMATS[WRITTEN_SUFFIXES[suffix]]


def check_size(format_name: str, width: int, height: int) -> None:
    """Refuse, before any work, a picture whose sides the format cannot hold. Raises `LimitError`."""
    limit = FORMATS[format_name].largest_side
    if max(width, height) > limit:
        raise LimitError(
            f"{format_name} holds at most {limit:,} pixels a side and the result would be {width:,} x {height:,}; "
            "use --format png, or a smaller scale"
        )
