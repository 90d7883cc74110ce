"""Image files in and out: the whole picture with its alpha, depth and metadata, or one clear error.

`read` and `write` are all that the rest of the package uses; `decode` and `encode` do the same on bytes and streams.
"""

from __future__ import annotations

import stat
from pathlib import Path

from mezzotint.errors import InputError, LimitError
from mezzotint.files import atomic_write
from mezzotint.image.decode import MAX_PIXELS, decode
from mezzotint.image.encode import encode
from mezzotint.image.formats import by_suffix
from mezzotint.image.picture import Picture, from_pillow, to_pillow

__all__ = ["MAX_PIXELS", "Picture", "decode", "encode", "file_bytes", "from_pillow", "read", "to_pillow", "write"]

# A whole 100-megapixel image of 16 bits, uncompressed, is below this.
LARGEST_FILE = 2 << 30


def read(path: str | Path, *, max_pixels: int = MAX_PIXELS, first_frame: bool = False) -> Picture:
    """Read an image file: told by its content, turned upright, 16 bits kept. Arguments as `decode`.

    Raises `InputError` (missing, not an image, damaged, animated), `LimitError` (too large).
    """
    return decode(file_bytes(path), str(path), max_pixels=max_pixels, first_frame=first_frame)


def file_bytes(path: str | Path) -> bytes:
    """The content of an image file, undecoded. Raises `InputError`, `LimitError`."""
    path = Path(path)
    try:
        # Asked before opening: a named pipe without a writer would hold us for ever.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "folder" if stat.S_ISDIR(status.st_mode) else "device or pipe"
            raise InputError(f"{path} is a {kind}, not an image file")
        if status.st_size > LARGEST_FILE:
            raise LimitError(f"{path} is larger than {LARGEST_FILE >> 30} GiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def write(
    picture: Picture,
    path: str | Path,
    format_name: str | None = None,
    *,
    quality: int | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write an image file, complete or not at all; the format is that of the suffix unless named.

    Returns notes on what the format could not hold. Raises `UsageError`, `LimitError`, `OutputError`; see `encode`.
    """
    name = format_name or by_suffix(path).name
    with atomic_write(path, overwrite=overwrite) as stream:
        return encode(picture, stream, name, quality)
