"""From what the doctor has measured to what is wrong, in words: a pure function of the readings.

A symptom must show in several readings in a row before it is named, so that one noisy reading says nothing; "since" is the
first of them. The thresholds lie between what runs of `benchmarks/calibrate_doctor.py` showed in health and in failures that
were provoked; `benchmarks/results/doctor.json` holds the readings of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mezzotint.training.health import Reading

__all__: list[str] = []

Past = Sequence[Reading]


@dataclass(frozen=True)
class Disease:
    """What can be wrong. `shows` says whether the last of some readings has the symptom; `words` are filled in from it.

    `levers`: what may mend it, of "rate", "penalties" and "augment" those that the recipe has, in turn. `go_back`: whether
    the networks are spoilt, so that only an earlier state helps.
    """

    name: str
    shows: Callable[[Past], bool]
    words: str
    levers: tuple[str, ...]
    go_back: bool
    patience: int = 3


@dataclass(frozen=True)
class Diagnosis:
    """A disease that shows since the step `since`; `evidence` says by what."""

    disease: Disease
    since: int
    evidence: str

    def words(self, batch: int) -> str:
        """Such as "mode collapse since 214k images: diversity 0.31 of the real set"."""
        return f"{self.disease.name} since {images(self.since * batch)}: {self.evidence}"


def images(count: int) -> str:
    """A number of images as people say it: 640 images, 214k images, 1.3M images."""
    if count < 1000:
        return f"{count} images"
    return f"{count / 1e3:.0f}k images" if count < 999_500 else f"{count / 1e6:.1f}M images"


def diagnose(readings: Past) -> list[Diagnosis]:
    """What is wrong at the last of `readings`, the gravest first."""
    found = []
    for disease in DISEASES:
        begin = len(readings)
        while begin and disease.shows(readings[:begin]):
            begin -= 1
        if len(readings) - begin >= disease.patience:
            evidence = disease.words.format(**{key: value for key, value in readings[-1].items() if value is not None})
            found.append(Diagnosis(disease, int(readings[begin]["step"] or 0), evidence))
    return found


def sound(readings: Past) -> bool:
    """Whether the last of `readings` shows no symptom at all, not even one that is too young to be named."""
    return not any(disease.shows(readings) for disease in DISEASES)


def _value(reading: Reading, key: str, otherwise: float) -> float:
    """A number of a reading, or what speaks for health where there is none."""
    value = reading.get(key)
    return otherwise if value is None else value


def _under_way(past: Past) -> bool:
    """A tenth of the run is done: before that, nothing can be said of networks that have learnt nothing yet."""
    return _value(past[-1], "progress", 1) > 0.1


def _strange(past: Past) -> bool:
    """The samples are far from real images: 0.04 to 0.29 at the end in health, 0.5 to 2 at first and after most failures."""
    return _under_way(past) and _value(past[-1], "distance", 0) > 0.3


def _not_finite(past: Past) -> bool:
    before = _value(past[-2], "skipped", 0) if len(past) > 1 else 0
    skipped = max(_value(past[-1], "skipped", 0) - before, _value(past[-1], "skipped_in_a_row", 0))
    return skipped > 2 or past[-1].get("diversity", 0) is None


def _collapsed(past: Past) -> bool:
    """Diversity in health is 0.5 to 1.5 and there are no duplicates; after a collapse 0.2 and a quarter or more."""
    alike = _value(past[-1], "diversity", 1) < 0.35 or _value(past[-1], "duplicates", 0) > 0.25
    return _under_way(past) and alike


def _run_away(past: Past) -> bool:
    """Pixels reach 12 in health, while the generator is new, and distance leaves its best by so much for single readings."""
    best = min(_value(reading, "distance", math.inf) for reading in past)
    worse = _value(past[-1], "distance", 0) > max(0.5, 4 * best)
    return _value(past[-1], "largest", 0) > 20 or (worse and _under_way(past))


def _untaught(past: Past) -> bool:
    """The generator's gradient in health is a fifth of its median or more, from a silent discriminator 1/200."""
    gradients = sorted(_value(reading, "generator_gradient", 0) for reading in past)
    return _value(past[-1], "generator_gradient", 1) < 0.03 * gradients[len(gradients) // 2]


def _still(past: Past) -> bool:
    """0.1 and more in health, until the rate falls at the end, to 0.015."""
    return _value(past[-1], "average_gap", 1) < 0.05 and _strange(past)


def _blind(past: Past) -> bool:
    """In health it puts 0.65 to 1 of the real images first, and only single readings are lower."""
    return _value(past[-1], "separation", 1) < 0.55 and _strange(past)


def _won(past: Past) -> bool:
    """It tells all from all, which is usual at first, and the samples come no nearer."""
    gained = len(past) > 5 and _value(past[-1], "distance", 0) < 0.9 * _value(past[-6], "distance", 0)
    return _value(past[-1], "separation", 0) > 0.995 and _strange(past) and not gained


def _overfitting(past: Past) -> bool:
    """It tells training from held-out images by more than half of what it tells real from generated ones by. The former are
    0.43 to 0.57 of the pairs in health, with a deviation of 0.06 where only 20 images are held out.
    """
    known, told = _value(past[-1], "familiarity", 0.5) - 0.5, _value(past[-1], "separation", 1) - 0.5
    return _under_way(past) and known > max(0.15, 0.5 * told)


def _copying(past: Past) -> bool:
    """0.9 to 5.1 in health."""
    return _value(past[-1], "copies", 1) < 0.5


def _swinging(past: Past) -> bool:
    """Up to 1.4 in health, in single readings."""
    return _value(past[-1], "average_gap", 0) > 0.9


def _noisy(past: Past) -> bool:
    """-6 to 5 decibels in health once a third of the run is done."""
    return _value(past[-1], "progress", 0) > 0.3 and _value(past[-1], "sharpness", 0) > 10


DISEASES = (
    Disease("losses not finite", _not_finite, "{skipped:.0f} steps skipped", ("rate",), True, patience=1),
    Disease("mode collapse", _collapsed, "diversity {diversity:.2f} of the real set", ("penalties", "rate"), True),
    Disease(
        "generator has run away", _run_away, "distance {distance:.2f} from the real set, values up to {largest:.0f}",
        ("rate",), True,
    ),
    Disease("generator is not taught", _untaught, "its gradient has faded to {generator_gradient:.2g}", ("rate",), True),
    Disease("discriminator is blind", _blind, "real before generated in {separation:.0%} of pairs", ("rate",), True),
    Disease(
        "generator stands still", _still, "distance {distance:.2f} from the real set and it does not change", (), False
    ),
    Disease(
        "discriminator has won", _won, "it tells {separation:.1%} of pairs and samples come no nearer",
        ("penalties", "rate"), False, patience=5,
    ),
    Disease(
        "discriminator overfits", _overfitting,
        "training before held-out images in {familiarity:.0%} of pairs, real before generated in {separation:.0%}",
        ("augment", "penalties"), False,
    ),
    Disease(
        "training images are copied", _copying, "{copies:.2f} of the distance at which new images lie",
        ("augment",), False,
    ),
    Disease("generator swings", _swinging, "{average_gap:.2f} from its average", ("rate",), False),
    Disease("noise or a grid in the samples", _noisy, "fine detail {sharpness:+.0f} dB", (), False, patience=5),
)  # fmt: skip
