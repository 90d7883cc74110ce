"""Distances and manifolds of distributions against closed forms, brute force and sets whose answer is known."""

import itertools

import numpy as np
import pytest

from mezzotint.errors import UsageError
from mezzotint.metrics import neighbours
from mezzotint.metrics.distribution import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
    realism,
    sliced_wasserstein,
)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def whitened(seed: int, n: int, d: int) -> np.ndarray:
    """Samples whose mean is exactly 0 and whose covariance is exactly 1, up to rounding."""
    x = normal(seed, n, d)
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


def brute_force(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(2))


# --- Frechet ---


def test_frechet_of_gaussians_that_differ_in_mean_and_spread() -> None:
    x, y = whitened(0, 200, 5), whitened(1, 300, 5)
    shift, spread = np.array([1.0, -2, 0, 0.5, 3]), np.array([1.0, 2, 3, 0.5, 0.1])
    assert frechet_distance(x, y) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(x, y + shift) == pytest.approx((shift**2).sum())
    assert frechet_distance(x, y * spread + shift) == pytest.approx((shift**2).sum() + ((spread - 1) ** 2).sum())


def test_frechet_of_covariances_that_do_not_commute() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    x, y = normal(0, 400, 12) @ normal(1, 12, 12), normal(2, 300, 12) @ normal(3, 12, 12) + 0.3
    a, b = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-9)


def test_frechet_with_fewer_samples_than_dimensions() -> None:
    x, y = normal(0, 7, 40), normal(1, 90, 40) + 1
    a, b = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ b @ root).clip(0)).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b) - 2 * shared
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_frechet_sees_a_constant_set() -> None:
    x = whitened(0, 100, 4)
    assert frechet_distance(x, np.zeros((50, 4))) == pytest.approx(4)


# --- kernel ---


def test_kernel_distance_against_the_definition() -> None:
    x, y = normal(0, 9, 3), normal(1, 7, 3) + 0.5

    def kernel(a, b):
        return (a @ b / 3 + 1) ** 3

    within_x = np.mean([kernel(a, b) for a, b in itertools.permutations(x, 2)])
    within_y = np.mean([kernel(a, b) for a, b in itertools.permutations(y, 2)])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between)


def test_kernel_distance_is_unbiased_at_any_size() -> None:
    small = [kernel_distance(normal(2 * i, 20, 4), normal(2 * i + 1, 20, 4)) for i in range(200)]
    assert min(small) < 0 < max(small)
    assert abs(np.mean(small)) < 3 * np.std(small) / np.sqrt(200)
    assert kernel_distance(normal(0, 200, 4), normal(1, 200, 4) + 1) > 10 * np.std(small)


def test_kernel_distance_in_blocks() -> None:
    x, y = normal(0, 2500, 2), normal(1, 2100, 2)
    whole = ((x @ y.T / 2 + 1) ** 3).mean()
    rest = [((a @ a.T / 2 + 1) ** 3).sum() - ((a * a).sum(1) / 2 + 1).__pow__(3).sum() for a in (x, y)]
    expected = rest[0] / (2500 * 2499) + rest[1] / (2100 * 2099) - 2 * whole
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-9)


# --- precision, recall, density, coverage ---


def test_identical_sets_score_full_marks() -> None:
    x = normal(0, 60, 4)
    assert precision_recall(x, x) == (1, 1)
    density, coverage = density_coverage(x, x)
    # Each vector lies in its own ball and, on average, in k others.
    assert coverage == 1 and density == pytest.approx(6 / 5, abs=0.02)


def test_disjoint_sets_score_nothing() -> None:
    x, y = normal(0, 60, 4), normal(1, 50, 4) + 100
    assert precision_recall(x, y) == (0, 0)
    assert density_coverage(x, y) == (0, 0)


def test_a_part_of_the_data_is_precise_but_does_not_recall() -> None:
    """Distinguishes precision from recall: implementations have had them swapped."""
    whole = np.concatenate([normal(0, 80, 3), normal(1, 80, 3) + 50])
    half = normal(2, 160, 3)
    precision, recall = precision_recall(whole, half)
    assert precision > 0.8 and recall <= 0.5
    assert precision_recall(half, whole) == (recall, precision)
    density, coverage = density_coverage(whole, half)
    assert density > 0.5 and coverage <= 0.5


def test_a_constant_in_a_dense_region_covers_next_to_nothing() -> None:
    real = normal(0, 100, 4)
    fake = np.repeat(real[:1] * 0, 100, axis=0)
    precision, recall = precision_recall(real, fake)
    density, coverage = density_coverage(real, fake)
    assert precision == 1 and recall == 0
    assert density > 1 and coverage < 0.3


def test_an_outlier_inflates_recall_but_not_coverage() -> None:
    real = normal(0, 100, 3)
    fake = np.concatenate([normal(1, 4, 3), 30 * normal(2, 4, 3)])
    assert precision_recall(real, fake)[1] > 0.8
    assert density_coverage(real, fake)[1] < 0.4


def test_against_brute_force() -> None:
    real, fake = normal(0, 40, 3), normal(1, 30, 3) + 0.7
    to_real = np.sort(brute_force(real, real), axis=1)
    to_fake = np.sort(brute_force(fake, fake), axis=1)
    between = brute_force(fake, real)
    precision = (between <= to_real[:, 3]).any(1).mean()
    recall = (between <= to_fake[:, [3]]).any(0).mean()
    assert precision_recall(real, fake) == (precision, recall)
    inside = between <= to_real[:, 5]
    assert density_coverage(real, fake) == (pytest.approx(inside.sum() / 150), inside.any(0).mean())


# --- neighbours ---


def test_blocks_change_nothing(monkeypatch) -> None:
    x, y = normal(0, 37, 5), normal(1, 23, 5)
    distances, indices = neighbours.nearest(x, y)
    monkeypatch.setattr(neighbours, "_BLOCK", 50)
    np.testing.assert_allclose(neighbours.nearest(x, y)[0], distances)
    np.testing.assert_array_equal(neighbours.nearest(x, y)[1], indices)
    np.testing.assert_allclose(distances, brute_force(x, y).min(1))
    np.testing.assert_allclose(neighbours.radii(x, 4), np.sort(brute_force(x, x), axis=1)[:, 4])
    own, other = neighbours.nearest(x)
    np.testing.assert_allclose(own, np.sort(brute_force(x, x), axis=1)[:, 1])
    assert (other != np.arange(37)).all()


def test_equal_vectors_far_from_the_origin_are_zero_apart() -> None:
    x = (normal(0, 50, 300) + 1e4).astype(np.float32)
    distances, indices = neighbours.nearest(x, x)
    assert (distances == 0).all() and (indices == np.arange(50)).all()
    assert neighbours.nearest(x)[0].min() > 10


# --- sliced Wasserstein ---


def pictures(seed: int, n: int = 40, side: int = 28, channels: int = 1) -> np.ndarray:
    """Smooth pictures: blurred noise."""
    images = normal(seed, n, side, side, channels)
    for _ in range(6):
        images = (images + np.roll(images, 1, 1) + np.roll(images, 1, 2)) / 3
    return (images * 150 + 128).clip(0, 255).astype(np.uint8)


def test_sliced_wasserstein_orders_sets_by_how_wrong_they_are() -> None:
    real = pictures(0, n=100)
    options = {"patches": 32, "projections": 64}
    assert (sliced_wasserstein(real, real, **options) == 0).all()
    same = sliced_wasserstein(real, pictures(1, n=100), **options)
    noise = np.random.default_rng(2).integers(0, 256, real.shape, np.uint8)
    assert same.shape == (2,)
    wrong = sliced_wasserstein(real, noise, **options)
    assert (same > 0).all() and wrong[0] > 3 * same[0] and wrong[1] > same[1]
    np.testing.assert_array_equal(same, sliced_wasserstein(real, pictures(1, n=100), **options))
    assert (same != sliced_wasserstein(real, pictures(1, n=100), seed=1, **options)).all()


def test_the_finest_level_alone_sees_a_checkerboard() -> None:
    real = pictures(0, n=60)
    marked = pictures(1, n=60).astype(float)
    marked[:, ::2, ::2] += 30
    marked[:, 1::2, 1::2] += 30
    clean = sliced_wasserstein(real, pictures(1, n=60).astype(float), patches=64, projections=64)
    wrong = sliced_wasserstein(real, marked, patches=64, projections=64)
    assert wrong[0] > 3 * clean[0]
    assert wrong[1] < 1.5 * clean[1]


@pytest.mark.parametrize(("side", "levels"), [(7, 1), (27, 1), (28, 2), (33, 2), (64, 3)])
def test_levels_by_size_and_colour(side: int, levels: int) -> None:
    values = sliced_wasserstein(pictures(0, 4, side, 3), pictures(1, 5, side, 3), patches=8, projections=8)
    assert values.shape == (levels,) and (values > 0).all()


# --- mistakes ---


@pytest.mark.parametrize(
    "call",
    [
        lambda: frechet_distance(normal(0, 1, 3), normal(0, 9, 3)),
        lambda: frechet_distance(normal(0, 9, 3), normal(0, 9, 4)),
        lambda: frechet_distance(np.full((9, 3), np.nan), normal(0, 9, 3)),
        lambda: kernel_distance(normal(0, 1, 3), normal(0, 9, 3)),
        lambda: precision_recall(normal(0, 3, 3), normal(0, 9, 3)),
        lambda: density_coverage(normal(0, 9, 3), normal(0, 9, 4)),
        lambda: density_coverage(normal(0, 9, 3), np.full((9, 3), np.inf)),
        lambda: density_coverage(normal(0, 9, 3), normal(0, 9)),
        lambda: sliced_wasserstein(np.zeros((3, 6, 9, 1)), np.zeros((3, 6, 9, 1))),
        lambda: sliced_wasserstein(np.zeros((3, 9, 9, 1)), np.zeros((3, 9, 9, 3))),
        lambda: sliced_wasserstein(np.zeros((0, 9, 9, 1)), np.zeros((3, 9, 9, 1))),
    ],
)
def test_what_cannot_be_compared_is_refused(call) -> None:
    with pytest.raises(UsageError):
        call()


def test_realism_is_above_one_inside_the_manifold_and_falls_outside() -> None:
    random = np.random.default_rng(0)
    real = random.standard_normal((300, 3))
    inside = realism(real, random.standard_normal((200, 3)) / 2)
    outside = realism(real, 6 + random.standard_normal((200, 3)) / 2)
    assert np.median(inside) > 1 and outside.max() < 0.5
    assert np.isinf(realism(real, real)).mean() == pytest.approx(0.5, abs=0.01)
    # By hand: radii to the 1st neighbour 1, 1, 2, 4, of which the first two do not exceed the median of 1.5.
    line = np.array([[0.0], [1], [3], [7]])
    np.testing.assert_allclose(realism(line, np.array([[2.0], [7], [-0.5]]), 1), [1, 1 / 6, 2])


def test_realism_where_real_vectors_are_equal() -> None:
    assert (
        np.isinf(realism(np.zeros((5, 2)), np.zeros((1, 2)))).all() and realism(np.zeros((5, 2)), np.ones((1, 2))) == 0
    )
