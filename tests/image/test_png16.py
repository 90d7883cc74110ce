import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from mezzotint.image import png16

# Written out once more, from the specification and pixel by pixel, to hold the fast reader against.
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def samples(height, width, channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 65_536, (height, width, channels), dtype=np.uint16)


def paeth(a, b, c):
    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    if to_a <= to_b and to_a <= to_c:
        return a
    return b if to_b <= to_c else c


def slow_filter(lines, kinds, step):
    out = bytearray()
    for y, kind in enumerate(kinds):
        out.append(kind)
        for x in range(len(lines[y])):
            a = lines[y][x - step] if x >= step else 0
            b = lines[y - 1][x] if y else 0
            c = lines[y - 1][x - step] if y and x >= step else 0
            guess = (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]
            out.append((lines[y][x] - guess) & 255)
    return bytes(out)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def slow_png(planes, kinds, interlaced=False, extra=b"", colour_type=None):
    height, width, channels = planes.shape
    raw = b""
    for row, column, row_step, column_step in PASSES if interlaced else ((0, 0, 1, 1),):
        part = planes[row::row_step, column::column_step]
        if part.size:
            lines = [part[y].astype(">u2").tobytes() for y in range(len(part))]
            raw += slow_filter(lines, [kinds[y % len(kinds)] for y in range(len(lines))], 2 * channels)
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels] if colour_type is None else colour_type
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, int(interlaced))
    body = zlib.compress(raw)
    pieces = chunk(b"IDAT", body[:20]) + chunk(b"IDAT", body[20:])
    return png16.SIGNATURE + chunk(b"IHDR", head) + extra + pieces + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kinds", [(0,), (1,), (2,), (3,), (4,), (4, 3, 2, 1, 0), (0, 4, 1, 3)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_every_filter_colour_type_and_interlacing_is_read(channels, kinds, interlaced):
    planes = samples(13, 9, channels)
    pixels, alpha = png16.read(slow_png(planes, kinds, interlaced))
    colours = 1 if channels < 3 else 3
    np.testing.assert_array_equal(pixels, planes[..., :colours])
    if channels in (2, 4):
        np.testing.assert_array_equal(alpha, planes[..., -1])
    else:
        assert alpha is None


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (700, 2), (5, 5), (300, 17)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_what_is_written_is_read_again(size, channels, with_alpha):
    pixels = samples(*size, channels)
    alpha = samples(*size, 1, seed=1)[..., 0] if with_alpha else None
    stream = io.BytesIO()
    png16.write(stream, pixels, alpha)
    again, alpha_again = png16.read(stream.getvalue())
    np.testing.assert_array_equal(again, pixels)
    np.testing.assert_array_equal(alpha_again, alpha) if with_alpha else None


def test_another_decoder_reads_what_is_written_and_smooth_pictures_compress():
    ramp = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256, 1)
    stream = io.BytesIO()
    png16.write(stream, ramp)
    np.testing.assert_array_equal(np.asarray(Image.open(stream)), ramp[..., 0])
    assert len(stream.getvalue()) < ramp.nbytes / 50


def test_a_transparent_colour_becomes_alpha():
    planes = samples(4, 5, 3)
    key = struct.pack(">3H", *planes[2, 3])
    _, alpha = png16.read(slow_png(planes, (0,), extra=chunk(b"tRNS", key)))
    assert alpha[2, 3] == 0 and (alpha == 65_535).sum() == alpha.size - 1


def test_damage_is_told():
    good = slow_png(samples(6, 6, 3), (4,))
    flipped = bytearray(good)
    flipped[60] ^= 1
    lying = slow_png(samples(6, 6, 3), (4,), colour_type=6)
    for bad in (good[:40], good[:-1], bytes(flipped), lying):
        with pytest.raises(ValueError):
            png16.read(bad)


def test_no_more_is_inflated_than_the_header_needs():
    bomb = zlib.compress(bytes(50_000_000))
    head = struct.pack(">IIBBBBB", 2, 2, 16, 0, 0, 0, 0)
    data = png16.SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", bomb) + chunk(b"IEND", b"")
    tracemalloc.start()
    pixels, _ = png16.read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pixels.shape == (2, 2, 1) and peak < 5_000_000
