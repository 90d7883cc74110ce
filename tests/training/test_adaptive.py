import pytest
import torch

from mezzotint.training.adaptive import Adaptive


def followed(*logits, target=0.3, times=50):
    adaptive = Adaptive(target)
    for _ in range(times):
        adaptive.follow(*(torch.tensor(value) for value in logits), 64)
    return adaptive


def test_probability_rises_while_held_out_images_are_taken_for_generated_ones():
    adaptive = followed(2.0, -1.0, -2.0)
    assert adaptive.overfitting() == pytest.approx(0.75)
    assert float(adaptive.probability) == pytest.approx(50 * 4 * 64 / 100_000)


def test_probability_falls_to_nothing_once_they_are_not():
    adaptive = followed(2.0, -1.0, -2.0)
    for _ in range(400):
        adaptive.follow(torch.tensor(2.0), torch.tensor(1.9), torch.tensor(-2.0), 64)
    assert float(adaptive.probability) == 0


def test_it_never_exceeds_where_augmentations_leak():
    assert float(followed(2.0, -2.0, -2.0, times=1000).probability) == pytest.approx(0.8)


def test_what_is_added_to_all_logits_changes_nothing():
    assert followed(2.0, 1.0, -2.0).overfitting() == pytest.approx(followed(102.0, 101.0, 98.0).overfitting(), abs=1e-4)


def test_without_skill_there_is_no_overfitting():
    assert followed(-1.0, -3.0, 0.5).overfitting() == 0


def chances(of_training, times=4000, skill=0.05):
    """The highest probability that is reached with noisy batches, whose difference is `of_training` on average."""
    torch.manual_seed(0)
    adaptive, highest = Adaptive(0.3), 0.0
    for _ in range(times):
        training, held_out = (0.1 * torch.randn(2)).tolist()
        logits = (training + of_training, held_out, training + of_training - skill)
        adaptive.follow(*(torch.tensor(value) for value in logits), 32)
        highest = max(highest, float(adaptive.probability))
    return highest


def test_chance_does_not_augment_where_generated_images_can_hardly_be_told():
    assert chances(of_training=0.0) < 0.02


def test_memory_is_found_below_the_noise_of_single_batches():
    assert chances(of_training=0.1, skill=0.2) == pytest.approx(0.8)


def test_logits_that_are_not_finite_are_not_taken_in():
    adaptive = followed(2.0, -1.0, -2.0)
    before = adaptive.state_dict()
    adaptive.follow(torch.tensor(float("nan")), torch.tensor(0.0), torch.tensor(0.0), 64)
    assert all(torch.equal(value, before[key]) for key, value in adaptive.state_dict().items())
