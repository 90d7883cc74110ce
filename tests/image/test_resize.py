"""MATLAB's bicubic against its definition, in exact rational arithmetic and as dense matrices; NumPy against torch."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.errors import UsageError
from mezzotint.image.resize import imresize

SCALES = [Fraction(2), Fraction(3), Fraction(4), Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(3, 2)]


def kernel(x: Fraction) -> Fraction:
    x = abs(x)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x <= 2 else Fraction(0)


def matrix(side: int, scale: Fraction) -> list[list[Fraction]]:
    """The dense matrix of one pass: every input pixel's weight in every output pixel, borders replicated."""
    shrink = min(scale, Fraction(1))
    rows = []
    for o in range(math.ceil(side * scale)):
        centre = (o + Fraction(1, 2)) / scale - Fraction(1, 2)
        row = [Fraction(0)] * side
        reach = math.ceil(2 / shrink) + 1
        for i in range(math.floor(centre) - reach, math.ceil(centre) + reach + 1):
            row[min(max(i, 0), side - 1)] += kernel((centre - i) * shrink)
        rows.append([weight / sum(row) for weight in row])
    return rows


def reference(image: np.ndarray, scale: Fraction, integer: bool) -> np.ndarray:
    """H W -> H' W', rows first, exact; integers are rounded half up and clipped to 8 bits after each pass."""
    exact = [[Fraction(float(value)) for value in row] for row in image]
    for _ in range(2):
        weights = matrix(len(exact), scale)
        columns = list(zip(*exact, strict=True))
        exact = [[sum(w * v for w, v in zip(row, column, strict=True) if w) for row in weights] for column in columns]
        if integer:
            exact = [[Fraction(min(max(math.floor(v + Fraction(1, 2)), 0), 255)) for v in row] for row in exact]
    return np.array([[float(value) for value in row] for row in exact])


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_integers_follow_the_definition_exactly(scale: Fraction) -> None:
    # Extreme values, so that clipping and the rounding after the first pass both matter.
    image = np.random.default_rng(1).choice([0, 1, 77, 128, 254, 255], (13, 9)).astype(np.uint8)
    result = imresize(image, float(scale))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, reference(image, scale, integer=True))


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_floats_follow_the_definition(scale: Fraction) -> None:
    image = np.random.default_rng(2).normal(size=(9, 12))
    np.testing.assert_allclose(imresize(image, float(scale)), reference(image, scale, integer=False), atol=1e-12)


def test_rounding_after_each_pass_is_visible() -> None:
    # The reference would be no oracle for it if rounding once gave the same pixels.
    image = np.random.default_rng(3).integers(0, 256, (40, 40), np.uint8)
    once = np.floor(imresize(image.astype(np.float64), 0.25) + 0.5).clip(0, 255)
    assert (once != imresize(image, 0.25)).any()


def test_an_impulse_shows_the_kernel() -> None:
    """By hand: k(1/4) = 111/128, k(3/4) = 29/128, k(5/4) = -9/128, k(7/4) = -3/128; halved when shrinking by two."""
    impulse = np.zeros((1, 16), np.float64)
    impulse[0, 7] = 256
    np.testing.assert_array_equal(imresize(impulse, size=(1, 8))[0], [0, 0, -9, 111, 29, -3, 0, 0])
    enlarged = imresize(impulse, size=(1, 32))[0]
    np.testing.assert_array_equal(enlarged[11:19], [-6, -18, 58, 222, 222, 58, -18, -6])
    assert not enlarged[:11].any() and not enlarged[19:].any()


def test_eight_bits_of_an_impulse() -> None:
    impulse = np.zeros((1, 16), np.uint8)
    impulse[0, 7] = 255
    # 255 * 111/256 = 110.6 and 255 * 29/256 = 28.9; what is negative is clipped.
    np.testing.assert_array_equal(imresize(impulse, size=(1, 8))[0], [0, 0, 0, 111, 29, 0, 0, 0])


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    channels=st.sampled_from([0, 1, 3]),
    scale=st.sampled_from([*map(float, SCALES), 1.0, 0.7, 2.6]),
    kind=st.sampled_from([np.uint8, np.int16, np.float32, np.float64]),
    seed=st.integers(0, 2**16),
)
def test_torch_equals_numpy_bit_for_bit(height, width, channels, scale, kind, seed) -> None:
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels) if channels else (height, width))
    image = image.astype(kind) / 255 if np.issubdtype(kind, np.floating) else image.astype(kind)
    image = image.astype(kind)
    ours = imresize(image, scale)
    assert ours.shape[:2] == (math.ceil(height * scale - 1e-9), math.ceil(width * scale - 1e-9))
    assert ours.shape[2:] == image.shape[2:] and ours.dtype == kind
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)) if channels else image)
    theirs = imresize(planes, scale).numpy()
    assert theirs.dtype == kind
    np.testing.assert_array_equal(np.moveaxis(theirs, 0, -1) if channels else theirs, ours)


def test_torch_batches_are_independent() -> None:
    torch = pytest.importorskip("torch")
    images = torch.randint(0, 256, (2, 3, 11, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    both = imresize(images, 2)
    assert both.shape == (2, 3, 22, 16)
    assert torch.equal(both[1], imresize(images[1], 2))


@settings(max_examples=60, deadline=None)
@given(side=st.integers(1, 40), value=st.integers(0, 255), scale=st.floats(0.1, 5))
def test_a_flat_image_stays_flat(side: int, value: int, scale: float) -> None:
    assert (imresize(np.full((side, 3), value, np.uint8), scale) == value).all()


def test_sixteen_bits_keep_their_levels() -> None:
    image = np.arange(40_000, 40_000 + 64, dtype=np.uint16).reshape(8, 8)
    result = imresize(image, 2)
    assert result.dtype == np.uint16
    # The same picture on a scale of 0 to 1 cannot differ by more than the two roundings.
    assert np.abs(result - imresize(image.astype(np.float64), 2)).max() <= 1.2
    assert len(np.unique(result)) > 60


def test_floats_are_neither_rounded_nor_clipped() -> None:
    step = np.zeros((8, 8), np.float32)
    step[:, 4:] = 1
    result = imresize(step, 2)
    assert result.min() < -0.01 and result.max() > 1.01


def test_scale_one_is_the_identity() -> None:
    image = np.random.default_rng(4).integers(0, 256, (7, 5, 3), np.uint8)
    np.testing.assert_array_equal(imresize(image, 1), image)
    np.testing.assert_array_equal(imresize(image, size=(7, 5)), image)


def test_there_and_back_keeps_a_smooth_picture() -> None:
    y, x = np.mgrid[0:24, 0:32] / 8
    smooth = (127 + 100 * np.sin(y) * np.cos(x)).astype(np.uint8)
    assert np.abs(imresize(imresize(smooth, 2), 0.5).astype(int) - smooth).max() <= 2


def test_size_may_differ_by_axis() -> None:
    assert imresize(np.zeros((10, 20, 3), np.uint8), size=(5, 40)).shape == (5, 40, 3)


def test_a_third_of_a_multiple_of_three_gains_no_pixel() -> None:
    # Floating point: 30 * (1/3) > 10, whose ceiling would be 11.
    for side in range(3, 300, 3):
        assert imresize(np.zeros((side, 1), np.uint8), 1 / 3).shape[0] == side // 3


@pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf, None])
def test_impossible_scales_are_refused(scale: float | None) -> None:
    with pytest.raises(UsageError, match="scale"):
        imresize(np.zeros((4, 4)), scale)


def test_a_batch_of_numpy_images_is_refused() -> None:
    with pytest.raises(UsageError, match="4 dimensions"):
        imresize(np.zeros((1, 3, 8, 8)), 2)
