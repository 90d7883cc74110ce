"""From readings to words. Made-up ones for each disease, and the recorded ones of runs that were well or made to fail."""

import json
from pathlib import Path

import pytest

from mezzotint.training.diagnoses import DISEASES, diagnose, images, sound

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "doctor.json"
WELL = {
    "skipped": 0, "skipped_in_a_row": 0, "logit_gap": 1.0, "separation": 0.8, "familiarity": 0.5, "diversity": 0.9,
    "duplicates": 0.0, "distance": 0.05, "copies": 1.2, "average_gap": 0.1, "sharpness": 0.0, "largest": 2.0,
    "generator_gradient": 3.0, "discriminator_gradient": 2.0,
}  # fmt: skip
# name -> what shows it, and what it is then called by
ILL = {
    "losses not finite": ({"skipped_in_a_row": 11, "skipped": 11}, "11 steps skipped"),
    "mode collapse": ({"diversity": 0.31}, "diversity 0.31 of the real set"),
    "generator has run away": ({"largest": 259.0}, "distance 0.05 from the real set, values up to 259"),
    "generator is not taught": ({"generator_gradient": 0.02}, "its gradient has faded to 0.02"),
    "discriminator is blind": ({"separation": 0.3, "distance": 0.45}, "real before generated in 30% of pairs"),
    "generator stands still": (
        {"average_gap": 1e-4, "distance": 0.45}, "distance 0.45 from the real set and it does not change",
    ),
    "discriminator has won": (
        {"separation": 0.999, "distance": 0.45}, "it tells 99.9% of pairs and samples come no nearer",
    ),
    "discriminator overfits": (
        {"familiarity": 0.91}, "training before held-out images in 91% of pairs, real before generated in 80%",
    ),
    "training images are copied": ({"copies": 0.12}, "0.12 of the distance at which new images lie"),
    "generator swings": ({"average_gap": 1.4}, "1.40 from its average"),
    "noise or a grid in the samples": ({"sharpness": 14.0}, "fine detail +14 dB"),
}  # fmt: skip


def readings(*spells):
    """Readings every hundred steps of a run of 5000: (how many, what differs from health), one spell after the other."""
    rows = [change for count, change in spells for _ in range(count)]
    return [WELL | {"step": 100 * n, "progress": n / 50} | change for n, change in enumerate(rows, 1)]


def named(rows):
    return [diagnosis.words(64) for diagnosis in diagnose(rows)]


def test_every_disease_has_its_test():
    assert [disease.name for disease in DISEASES] == list(ILL)


@pytest.mark.parametrize("name", ILL)
def test_a_disease_is_named_when_it_lasts_with_when_it_began(name):
    change, evidence = ILL[name]
    patience = next(disease.patience for disease in DISEASES if disease.name == name)
    assert named(readings((25, {}))) == []
    for count in range(1, patience):
        assert not [words for words in named(readings((25, {}), (count, change))) if name in words]
    words = named(readings((25, {}), (patience, change)))
    assert f"{name} since 166k images: {evidence}" in words, words


@pytest.mark.parametrize("name", ILL)
def test_what_is_over_is_not_named(name):
    assert named(readings((25, {}), (10, ILL[name][0]), (1, {}))) == []


@pytest.mark.parametrize("name", [disease.name for disease in DISEASES if disease.patience > 1])
def test_a_noisy_reading_now_and_then_says_nothing(name):
    assert named(readings(*[(3, {}), (1, ILL[name][0])] * 12)) == []
    assert not sound(readings((25, {}), (1, ILL[name][0])))


def test_new_networks_are_strangers_to_their_data_and_that_is_no_disease():
    new = {
        "distance": 1.2,
        "separation": 0.4,
        "diversity": 0.1,
        "average_gap": 0.005,
        "sharpness": 12.0,
        "largest": 9.0,
    }
    assert named(readings((5, new))) == [] and sound(readings((5, new)))
    assert named(readings((12, new)))


def test_what_was_not_measured_says_nothing():
    assert named(readings((20, {"familiarity": None, "copies": None, "sharpness": None, "average_gap": None}))) == []


def test_samples_that_are_not_finite_are_named():
    assert named(readings((20, {}), (1, {"diversity": None, "distance": None})))[0].startswith(
        "losses not finite since"
    )


def test_numbers_of_images_are_said_as_people_say_them():
    assert [images(count) for count in (640, 13_440, 999_400, 1_300_000)] == [
        "640 images", "13k images", "999k images", "1.3M images",
    ]  # fmt: skip


def recorded():
    for name, facts in json.loads(RESULTS.read_text())["runs"].items():
        columns = facts["readings"]
        yield name, facts, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_of_the_recorded_runs_no_healthy_one_is_called_ill_and_nine_failures_of_ten_are_named_in_time():
    healthy, failed, in_time = 0, 0, 0
    for name, facts, rows in recorded():
        names = {
            each.disease.name: rows[count - 1]["progress"]
            for count in range(len(rows), 0, -1)
            for each in diagnose(rows[:count])
        }
        if name.startswith("healthy"):
            assert not names, name
            healthy += 1
        elif "right" in facts:
            failed += 1
            right = [at for disease, at in names.items() if any(word in disease for word in facts["right"])]
            in_time += bool(right) and min(right) <= facts["happened"] + 0.1 + 1e-9
    assert healthy == 20 and failed == 10 and in_time >= 9
