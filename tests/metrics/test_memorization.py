"""Copies are found, and what only looks like copying is not taken for it."""

import numpy as np
import pytest

from mezzotint.errors import UsageError
from mezzotint.metrics.memorization import (
    closeness,
    ct_cells,
    ct_score,
    duplicate_rate,
    memorization,
    thumbnails,
)
from mezzotint.metrics.neighbours import nearest


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


TRAINING, HELD_OUT = normal(0, 600, 6), normal(1, 200, 6)


def test_new_samples_of_the_same_distribution_pass() -> None:
    scores = [memorization(normal(seed, 200, 6), TRAINING, HELD_OUT) for seed in range(2, 32)]
    assert scores[0].expected_share == 0.75
    assert abs(np.mean([score.training_z for score in scores])) < 1
    assert max(abs(score.training_z) for score in scores) < 4
    # Its own noise, plus that of the held-out set, which all thirty share.
    assert max(abs(score.ct_z) for score in scores) < 5
    assert 0.8 < np.mean([score.nearest_ratio for score in scores]) < 1.25


@pytest.mark.parametrize("noise", [0, 0.05, 0.3])
def test_copies_are_flagged_exact_or_not(noise: float) -> None:
    copies = TRAINING[::3] + noise * normal(2, 200, 6)
    found = memorization(copies, TRAINING, HELD_OUT)
    assert found.training_share > 0.9 and found.training_z > 4 and found.ct_z < -4 and found.nearest_ratio < 0.7
    if noise < 0.1:
        np.testing.assert_array_equal(found.training_indices, np.arange(0, 600, 3))


def test_some_copies_among_noise_are_flagged_where_ct_sees_underfitting() -> None:
    mixture = np.concatenate([TRAINING[:100], 4 * normal(2, 100, 6)])
    found = memorization(mixture, TRAINING, HELD_OUT)
    assert found.ct_z > -3
    assert found.training_z > 3
    assert set(found.suspects(100)) == set(range(100))


def test_images_more_typical_than_real_ones_are_no_copies() -> None:
    """Near to everything: CT takes them for copies, the comparison with held-out images does not."""
    found = memorization(0.3 * normal(2, 200, 6), TRAINING, HELD_OUT)
    assert found.ct_z < -4 and found.nearest_ratio < 0.8
    assert abs(found.training_z) < 3


def test_a_generator_that_repeats_one_image_does_not_copy() -> None:
    constant = np.repeat(normal(3, 1, 6), 300, axis=0)
    found = memorization(constant, TRAINING, HELD_OUT)
    assert found.training_share in (0, 1) and abs(found.training_z) < 3
    few = np.repeat(TRAINING[:2], 150, axis=0)
    # Copies of two images only are beyond this test; the distances themselves and the duplicates tell.
    assert memorization(few, TRAINING, HELD_OUT).ct_z < -4 and duplicate_rate(few, TRAINING) == 1


def test_images_in_both_sets_speak_neither_for_nor_against() -> None:
    found = memorization(HELD_OUT, np.concatenate([TRAINING, HELD_OUT]), HELD_OUT)
    assert found.training_share == pytest.approx(found.expected_share)
    assert found.training_z == pytest.approx(0, abs=1e-9)


def test_ct_is_the_mann_whitney_score() -> None:
    stats = pytest.importorskip("scipy.stats")
    x, y = normal(0, 50) + 0.3, normal(1, 70)
    p = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=False).pvalue
    assert 2 * stats.norm.sf(ct_score(x, y)) == pytest.approx(p)
    assert ct_score(y, x) == pytest.approx(-ct_score(x, y))
    assert ct_score(np.zeros(9), np.zeros(5)) == 0


def test_duplicates_beside_those_of_real_data() -> None:
    real = normal(0, 400, 6)
    assert duplicate_rate(real, real) == pytest.approx(0.01, abs=0.005)
    assert duplicate_rate(normal(1, 400, 6), real) < 0.04
    repeated = np.resize(normal(1, 300, 6), (400, 6))
    assert duplicate_rate(repeated, real) == pytest.approx(0.5, abs=0.02)
    assert duplicate_rate(np.zeros((50, 6)), real) == 1


def test_duplicates_where_the_data_have_exact_twins() -> None:
    real = np.repeat(normal(0, 100, 6), 2, axis=0)
    assert duplicate_rate(normal(1, 200, 6), real) == 0


def test_thumbnails_average_whole_blocks() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3), np.uint8)
    small = thumbnails(images, 14)
    assert small.shape == (3, 14, 14, 3)
    np.testing.assert_allclose(small[1, 2, 3], images[1, 4:6, 6:8].mean((0, 1)), rtol=1e-6)
    assert thumbnails(images, 28).tobytes() == images.astype(np.float32).tobytes()
    ramp = np.broadcast_to(np.arange(5, dtype=np.uint8)[None, None, :, None], (1, 3, 5, 1))
    np.testing.assert_allclose(thumbnails(ramp, 3)[0, :, :, 0], [[0.5, 2.5, 4]] * 2)


def test_mistakes() -> None:
    for call in (
        lambda: memorization(normal(0, 5, 6), TRAINING, normal(1, 5, 7)),
        lambda: ct_score(np.empty(0), np.ones(3)),
        lambda: duplicate_rate(normal(0, 1, 6), TRAINING),
    ):
        with pytest.raises(UsageError):
            call()


def test_closeness_of_copies_near_copies_and_new_vectors() -> None:
    training = np.array([[0.0, 0], [2, 0], [10, 0], [13, 0]])
    images = np.array([[0, 0], [0, 1], [10, 3], [11, 0]])
    np.testing.assert_allclose(closeness(images, training), [0, 0.5, 1, 1 / 3])
    # What lies twice in the data is no measure of near.
    twice = np.concatenate([training, training[:1]])
    np.testing.assert_allclose(closeness(images[:2], twice), [0, np.inf])


def test_new_data_are_as_authentic_as_held_out_ones_and_near_copies_are_not() -> None:
    new = memorization(normal(5, 300, 6), normal(0, 600, 6), normal(1, 300, 6))
    assert new.authentic == pytest.approx(new.expected_authentic, abs=0.12) and 0.3 < new.authentic < 0.7
    training = normal(0, 600, 6)
    copied = memorization(training[:300] + 0.05 * normal(2, 300, 6), training, normal(1, 300, 6))
    assert copied.authentic < 0.05


def test_cells_see_a_generator_that_copies_in_one_place_and_fails_in_another() -> None:
    # Two far clusters: copies in one, in the other nothing but far vectors, so that the whole is as near as held-out data.
    def pair(seed: int, count: int, spread: float = 1) -> np.ndarray:
        return np.concatenate([normal(seed, count, 4), 40 + spread * normal(seed + 50, count, 4)])

    training, held_out = pair(0, 400), pair(1, 200)
    generated = np.concatenate([training[:200] + 0.05 * normal(2, 200, 4), 40 + 1.5 * normal(3, 200, 4)])
    near, real = nearest(generated, training)[0], nearest(held_out, training)[0]
    whole, cells = ct_score(near, real), ct_cells(generated, held_out, training, near, real)
    assert ct_score(near[:200], real[:200]) < -10 and ct_score(near[200:], real[200:]) > 3
    new = pair(7, 200)
    fresh = ct_cells(new, held_out, training, nearest(new, training)[0], real)
    assert abs(fresh) < 2 and np.isfinite(cells) and np.isfinite(whole)
    copied = training[::2] + 0.05 * normal(4, 400, 4)
    assert ct_cells(copied, held_out, training, nearest(copied, training)[0], real) < -4
    # Too few for cells: one for all.
    assert ct_cells(new[:9], held_out, training, near[:9], real) == ct_score(near[:9], real)
