"""16-bit PNG, all 65,536 levels: Pillow would silently reduce 16-bit RGB to 8 bits.

After the PNG specification, third edition (W3C, 2025): sections 5 (chunks), 8 (Adam7), 9 (filters), 11.3 (tRNS). All
colour types of 16 bits, all filters, interlaced or not. Never more is inflated than the header's size needs. Damage
raises `ValueError`, which `decode` turns into an `InputError`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from mezzotint.image.deflate import strategy

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
# First row, first column, row step, column step of Adam7's seven passes.
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_BAND = 256


@dataclass(frozen=True)
class Header:
    """The IHDR chunk."""

    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool


def header(data: bytes) -> Header:
    """The header of a PNG file, from its first 33 bytes. Raises `ValueError`."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise ValueError("its header is missing")
    width, height, depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if width == 0 or height == 0:
        raise ValueError(f"it claims {width} x {height} pixels")
    return Header(width, height, depth, colour_type, interlace == 1)


def chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Type and body of every chunk up to the end, checksums verified. Raises `ValueError`."""
    view, place = memoryview(data), len(SIGNATURE)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"checksum of its {kind.decode('latin-1')} chunk is wrong")
        yield kind, view[place + 8 : end]
        if kind == b"IEND":
            return
        place = end + 4
    raise ValueError("it is truncated")


def read(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels H W C and alpha H W (or None) of a 16-bit PNG, uint16. Raises `ValueError`."""
    head, parts, transparent = header(data), [], b""
    for kind, body in chunks(data):
        if kind == b"IDAT":
            parts.append(body)
        elif kind == b"tRNS":
            transparent = bytes(body)
    if head.depth != 16 or head.colour_type not in _CHANNELS:
        raise ValueError(f"depth {head.depth} and colour type {head.colour_type} are not a 16-bit image")
    channels = _CHANNELS[head.colour_type]
    passes = _ADAM7 if head.interlaced else ((0, 0, 1, 1),)
    sizes = [
        (max(0, -(-(head.height - row) // row_step)), max(0, -(-(head.width - column) // column_step)))
        for row, column, row_step, column_step in passes
    ]
    lengths = [rows * (1 + 2 * channels * columns) if columns else 0 for rows, columns in sizes]
    raw = np.frombuffer(_inflate(parts, sum(lengths)), np.uint8)
    samples = np.empty((head.height, head.width, channels), np.uint16)
    place = 0
    for (row, column, row_step, column_step), (rows, columns), length in zip(passes, sizes, lengths, strict=True):
        if length:
            lines = _unfilter(raw[place : place + length].reshape(rows, -1), 2 * channels)
            samples[row::row_step, column::column_step] = lines.view(">u2").reshape(rows, columns, channels)
            place += length
    alpha = None
    if channels in (2, 4):
        samples, alpha = np.ascontiguousarray(samples[..., :-1]), np.ascontiguousarray(samples[..., -1])
    elif len(transparent) == 2 * channels:
        key = np.frombuffer(transparent, ">u2")
        alpha = np.where((samples == key).all(axis=2), 0, 65_535).astype(np.uint16)
    return samples, alpha


def write(
    stream: BinaryIO, pixels: np.ndarray, alpha: np.ndarray | None = None, extra: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Write H W C uint16 pixels (C 1 or 3) and H W alpha; `extra` chunks go before the image data."""
    planes = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)
    height, width, channels = planes.shape
    colour_type = {count: kind for kind, count in _CHANNELS.items()}[channels]
    stream.write(SIGNATURE)
    write_chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    for kind, body in extra:
        write_chunk(stream, kind, body)
    compressor = zlib.compressobj(strategy=strategy(planes))
    previous = np.zeros(width * 2 * channels, np.uint8)
    for start in range(0, height, _BAND):
        rows = planes[start : start + _BAND].astype(">u2").view(np.uint8).reshape(-1, width * 2 * channels)
        body = compressor.compress(_filter(rows, previous, 2 * channels).tobytes())
        previous = rows[-1]
        if body:
            write_chunk(stream, b"IDAT", body)
    write_chunk(stream, b"IDAT", compressor.flush())
    write_chunk(stream, b"IEND", b"")


def write_chunk(stream: BinaryIO, kind: bytes, body: bytes) -> None:
    """Length, type, body and checksum."""
    stream.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))))


def _inflate(parts: list[memoryview], length: int) -> bytes:
    inflater, out, need = zlib.decompressobj(), [], length
    for part in parts:
        piece: bytes | memoryview = part
        while need and piece:
            got = inflater.decompress(piece, need)
            out.append(got)
            need -= len(got)
            piece = inflater.unconsumed_tail
            if not got and not piece:
                break
    if need:
        raise ValueError("its pixels are truncated")
    return b"".join(out)


def _unfilter(lines: np.ndarray, step: int) -> np.ndarray:
    """Undo the filters: rows of (filter, bytes) -> rows of bytes; `step` is the number of bytes a pixel."""
    kinds = lines[:, 0]
    if kinds.max() > 4:
        raise ValueError(f"unknown filter {kinds.max()}")
    rows = lines[:, 1:].reshape(len(lines), -1, step)
    out = np.empty_like(rows)
    above = np.zeros(rows.shape[1:], np.uint8)
    for start in range(0, len(rows), _BAND):
        band = slice(start, start + _BAND)
        if kinds[band].max() <= 2:
            for row in range(*band.indices(len(rows))):
                # None, Sub and Up are plain sums modulo 256.
                line = np.cumsum(rows[row], axis=0, dtype=np.uint8) if kinds[row] == 1 else rows[row]
                above = out[row] = line + above if kinds[row] == 2 else line
        else:
            out[band] = _unfilter_diagonally(rows[band], kinds[band], above)
            above = out[band][-1]
    return out.reshape(len(rows), -1)


def _unfilter_diagonally(rows: np.ndarray, kinds: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Average and Paeth need the pixels to the left, above and above left, so whole diagonals can be done at once.

    Diagonal d holds column d - r of every row r; row 0 of the working arrays is `above`. Shapes: rows R W step.
    """
    count, width, step = rows.shape
    skewed = np.zeros((width + count - 1, count, step), np.uint8)
    strides = ((count + 1) * step, count * step, 1)
    np.lib.stride_tricks.as_strided(skewed, rows.shape, strides)[:] = rows
    is_sub, is_up, is_average, is_paeth = (kinds[:, None] == kind for kind in (1, 2, 3, 4))
    last, before = np.zeros((2, count + 1, step), np.int16)
    last[0] = above[0]
    for d in range(width + count - 1):
        a, b, c = last[1:], last[:-1], before[:-1]
        to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
        paeth = np.where((to_a <= to_b) & (to_a <= to_c), a, np.where(to_b <= to_c, b, c))
        guess = is_sub * a + is_up * b + is_average * ((a + b) >> 1) + is_paeth * paeth
        now = np.zeros_like(last)
        now[1:] = (skewed[d] + guess) & 255
        now[0] = above[d + 1] if d + 1 < width else 0
        skewed[d] = now[1:]
        last, before = now, last
    return np.lib.stride_tricks.as_strided(skewed, rows.shape, strides).copy()


def _filter(rows: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """Filter rows of bytes, each by the kind whose result has the smallest sum of absolute values."""
    x = rows.astype(np.int16)
    b = np.concatenate([above[None], rows[:-1]]).astype(np.int16)
    a, c = np.zeros_like(x), np.zeros_like(x)
    a[:, step:], c[:, step:] = x[:, :-step], b[:, :-step]
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((to_a <= to_b) & (to_a <= to_c), a, np.where(to_b <= to_c, b, c))
    best, cost = np.zeros((len(rows), 1 + rows.shape[1]), np.uint8), np.full(len(rows), np.iinfo(np.int64).max)
    for kind, guess in enumerate((np.zeros_like(x), a, b, (a + b) >> 1, paeth)):
        filtered = (x - guess).astype(np.uint8)
        sums = np.abs(filtered.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)
        better = sums < cost
        best[better, 0], cost[better] = kind, sums[better]
        best[better, 1:] = filtered[better]
    return best
