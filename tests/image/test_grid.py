import numpy as np
import pytest

from mezzotint.errors import UsageError
from mezzotint.image.grid import contact_sheet


def pictures(n, height=4, width=6, channels=3, seed=0):
    # Darker than the paper, so that a picture can be told from what surrounds it.
    return np.random.default_rng(seed).integers(0, 250, (n, height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_stands_in_its_place_on_white(channels):
    images = pictures(5, channels=channels)
    sheet = contact_sheet(images, columns=2, gap=3)
    assert sheet.shape == (3 * 4 + 2 * 3, 2 * 6 + 3, channels) and sheet.dtype == np.uint8
    covered = np.zeros(sheet.shape, bool)
    for i, image in enumerate(images):
        box = np.s_[i // 2 * 7 : i // 2 * 7 + 4, i % 2 * 9 : i % 2 * 9 + 6]
        np.testing.assert_array_equal(sheet[box], image)
        covered[box] = True
    assert (sheet[~covered] == 255).all()


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (2, 2), (5, 3), (16, 4), (17, 5)])
def test_sheets_are_about_square_by_default(n, columns):
    assert contact_sheet(pictures(n, 8, 8), gap=0).shape[1] == 8 * columns


def test_one_picture_is_its_own_sheet():
    images = pictures(1)
    np.testing.assert_array_equal(contact_sheet(images), images[0])


def test_a_sheet_is_never_wider_than_its_pictures():
    np.testing.assert_array_equal(contact_sheet(pictures(3), columns=100), contact_sheet(pictures(3), columns=3))


def test_captions_leave_enlarged_pictures_intact_and_are_all_different():
    images = pictures(3, 28, 28, 1)
    sheet = contact_sheet(images, columns=1, gap=2, captions=["T-shirt/top", "Bag", "jumpy"])
    factor = sheet.shape[1] // 28
    assert factor >= 2 and sheet.shape[1] == 28 * factor
    pitch = (sheet.shape[0] + 2) // 3
    strips = []
    for i, image in enumerate(images):
        cell = sheet[i * pitch : i * pitch + pitch - 2]
        np.testing.assert_array_equal(cell[: 28 * factor : factor, ::factor], image)
        strip = cell[28 * factor :]
        assert strip.min() < 64, "the caption is not readable"
        assert (strip[:, [0, -1]] == 255).all(), "the caption touches the edge"
        strips.append(strip.tobytes())
    assert len(set(strips)) == 3


def test_wide_pictures_are_not_enlarged_for_captions():
    assert contact_sheet(pictures(2, 90, 100), columns=2, gap=0, captions=["a", "b"]).shape[1] == 200


def test_empty_captions_are_allowed():
    images = pictures(2)
    np.testing.assert_array_equal(contact_sheet(images, gap=0, captions=["", ""])[:4, :6], images[0])


@pytest.mark.parametrize(
    "arguments",
    [
        {"images": pictures(0)},
        {"images": pictures(2)[0]},
        {"images": pictures(2) / 255},
        {"images": pictures(2), "columns": 0},
        {"images": pictures(2), "gap": -1},
        {"images": pictures(2), "captions": ["one"]},
    ],
)
def test_nonsense_is_refused(arguments):
    with pytest.raises(UsageError):
        contact_sheet(**arguments)
