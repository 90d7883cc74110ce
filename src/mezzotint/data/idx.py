"""IDX, the format of MNIST and Fashion-MNIST: a magic number, big-endian sizes, then bytes; often inside gzip.

Source: the description beside the original files (LeCun, Cortes, Burges). Only arrays of unsigned bytes are read.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mezzotint.errors import InputError

__all__ = ["labels_beside", "looks_like", "read"]

_GZIP, _UNSIGNED_BYTES = b"\x1f\x8b", b"\x00\x00\x08"
# Deflate, which gzip uses, packs at most so many bytes into one: a header that claims more is damaged or an attack.
_DENSEST = 1032


def looks_like(path: Path) -> bool:
    """Whether `path` begins as an IDX file of unsigned bytes does, directly or inside gzip."""
    try:
        with _open(path) as stream:
            return stream.read(3) == _UNSIGNED_BYTES
    except (OSError, EOFError, zlib.error):
        return False


def read(path: Path) -> np.ndarray:
    """The array in `path`, uint8, in the shape its header says; mapped from the file unless it is gzipped.

    Raises `InputError` when the file is not IDX, or shorter or longer than its header says.
    """
    try:
        with _open(path) as stream:
            start = stream.read(4)
            if len(start) < 4 or start[:3] != _UNSIGNED_BYTES or start[3] == 0:
                raise InputError(f"{path} is not an IDX file of unsigned bytes")
            sides = stream.read(4 * start[3])
            shape = tuple(int(side) for side in np.frombuffer(sides[: len(sides) // 4 * 4], ">u4"))
            size = math.prod(shape)
            if len(shape) != start[3] or size > _DENSEST * path.stat().st_size:
                raise InputError(f"{path} is damaged: its header says {' x '.join(map(str, shape)) or 'nothing'}")
            offset = stream.tell()
            if isinstance(stream, gzip.GzipFile):
                data = stream.read(size + 1)
                if len(data) != size:
                    raise InputError(f"{path} is damaged: its data are not the {size:,} bytes of its header")
                return np.frombuffer(data, np.uint8).reshape(shape)
        if path.stat().st_size != offset + size:
            raise InputError(f"{path} is damaged: its data are not the {size:,} bytes of its header")
        if size == 0:
            return np.empty(shape, np.uint8)
        return np.memmap(path, np.uint8, "r", offset, shape)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path} ({error})") from error


def labels_beside(images: Path, count: int) -> list[int] | None:
    """The labels beside an image file, in its twin by MNIST's naming (`images-idx3` -> `labels-idx1`), or None.

    Raises `InputError` when the twin does not hold `count` labels.
    """
    stem = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    for twin in (images.with_name(stem), images.with_name(f"{stem}.gz")):
        if twin.name.removesuffix(".gz") != images.name.removesuffix(".gz") and twin.is_file():
            labels = read(twin)
            if labels.shape != (count,):
                raise InputError(f"{twin} has shape {labels.shape} but {images.name} has {count} images")
            return [int(label) for label in labels]
    return None


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        zipped = stream.read(2) == _GZIP
    return gzip.open(path, "rb") if zipped else path.open("rb")  # type: ignore[return-value]
