import io
import zlib

import numpy as np
import pytest
from PIL import Image

from mezzotint.image import deflate, png_rows
from mezzotint.image.encode import encode
from mezzotint.image.picture import Picture
from mezzotint.image.rows import Rows

rng = np.random.default_rng(0)
HILLS = np.add.outer(np.arange(200), np.arange(300))[..., None] // 3 % 200
PHOTOGRAPH = (HILLS + rng.integers(0, 6, (200, 300, 3))).astype(np.uint8)
TILES = np.tile(rng.integers(0, 256, (8, 8, 3), np.uint8), (25, 38, 1))[:, :300]


def test_only_pictures_that_repeat_themselves_are_searched():
    fine = PHOTOGRAPH * np.uint16(256) + rng.integers(0, 256, PHOTOGRAPH.shape, np.uint16)
    assert deflate.strategy(PHOTOGRAPH) == deflate.strategy(fine) == zlib.Z_RLE
    assert deflate.strategy(TILES) == deflate.strategy(TILES * np.uint16(257)) == zlib.Z_DEFAULT_STRATEGY


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5000, 3), (5000, 1, 3), (3, 100_000, 3)])
def test_any_shape_is_tried(shape):
    assert deflate.strategy(np.zeros(shape, np.uint8)) in (zlib.Z_RLE, zlib.Z_DEFAULT_STRATEGY)


@pytest.mark.parametrize("streamed", [False, True])
def test_tiles_stay_small_and_photographs_hardly_grow(streamed, tmp_path):
    for pixels, at_most in ((TILES, 1.2), (PHOTOGRAPH, 1.1)):
        best = io.BytesIO()
        Image.fromarray(pixels).save(best, "PNG", compress_level=6)
        found = io.BytesIO()
        if streamed:
            png_rows.write(found, Rows.of(pixels))
        else:
            encode(Picture(pixels), found, "PNG")
        assert len(found.getvalue()) < at_most * len(best.getvalue()) + 2000
        np.testing.assert_array_equal(np.asarray(Image.open(found)), pixels)


def test_bands_are_compressed_each_in_its_own_way():
    pixels = np.concatenate([PHOTOGRAPH, TILES, PHOTOGRAPH])

    def bands():
        yield from (pixels[:200], pixels[200:400], pixels[400:401], pixels[401:])

    parts = {}
    for name, some in (("whole", Rows(pixels.shape, pixels.dtype, bands)), ("photographs", Rows.of(pixels[400:]))):
        png_rows.write(parts.setdefault(name, io.BytesIO()), some)
    np.testing.assert_array_equal(np.asarray(Image.open(parts["whole"])), pixels)
    # The tiles between cost next to nothing.
    assert len(parts["whole"].getvalue()) < 2.1 * len(parts["photographs"].getvalue())
