"""PNG written band by band while its rows are still being computed: a picture of any size in the memory of two bands.

After the PNG specification, third edition (W3C, 2025). Every row has filter 3 (Average): of the five it is, on photographs
made larger, about as good as the best for each row, and it is cheap.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

import numpy as np

from mezzotint.image.deflate import strategy
from mezzotint.image.png16 import SIGNATURE, write_chunk
from mezzotint.image.rows import Rows

_COLOUR_TYPES = {1: 0, 3: 2}
_PIECE = 1 << 20  # bytes that are filtered and compressed at once
# A zlib stream (RFC 1950) is this head, deflated data, here one stretch for each band, and a checksum of all.
_HEAD, _RAW = b"\x78\x9c", -15


def write(stream: BinaryIO, rows: Rows, extra: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Write H W C rows, uint8 or uint16, C 1 or 3; `extra` chunks go before the image data.

    While one band is compressed, the next is computed. Whatever computing it raises comes out here.
    """
    height, width, channels = rows.shape
    depth = 8 * rows.dtype.itemsize
    stream.write(SIGNATURE)
    write_chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0))
    for kind, body in extra:
        write_chunk(stream, kind, body)
    write_chunk(stream, b"IDAT", _HEAD)
    step = channels * rows.dtype.itemsize

    def compress(band: np.ndarray, above: np.ndarray, checksum: int) -> tuple[np.ndarray, int]:
        lines = np.ascontiguousarray(band, band.dtype.newbyteorder(">")).view(np.uint8).reshape(len(band), -1)
        compressor = zlib.compressobj(wbits=_RAW, strategy=strategy(band))
        piece = max(1, _PIECE // lines.shape[1])
        for start in range(0, len(lines), piece):
            part = lines[start : start + piece]
            body = _filtered(part, above, step)
            checksum, above = zlib.adler32(body, checksum), part[-1]
            if body := compressor.compress(body):
                write_chunk(stream, b"IDAT", body)
        write_chunk(stream, b"IDAT", compressor.flush(zlib.Z_FULL_FLUSH))
        return above.copy(), checksum

    with ThreadPoolExecutor(1) as pool:
        last: Future[tuple[np.ndarray, int]] | None = None
        state = np.zeros(width * step, np.uint8), zlib.adler32(b"")
        for band in rows.bands():
            state = last.result() if last else state
            last = pool.submit(compress, band, *state)
        state = last.result() if last else state
    write_chunk(stream, b"IDAT", zlib.compressobj(wbits=_RAW).flush() + struct.pack(">I", state[1]))
    write_chunk(stream, b"IEND", b"")


def _filtered(rows: np.ndarray, above: np.ndarray, step: int) -> bytes:
    """Rows of bytes less the mean of those to the left and above, rounded down; each row begins with its filter's number."""
    up = np.concatenate([above[None], rows[:-1]])
    left = np.zeros_like(rows)
    left[:, step:] = rows[:, :-step]
    result = np.full((rows.shape[0], rows.shape[1] + 1), 3, np.uint8)
    # The mean without more bits: what both have, and half of what one of them has.
    result[:, 1:] = rows - ((left & up) + ((left ^ up) >> 1))
    return result.tobytes()
