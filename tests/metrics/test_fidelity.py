"""PSNR and SSIM with scikit-image as oracle, and the papers' protocol."""

import math

import numpy as np
import pytest

from mezzotint.errors import UsageError
from mezzotint.image.color import luma
from mezzotint.image.resize import imresize
from mezzotint.metrics.fidelity import psnr_lr, psnr_rgb, psnr_y, ssim_y

skimage_metrics = pytest.importorskip("skimage.metrics")


def pair(seed: int, shape: tuple[int, ...], noise: float = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, shape).astype(np.uint8)
    return (reference + rng.normal(0, noise, shape)).clip(0, 255).astype(np.uint8), reference


def oracle_ssim(x: np.ndarray, y: np.ndarray) -> float:
    _, whole = skimage_metrics.structural_similarity(
        x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    return whole[5:-5, 5:-5].mean()


SHAPES = [(40, 33, 3), (33, 47, 1), (24, 24)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("border", [0, 2, 4])
def test_psnr_agrees_with_scikit_image(shape: tuple[int, ...], border: int) -> None:
    image, reference = pair(1, shape)
    inside = slice(border, shape[0] - border), slice(border, shape[1] - border)
    x, y = image[inside], reference[inside]
    psnr = skimage_metrics.peak_signal_noise_ratio
    assert psnr_rgb(image, reference, border) == pytest.approx(psnr(y, x, data_range=255), abs=1e-10)
    assert psnr_y(image, reference, border) == pytest.approx(psnr(luma(y), luma(x), data_range=255), abs=1e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("border", [0, 4])
def test_ssim_agrees_with_scikit_image(shape: tuple[int, ...], border: int) -> None:
    image, reference = pair(2, shape)
    inside = slice(border, shape[0] - border), slice(border, shape[1] - border)
    expected = oracle_ssim(luma(image[inside]), luma(reference[inside]))
    assert ssim_y(image, reference, border) == pytest.approx(expected, abs=1e-10)


def test_luma_agrees_with_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    rgb = np.random.default_rng(3).integers(0, 256, (9, 7, 3), np.uint8)
    np.testing.assert_allclose(luma(rgb), color.rgb2ycbcr(rgb)[..., 0], atol=1e-10)


def test_luma_of_black_white_and_grey() -> None:
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert luma(black)[0, 0] == pytest.approx(16) and luma(white)[0, 0] == pytest.approx(235)
    # A grey image is its own luma, in full range.
    np.testing.assert_array_equal(luma(np.array([[[0], [255]]], np.uint8)), [[0, 255]])


def test_a_known_error_has_a_known_psnr() -> None:
    reference = np.full((16, 16), 100, np.uint8)
    assert psnr_y(reference + 5, reference) == pytest.approx(20 * math.log10(255 / 5))


def test_equal_images_are_perfect() -> None:
    image, _ = pair(4, (16, 16, 3))
    assert psnr_y(image, image) == math.inf and psnr_rgb(image, image) == math.inf
    assert ssim_y(image, image) == pytest.approx(1)


def test_the_border_is_left_out_and_nothing_else() -> None:
    _, reference = pair(5, (30, 30, 3))
    for row, seen in ((3, False), (4, True)):
        image = reference.copy()
        image[row, 15] ^= 0x80
        assert math.isfinite(psnr_y(image, reference, 4)) == seen
        assert (ssim_y(image, reference, 4) < 1 - 1e-9) == seen


def test_rgb_weighs_channels_alike_and_luma_does_not() -> None:
    reference = np.full((16, 16, 3), 100, np.uint8)
    red, green = reference.copy(), reference.copy()
    red[..., 0] += 20
    green[..., 1] += 20
    assert psnr_rgb(red, reference) == pytest.approx(psnr_rgb(green, reference))
    assert psnr_y(red, reference) > psnr_y(green, reference) + 5


def test_what_cannot_be_compared_is_refused() -> None:
    small, large = np.zeros((12, 12, 3), np.uint8), np.zeros((12, 13, 3), np.uint8)
    with pytest.raises(UsageError, match="different shapes"):
        psnr_y(small, large)
    with pytest.raises(UsageError, match="leaves nothing"):
        psnr_rgb(small, small, border=6)
    with pytest.raises(UsageError, match="11 x 11"):
        ssim_y(small, small, border=1)


@pytest.mark.parametrize("shape", [(24, 36, 3), (24, 36, 1), (24, 36)], ids=str)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_consistency_compares_the_reduced_image_with_what_went_in(shape: tuple[int, ...], scale: int) -> None:
    image, _ = pair(5, shape)
    lr = imresize(image, 1 / scale)
    assert psnr_lr(image, lr) == math.inf
    changed = lr.copy()
    changed.flat[0] ^= 8
    assert psnr_lr(image, changed) == pytest.approx(10 * math.log10(255**2 * lr.size / 64))


def test_consistency_sees_borders_and_every_channel_and_refuses_what_does_not_fit() -> None:
    image, _ = pair(6, (24, 36, 3))
    lr = imresize(image, 0.5)
    for place in ((0, 0, 2), (11, 17, 0)):
        changed = lr.copy()
        changed[place] ^= 8
        assert math.isfinite(psnr_lr(image, changed))
    for wrong in (lr[:-1], lr[:, :-1], lr[..., :1], np.zeros((48, 72, 3), np.uint8)):
        with pytest.raises(UsageError, match="no whole multiple"):
            psnr_lr(image, wrong)
