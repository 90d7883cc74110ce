import numpy as np
import pytest

from mezzotint.image.alpha import off_white, on_white
from mezzotint.image.grid import contact_sheet

RANDOM = np.random.default_rng(0)
PLANES, OPACITY = (RANDOM.integers(0, 256, (40, 50, channels), np.uint8) for channels in (3, 1))


def test_on_white_is_what_a_viewer_shows():
    shown = on_white(PLANES, OPACITY)
    exact = PLANES * (OPACITY / 255) + 255 * (1 - OPACITY / 255)
    assert shown.dtype == np.uint8 and np.abs(shown - exact).max() <= 0.5 + 1e-9
    deep = on_white(PLANES.astype(np.uint16) * 257, OPACITY.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16 and np.abs(deep / 257.0 - exact).max() < 0.01


def test_off_white_looks_the_same_on_white_again():
    shown = on_white(PLANES, OPACITY)
    again = off_white(shown, OPACITY)
    assert np.abs(on_white(again, OPACITY).astype(int) - shown).max() <= 1
    assert np.array_equal(off_white(shown, np.full_like(OPACITY, 255)), shown)
    assert (off_white(shown, np.zeros_like(OPACITY)) == 255).all()


def test_what_no_colour_could_look_like_becomes_the_nearest():
    assert off_white(np.uint8([[10]]), np.uint8([[100]])).tolist() == [[0]]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_shows_transparency_on_white(channels):
    planes = PLANES[None, ..., :channels]
    sheet = contact_sheet(np.concatenate([planes, OPACITY[None]], axis=3))
    assert np.array_equal(sheet, on_white(planes, OPACITY[None])[0])
