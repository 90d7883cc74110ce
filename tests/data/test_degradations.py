"""Every degradation by its statistics: how wide it blurs, how strong its noise is, what compression leaves."""

import inspect
import math
from collections import Counter
from dataclasses import fields
from typing import get_args

import numpy as np
import pytest
from scipy.special import j1

from mezzotint.data import degradations as d
from mezzotint.data.second_order import SecondOrder
from mezzotint.errors import UsageError
from mezzotint.image.resize import imresize

SHAPES = [(1, 1, 1), (1, 9, 3), (17, 8, 1), (13, 31, 3)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


# Every degradation, and the test of its statistics; `test_every_degradation_is_measured` fails for one that is not here.
MEASURED = {
    "gaussian_kernel": "test_a_gaussian_is_as_wide_as_it_says_in_the_direction_it_says",
    "plateau_kernel": "test_shapes_of_kernels",
    "sinc_kernel": "test_the_sinc_kernel_is_the_low_pass_filter_of_its_cutoff",
    "blur": "test_blur_is_a_convolution_with_mirrored_borders",
    "resize": "test_resizing_keeps_the_mean_and_the_place",
    "gaussian_noise": "test_gaussian_noise_is_as_strong_as_it_says",
    "poisson_noise": "test_poisson_noise_grows_with_the_light",
    "compress": "test_better_quality_leaves_less_error",
    "sharpen": "test_sharpening_adds_what_the_blur_takes_away_at_every_frequency",
    "to_uint8": "test_levels_are_rounded_half_up_and_come_back",
    "to_floats": "test_levels_are_rounded_half_up_and_come_back",
}


def test_every_degradation_is_measured():
    functions = inspect.getmembers(d, inspect.isfunction)
    public = {name for name, function in functions if function.__module__ == d.__name__ and not name.startswith("_")}
    assert public == set(MEASURED), "a new degradation needs a test of its statistics"
    for name, test in MEASURED.items():
        assert f"d.{name}(" in inspect.getsource(globals()[test]), f"{test} does not call {name}"
    # And every kernel of resizing and every format of compression.
    assert set(get_args(d.Resampling)) == set(RESAMPLINGS) and set(get_args(d.Format)) == set(FORMATS)


RESAMPLINGS, FORMATS = ["area", "bilinear", "bicubic"], ["JPEG", "WebP"]


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


@pytest.mark.parametrize("method", RESAMPLINGS)
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


@pytest.mark.parametrize("format_name", FORMATS)
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


def test_sharpening_adds_what_the_blur_takes_away_at_every_frequency():
    """A wave of frequency f is scaled by 1 + amount * (1 - G(f)), where G(f) = exp(-(sigma f)^2 / 2) for a Gaussian."""
    x = np.arange(200, dtype=np.float32)[None, :, None].repeat(60, axis=0)
    for frequency in (0.2, 0.8, 1.6):
        wave = np.cos(np.float32(frequency) * x)
        inside = np.s_[20:40, 40:160]
        gain = float((d.sharpen(wave, 0.7, 1.5)[inside] * wave[inside]).sum() / np.square(wave[inside]).sum())
        assert gain == pytest.approx(1 + 0.7 * (1 - math.exp(-((1.5 * frequency) ** 2) / 2)), abs=0.01)


@pytest.mark.parametrize("method", RESAMPLINGS)
def test_shrinking_removes_what_the_small_image_cannot_hold(method):
    """Waves shorter than two small pixels go, long ones stay: the kernel widens with the factor."""
    x = np.arange(256, dtype=np.float32)[None, :, None].repeat(64, axis=0)

    def kept(frequency):
        small = d.resize(np.cos(np.float32(frequency) * x), (16, 64), method)
        return float(small[4:12, 8:56].std() * math.sqrt(2))

    assert kept(0.1) == pytest.approx(1, abs=0.05) and kept(1.9) < (0.3 if method == "area" else 0.1)


def test_levels_are_rounded_half_up_and_come_back():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(d.to_uint8(d.to_floats(levels)), levels) and d.to_floats(levels).dtype == np.float32
    values = np.array([[[-0.4], [0.5 / 255], [0.499 / 255], [1.2]]], np.float64)
    assert d.to_uint8(values).ravel().tolist() == [0, 1, 0, 255]


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


# How often and how strongly each thing is done; settings that are measured by the pictures themselves further up.
BY_PICTURES = {"sharpen", "clean"}
DRAWN = {
    "blur": (0.7, 0.4), "sinc": (0.3, 0.2), "kernels": (0.3, 0.2, 0.2, 0.1, 0.15, 0.05), "sigma": ((0.5, 2), (0.2, 1)),
    "resize": ((0.2, 0.7, 0.1), (0.3, 0.4, 0.3)), "factor": ((0.3, 1.5), (0.4, 1.2)), "gaussian": (0.6, 0.3),
    "noise": ((1, 30), (2, 20)), "poisson": ((0.1, 3), (0.2, 2)), "grey": (0.4, 0.2), "quality": ((30, 95), (40, 80)),
    "final_sinc": 0.6, "webp": 0.25,
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    """What the chain asks for in 1500 runs: (function, order of blur, resize, noise or compression) -> arguments."""
    seen, count = {}, 1500
    with pytest.MonkeyPatch.context() as patch:
        for name in ("gaussian_kernel", "plateau_kernel", "sinc_kernel"):
            patch.setattr(d, name, lambda *arguments, name=name: (name, *arguments))
        now = Counter()

        def note(kind, *facts):
            seen.setdefault((kind, now[kind]), []).append(facts)

        def noise(name):
            def add(image, random, strength, grey):
                note("noise", name, strength, grey)
                now["noise"] += 1
                return image

            return add

        def resize(image, size, method):
            note(f"resize{now['noise']}", size[0], method)
            return np.zeros((*size, 3), np.float32)

        def compress(image, quality, name):
            note("compress", quality, name)
            now["compress"] += 1
            return image

        def blur(image, kernel):
            # The first order until something was compressed; a last sinc filter has nothing but the last noise before it.
            note("final" if now["noise"] == 2 else f"blur{now['compress']}", *kernel)
            return image

        for name, function in {
            "blur": blur, "resize": resize, "compress": compress,
            "gaussian_noise": noise("gaussian"), "poisson_noise": noise("poisson"),
        }.items():  # fmt: skip
            patch.setattr(d, name, function)
        chain, image = SecondOrder(**DRAWN), np.zeros((200, 200, 3), np.uint8)
        for seed in range(count):
            now.clear()
            chain(image, 2, rng(seed))
    return seen, count


def near(share, count):
    """A share that was counted, within four standard deviations."""
    return pytest.approx(share, abs=4 * math.sqrt(max(share * (1 - share), 0.01) / count))


def uniform(values, low, high):
    values = np.asarray(values, float)
    assert values.min() >= low and values.max() <= high
    assert values.mean() == pytest.approx((low + high) / 2, abs=4 * (high - low) / math.sqrt(12 * len(values)))
    assert values.std() == pytest.approx((high - low) / math.sqrt(12), rel=0.12)


def test_every_setting_of_the_chain_is_measured():
    assert {field.name for field in fields(SecondOrder)} == set(DRAWN) | BY_PICTURES, "measure the new setting"


@pytest.mark.parametrize("order", [0, 1])
def test_blurs_are_drawn_as_often_and_as_wide_as_they_say(drawn, order):
    (seen, count), kernels = drawn, DRAWN["kernels"]
    found = seen[f"blur{order}", 0]
    assert len(found) / count == near(DRAWN["blur"][order], count)
    sincs = [facts for facts in found if facts[0] == "sinc_kernel"]
    assert len(sincs) / len(found) == near(DRAWN["sinc"][order], len(found))
    rest = [facts for facts in found if facts[0] != "sinc_kernel"]
    for kind in range(6):
        of_kind = [
            (name, size, sigmas, angle, *shape) for name, size, sigmas, angle, *shape in rest
            if (name == "plateau_kernel") == (kind >= 4) and (len(shape) == 1) == (kind >= 2)
            and (sigmas[0] == sigmas[1]) == (kind % 2 == 0)
        ]  # fmt: skip
        assert len(of_kind) / len(rest) == near(kernels[kind], len(rest))
    uniform([facts[2][0] for facts in rest], *DRAWN["sigma"][order])
    uniform([facts[3] for facts in rest if facts[2][0] != facts[2][1]], -math.pi, math.pi)
    sizes = Counter(facts[1] for facts in found)
    assert set(sizes) == set(range(7, 22, 2)) and all(
        sizes[size] / len(found) == near(1 / 8, len(found)) for size in sizes
    )
    # Half of the generalised Gaussians have longer tails than a Gaussian; plateaus begin at 1.
    shapes = [facts[4] for facts in rest if len(facts) == 5 and facts[0] == "gaussian_kernel"]
    assert sum(shape < 1 for shape in shapes) / len(shapes) == near(0.5, len(shapes))


@pytest.mark.parametrize("order", [0, 1])
def test_noise_and_compression_are_drawn_as_often_and_as_strong_as_they_say(drawn, order):
    seen, count = drawn
    noises = seen["noise", order]
    assert len(noises) == count
    for name, strengths in (("gaussian", DRAWN["noise"]), ("poisson", DRAWN["poisson"])):
        of_kind = [strength for kind, strength, _ in noises if kind == name]
        share = DRAWN["gaussian"][order]
        assert len(of_kind) / count == near(share if name == "gaussian" else 1 - share, count)
        uniform(of_kind, *strengths[order])
    assert sum(grey for _, _, grey in noises) / count == near(DRAWN["grey"][order], count)
    compressions = seen["compress", order]
    assert len(compressions) == count
    uniform([quality for quality, _ in compressions], *DRAWN["quality"][order])
    assert sum(name == "WebP" for _, name in compressions) / count == near(DRAWN["webp"], count)


def test_sizes_and_the_last_filter_are_drawn_as_they_say(drawn):
    seen, count = drawn
    # In the second order relative to the final size.
    for order, base in enumerate((200, 100)):
        factors = [size / base for size, _ in seen[f"resize{order}", 0]]
        shares, (low, high) = DRAWN["resize"][order], DRAWN["factor"][order]
        for share, part, lowest, highest in (
            (shares[0], [factor for factor in factors if factor > 1], 1, high + 0.01),
            (shares[1], [factor for factor in factors if factor < 1], low - 0.01, 1),
        ):
            assert len(part) / count == near(share, count)
            uniform(part, lowest, highest)
        methods = Counter(method for _, method in seen[f"resize{order}", 0])
        assert all(methods[method] / len(factors) == near(1 / 3, len(factors)) for method in RESAMPLINGS)
    finals = seen["final", 0]
    assert len(finals) / count == near(DRAWN["final_sinc"], count) and {facts[0] for facts in finals} == {"sinc_kernel"}
    uniform([facts[2] for facts in finals], math.pi / 3, math.pi)


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
