"""TIFF written strip by strip while its rows are still being computed, 8 and 16 bits: Pillow would need the whole picture,
and reduce 16-bit colour to 8 bits.

After TIFF revision 6.0 (Adobe, 1992): sections 2 (directories), 7 (strips), 14 (differencing), 18 (ExtraSamples). The
directory stands before the pixels, since its length is known in advance, and is written once more when all strips are.
Beyond 4 GiB the file is a BigTIFF: the same with 8 bytes for every place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate
from typing import BinaryIO

import numpy as np

from mezzotint.image.deflate import deflated, strategy
from mezzotint.image.metadata import EXIF_DIRECTORIES, Metadata
from mezzotint.image.rows import Rows

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS = 256, 257, 258, 259, 262, 273
_SAMPLES, _ROWS, _LENGTHS, _X_PER_UNIT, _Y_PER_UNIT, _PLANES, _UNIT, _PREDICTOR = 277, 278, 279, 282, 283, 284, 296, 317
_EXTRA, _XMP, _ICC = 338, 700, 34675
_BYTE, _UNDEFINED, _LONG, _LONG8 = 1, 7, 4, 16
_STRIP_BYTES = 1 << 20
# Larger pictures may need more than the 4 GiB of a plain TIFF, were they noise; 1 % for what deflate adds and for metadata.
_LARGEST_PLAIN = int(0.99 * 2**32)


def write(stream: BinaryIO, rows: Rows, metadata: Metadata) -> None:
    """Write H W C rows, uint8 or uint16, C 1 or 3 and one more for opacity, deflated; `stream` is at its beginning and can
    seek. While one band is compressed, the next is computed. Whatever computing it raises comes out here.
    """
    height, width, samples = rows.shape
    row_bytes = width * samples * rows.dtype.itemsize
    big = height * row_bytes > _LARGEST_PLAIN
    each = max(1, _STRIP_BYTES // row_bytes)
    lengths = [0] * -(-height // each)
    stream.write(_head(rows, metadata, each, lengths, big))

    def compress(strips: list[np.ndarray], first: int) -> int:
        if strips:
            how = strategy(strips[len(strips) // 2])
        for index, strip in enumerate(strips, first):
            values = strip.astype(strip.dtype.newbyteorder("<"))
            values[:, 1:] -= strip[:, :-1]
            body = deflated(values.tobytes(), how)
            lengths[index] = len(body)
            stream.write(body)
        return first + len(strips)

    with ThreadPoolExecutor(1) as pool:
        last: Future[int] | None = None
        for strips in _strips(rows, each):
            done = last.result() if last else 0
            last = pool.submit(compress, strips, done)
        if last:
            last.result()
    stream.seek(0)
    stream.write(_head(rows, metadata, each, lengths, big))
    stream.seek(0, 2)


def _strips(rows: Rows, each: int) -> Iterator[list[np.ndarray]]:
    """The bands cut into strips of `each` rows; only the very last one may be lower."""
    rest: list[np.ndarray] = []
    for band in rows.bands():
        lines = np.concatenate([*rest, band]) if rest else band
        whole = len(lines) // each * each
        rest = [lines[whole:]] if whole < len(lines) else []
        yield [lines[start : start + each] for start in range(0, whole, each)]
    yield rest


def _head(rows: Rows, metadata: Metadata, each: int, lengths: list[int], big: bool) -> bytes:
    """The header and the directory of strips of these lengths; as long whatever they are."""
    from PIL import Image, TiffImagePlugin

    height, width, samples = rows.shape
    # Which kind of file it is, and that its directory follows at once.
    start = b"II\x2b\0" + struct.pack("<HHQ", 8, 0, 16) if big else b"II*\0" + struct.pack("<I", 8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(start)
    exif = Image.Exif()
    exif.load(metadata.pillow_info().get("exif", b""))
    for tag, value in exif.items():
        if tag not in EXIF_DIRECTORIES:
            directory[tag] = value
    for tag in EXIF_DIRECTORIES:
        if below := exif.get_ifd(tag):
            directory[tag] = dict(below)
            directory.tagtype[tag] = _LONG  # where it is
    directory[_WIDTH], directory[_HEIGHT], directory[_BITS] = width, height, (8 * rows.dtype.itemsize,) * samples
    directory[_COMPRESSION], directory[_PREDICTOR], directory[_SAMPLES], directory[_PLANES] = 8, 2, samples, 1
    directory[_PHOTOMETRIC] = 2 if samples > 2 else 1  # RGB, or grey with black as zero
    directory[_ROWS], directory[_LENGTHS] = each, tuple(lengths)
    # Pillow moves these to where the directory ends.
    directory[_OFFSETS] = tuple(accumulate(lengths[:-1], initial=0))
    directory.tagtype |= {_OFFSETS: _LONG8 if big else _LONG, _LENGTHS: _LONG}
    if samples in (2, 4):
        directory[_EXTRA] = 2  # opacity, not multiplied into the colours
    if metadata.dpi:
        directory[_UNIT], directory[_X_PER_UNIT], directory[_Y_PER_UNIT] = 2, *metadata.dpi
    for tag, body in ((_XMP, metadata.xmp), (_ICC, metadata.icc)):
        if body:
            directory[tag] = body
            directory.tagtype[tag] = _BYTE if tag == _XMP else _UNDEFINED
    return start + directory.tobytes(len(start))
