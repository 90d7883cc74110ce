import numpy as np
import pytest

from mezzotint.data.prepare import fit_size
from mezzotint.image.resize import imresize


def noise(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def test_an_image_of_the_right_size_is_not_touched():
    assert np.array_equal(fit_size((6, 9))(noise(6, 9)), noise(6, 9))


@pytest.mark.parametrize(
    ("height", "width", "crop"),
    [
        (24, 60, np.s_[:, 18:42]),  # wide: left and right are cut off
        (60, 24, np.s_[18:42, :]),
        (24, 24, np.s_[:, :]),
    ],
)
def test_the_middle_is_cropped_to_the_aspect_and_reduced_with_antialiasing(height, width, crop):
    image = noise(height, width)
    assert np.array_equal(fit_size((8, 8))(image), imresize(image[crop], size=(8, 8)))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (3, 5), (11, 7)])
@pytest.mark.parametrize("size", [(8, 8), (5, 9), (28, 28)])
def test_any_image_comes_out_at_the_size(height, width, size):
    assert fit_size(size)(noise(height, width, 1)).shape == (*size, 1)
