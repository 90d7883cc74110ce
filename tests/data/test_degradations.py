"""Every degradation by its statistics: how wide it blurs, how strong its noise is, what compression leaves."""

import math

import numpy as np
import pytest
from scipy.special import j1

from mezzotint.data import degradations as d
from mezzotint.data.second_order import SecondOrder
from mezzotint.errors import UsageError
from mezzotint.image.resize import imresize

SHAPES = [(1, 1, 1), (1, 9, 3), (17, 8, 1), (13, 31, 3)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed or 0)


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth colours with some fine texture, float32 within 0.1 to 0.9."""
    coarse = rng(seed).random((height // 32 + 2, width // 32 + 2, channels))
    smooth = imresize(coarse, size=(height, width)).clip(0, 1)
    fine = rng(seed, 1).random((height, width, 1))
    return (0.1 + 0.7 * smooth + 0.1 * fine).astype(np.float32)


def flat(value: float, side: int = 160, channels: int = 3) -> np.ndarray:
    return np.full((side, side, channels), value, np.float32)


def moments(kernel: np.ndarray) -> np.ndarray:
    """The covariance of a kernel taken as a distribution, in the order x, y."""
    offset = np.arange(len(kernel)) - len(kernel) // 2
    x, y = np.meshgrid(offset, offset)
    assert (kernel * x).sum() == pytest.approx(0, abs=1e-9) and (kernel * y).sum() == pytest.approx(0, abs=1e-9)
    return np.array([[(kernel * a * b).sum() for b in (x, y)] for a in (x, y)])


KERNELS = {
    "gaussian": d.gaussian_kernel(21, (2.0, 1.0), 0.5),
    "generalized": d.gaussian_kernel(21, (2.0, 1.0), 0.5, shape=0.6),
    "plateau": d.plateau_kernel(21, (2.0, 2.0), shape=1.5),
    "sinc": d.sinc_kernel(21, math.pi / 2),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_keeps_the_brightness_and_moves_nothing(name):
    kernel = KERNELS[name]
    assert kernel.shape == (21, 21) and kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
    moments(kernel)
    np.testing.assert_allclose(d.blur(flat(0.4, 30), kernel), 0.4, atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.0])
def test_a_gaussian_is_as_wide_as_it_says_in_the_direction_it_says(angle):
    axis = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-axis[1], axis[0]])
    covariance = moments(d.gaussian_kernel(33, (3.0, 1.5), angle))
    assert axis @ covariance @ axis == pytest.approx(9, rel=1e-3)
    assert across @ covariance @ across == pytest.approx(2.25, rel=1e-3)
    assert axis @ covariance @ across == pytest.approx(0, abs=1e-3)


def test_shapes_of_kernels():
    gaussian, tailed, boxy = (d.gaussian_kernel(21, (2, 2), shape=shape) for shape in (1.0, 0.5, 4.0))
    assert moments(tailed)[0, 0] > 1.5 * moments(gaussian)[0, 0] > 1.5 * moments(boxy)[0, 0]
    # Half of a plateau's height is reached at sigma, whatever its shape, and it is flatter inside than a Gaussian.
    for shape in (1.0, 2.0):
        row = d.plateau_kernel(21, (4, 4), shape=shape)[10]
        assert row[14] == pytest.approx(row[10] / 2)
    assert row[12] / row[10] > 0.9 > d.gaussian_kernel(21, (4, 4))[10, 12] / d.gaussian_kernel(21, (4, 4))[10, 10]


def test_the_sinc_kernel_is_the_low_pass_filter_of_its_cutoff():
    radius = np.hypot(*np.meshgrid(np.arange(-40, 41), np.arange(-40, 41)))
    radius[40, 40] = 1e-6
    expected = 1.2 * j1(1.2 * radius) / (2 * np.pi * radius)
    np.testing.assert_allclose(d.sinc_kernel(81, 1.2), expected / expected.sum(), atol=1e-9)
    x = np.arange(128, dtype=np.float32)[None, :, None].repeat(128, axis=0)

    def kept(frequency: float) -> float:
        wave = np.cos(frequency * x)
        return float(d.blur(wave, d.sinc_kernel(61, 1.2))[32:96, 32:96].std() / wave[32:96, 32:96].std())

    assert kept(0.6) == pytest.approx(1, abs=0.1) and kept(2.0) < 0.05
    # It rings: beside an edge it falls below and rises above both sides.
    edge = d.blur((x > 64).astype(np.float32), d.sinc_kernel(21, 1.2))
    assert edge.min() < -0.05 and edge.max() > 1.05


@every_shape
def test_blur_is_a_convolution_with_mirrored_borders(shape):
    image, kernel = rng(3).random(shape, np.float32), rng(4).random((7, 7))
    kernel /= kernel.sum()
    padded = np.pad(image, ((3, 3), (3, 3), (0, 0)), "reflect")
    expected = sum(
        kernel[::-1, ::-1][i, j] * padded[i : i + shape[0], j : j + shape[1]] for i in range(7) for j in range(7)
    )
    blurred = d.blur(image, kernel)
    assert blurred.dtype == np.float32 and blurred.shape == shape
    np.testing.assert_allclose(blurred, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["area", "bilinear", "bicubic"])
def test_resizing_keeps_the_mean_and_the_place(method):
    image = np.zeros((48, 48, 3), np.float32)
    image[20:28, 12:20] = 1  # its middle at 23.5, 15.5
    for size in ((24, 24), (72, 96), (11, 17)):
        small = d.resize(image, size, method)
        assert small.shape == (*size, 3) and small.dtype == np.float32
        weight = small[..., 0] / small[..., 0].sum()
        y = (weight.sum(1) * (np.arange(size[0]) + 0.5)).sum() / size[0] * 48
        x = (weight.sum(0) * (np.arange(size[1]) + 0.5)).sum() / size[1] * 48
        assert (y, x) == (pytest.approx(24, abs=0.2), pytest.approx(16, abs=0.2))
        # Pillow's box takes whole pixels, which for so small a thing matters.
        assert small.mean() == pytest.approx(image.mean(), rel=0.1 if method == "area" else 0.02)


@pytest.mark.parametrize("sigma", [2.0, 25.0])
def test_gaussian_noise_is_as_strong_as_it_says(sigma):
    noise = d.gaussian_noise(flat(0.5), rng(1), sigma) - 0.5
    assert noise.std() * 255 == pytest.approx(sigma, rel=0.02)
    assert abs(noise.mean()) * 255 < 4 * sigma / math.sqrt(noise.size)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.03
    grey = d.gaussian_noise(flat(0.5), rng(1), sigma, grey=True) - 0.5
    assert grey.std() * 255 == pytest.approx(sigma, rel=0.02)
    assert np.array_equal(grey[..., 0], grey[..., 1]) and np.array_equal(grey[..., 0], grey[..., 2])


@pytest.mark.parametrize("value", [0.05, 0.4, 1.0])
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_poisson_noise_grows_with_the_light(value, scale):
    noise = d.poisson_noise(flat(value), rng(2), scale) - np.float32(value)
    variance = scale**2 * value / 256
    assert noise.var() == pytest.approx(variance, rel=0.03)
    assert abs(noise.mean()) < 4 * math.sqrt(variance / noise.size)
    # Counts of few photons lean to the right: the skewness of Poisson is 1 / sqrt(mean).
    assert ((noise / noise.std()) ** 3).mean() == pytest.approx(1 / math.sqrt(256 * value), abs=0.04)
    grey = d.poisson_noise(flat(value), rng(2), scale, grey=True) - np.float32(value)
    assert np.array_equal(grey[..., 0], grey[..., 2]) and grey.var() == pytest.approx(variance, rel=0.05)


def test_poisson_noise_leaves_black_alone():
    black = flat(0.0, 8)
    assert np.array_equal(d.poisson_noise(black, rng(), 3.0), black)


@pytest.mark.parametrize("format_name", ["JPEG", "WebP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_better_quality_leaves_less_error(format_name, channels):
    image = picture(75, 101, channels)
    errors = [float(np.square(d.compress(image, q, format_name) - image).mean()) for q in (5, 20, 50, 80, 97)]
    assert errors == sorted(errors, reverse=True) and errors[0] > 4 * errors[-1]
    assert 10 * math.log10(1 / errors[-1]) > (32 if channels == 3 else 38)


def test_jpeg_leaves_its_blocks():
    image = picture(96, 96, 1)
    steps = np.abs(np.diff(d.compress(image, 10)[..., 0], axis=1)).mean(axis=0)
    at_blocks = steps[7::8].mean()
    assert at_blocks > 1.5 * np.delete(steps, np.s_[7::8]).mean()


def test_compression_clips_and_checks():
    image = np.array([[[-3.0, 0.5, 7.0]]], np.float32).repeat(16, 0).repeat(16, 1)
    assert d.compress(image, 95).min() >= 0 and d.compress(image, 95).max() <= 1
    for quality in (0, 101):
        with pytest.raises(UsageError, match="quality"):
            d.compress(image, quality)


def test_sharpening_overshoots_at_edges_and_leaves_flat_parts():
    image = np.zeros((20, 40, 1), np.float32)
    image[:, 20:] = 1
    sharp = d.sharpen(image, 0.8, 1.5)
    assert sharp.min() < -0.1 and sharp.max() > 1.1
    np.testing.assert_allclose(sharp[:, :10], 0, atol=1e-6)
    np.testing.assert_allclose(sharp.mean(), 0.5, atol=1e-6)
    assert np.array_equal(d.sharpen(image, 0.0), image)


@every_shape
def test_any_size_and_grey(shape):
    image = rng(5).random(shape, np.float32)
    results = [
        d.gaussian_noise(image, rng(), 5), d.gaussian_noise(image, rng(), 5, grey=True),
        d.poisson_noise(image, rng(), 1), d.poisson_noise(image, rng(), 1, grey=True),
        d.compress(image, 50), d.compress(image, 50, "WebP"), d.sharpen(image, 0.5),
    ]  # fmt: skip
    for result in results:
        assert result.shape == shape and result.dtype == np.float32 and np.isfinite(result).all()


@pytest.mark.parametrize("wrong", [(4, (1, 1)), (0, (1, 1)), (5, (0, 1)), (5, (1, -2))])
def test_kernels_refuse_nonsense(wrong):
    for kernel in (d.gaussian_kernel, d.plateau_kernel):
        with pytest.raises(UsageError, match="kernel"):
            kernel(*wrong)


def hr(height: int = 96, width: int = 80, channels: int = 3, seed: int = 0) -> np.ndarray:
    return d.to_uint8(picture(height, width, channels, seed))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_chain_reduces_by_the_scale_and_depends_on_the_seed_alone(scale, channels):
    image = hr(17 * scale, 13 * scale, channels)
    before = image.copy()
    for seed in range(8):
        lr = SecondOrder()(image, scale, rng(seed))
        assert lr.shape == (17, 13, channels) and lr.dtype == np.uint8
        assert np.array_equal(lr, SecondOrder()(image, scale, rng(seed)))
        assert not np.array_equal(lr, SecondOrder()(image, scale, rng(seed + 100)))
    assert np.array_equal(image, before)


def test_the_smallest_image():
    for seed in range(12):
        assert SecondOrder()(hr(4, 4), 4, rng(seed)).shape == (1, 1, 3)


# Nothing is done but resizing.
IDLE = {
    "blur": (0, 0), "resize": ((0, 0, 1), (0, 0, 1)), "gaussian": (1, 1), "noise": ((0, 0), (0, 0)),
    "quality": ((100, 100), (100, 100)), "final_sinc": 0,
}  # fmt: skip


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.square(a.astype(float) - b).mean())


def test_an_idle_chain_only_reduces_and_moves_nothing():
    image, bicubic = hr(160, 128), imresize(hr(160, 128), 1 / 4)
    results = np.stack([SecondOrder(**IDLE)(image, 4, rng(seed)) for seed in range(8)])
    assert min(psnr(lr, bicubic) for lr in results) > 28
    mean = results.mean(axis=0)
    here = psnr(mean[1:-1, 1:-1], bicubic[1:-1, 1:-1])
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        assert here > psnr(mean[1:-1, 1:-1], np.roll(bicubic, (dy, dx), (0, 1))[1:-1, 1:-1]) + 6


@pytest.mark.parametrize(
    ("worse", "facts"),
    [
        ("blur", {"blur": (1, 1), "sigma": ((3, 3), (2, 2))}),
        ("noise", {"noise": ((20, 20), (20, 20))}),
        ("poisson", {"gaussian": (0, 0), "poisson": ((2, 2), (2, 2))}),
        ("compression", {"quality": ((5, 5), (5, 5))}),
        ("webp", {"quality": ((5, 5), (5, 5)), "webp": 1}),
        ("resizing", {"resize": ((0, 1, 0), (0, 1, 0)), "factor": ((0.15, 0.15), (0.3, 0.3))}),
        ("ringing", {"final_sinc": 1}),
        ("sharpening", {"sharpen": (4, 4)}),
    ],
)
def test_every_setting_reaches_the_picture(worse, facts):
    image = hr(160, 128)
    bicubic = imresize(image, 1 / 4)
    idle, degraded = (
        np.mean([psnr(SecondOrder(**settings)(image, 4, rng(seed)), bicubic) for seed in range(6)])
        for settings in (IDLE, IDLE | facts)
    )
    assert degraded < idle - 0.5, worse


def test_clean_samples_are_matlabs_bicubic():
    image = hr()
    results = [SecondOrder(clean=0.5)(image, 4, rng(seed)) for seed in range(40)]
    clean = sum(np.array_equal(lr, imresize(image, 1 / 4)) for lr in results)
    assert 10 <= clean <= 30
    assert all(np.array_equal(SecondOrder(clean=1)(image, 4, rng(s)), imresize(image, 1 / 4)) for s in range(3))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("blur", (1.1, 0)), ("clean", -0.1), ("noise", ((2, 1), (1, 2))), ("quality", ((30, 101), (1, 2))),
        ("kernels", (1, 1, 0, 0, 0, 0)), ("resize", ((0.5, 0.5, 0.5), (0, 0, 1))), ("sharpen", (-1, 0)),
        ("factor", ((0, 1), (0.1, 1))),
    ],
)  # fmt: skip
def test_senseless_settings_are_refused_by_name(field, value):
    with pytest.raises(UsageError, match=field):
        SecondOrder(**{field: value})


def test_sides_must_be_multiples_of_the_scale():
    with pytest.raises(UsageError, match="reduced by 4"):
        SecondOrder()(hr(18, 16), 4, rng())
