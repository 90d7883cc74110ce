import pytest

from mezzotint import refs
from mezzotint.training import schedules

ALL = refs.public(schedules)
PROGRESS = [step / 100 for step in range(101)]


@pytest.mark.parametrize("name", ALL)
def test_every_schedule_starts_at_the_base_rate_and_never_rises(name):
    rates = [getattr(schedules, name)(progress) for progress in PROGRESS]
    assert rates[0] == 1 and all(0 <= rate <= 1 for rate in rates)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("name", "progress", "rate"),
    [
        ("constant", 1.0, 1.0),
        ("cosine", 0.5, 0.5),
        ("cosine", 1.0, 0.0),
        ("trapezoid", 0.6, 1.0),
        ("trapezoid", 0.8, 0.5),
        ("trapezoid", 1.0, 0.0),
    ],
)
def test_known_values(name, progress, rate):
    assert getattr(schedules, name)(progress) == pytest.approx(rate)
