"""The doctor of GANs: examines them during training, says what is wrong and, when asked to, mends it.

What it measures is in `vitals.py`, how it judges in `diagnoses.py`. It changes nothing unless it `acts`: then it turns what
may help (rates down, penalties or augmentation up), and where the networks are spoilt it goes back to the last sound state.
Steps are not counted back, so nothing is replayed: every step has random numbers of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mezzotint.card import GENERATION
from mezzotint.data.images import ImageSet
from mezzotint.errors import DivergedError, UsageError
from mezzotint.recipes.model import Recipe
from mezzotint.training import feed
from mezzotint.training.diagnoses import Diagnosis, Disease, diagnose, images, sound
from mezzotint.training.distributed import Team
from mezzotint.training.health import Health, Reading, Visit
from mezzotint.training.loop import Method, State
from mezzotint.training.vitals import Vitals, finite

# Examinations in a run, and the least steps between two: one costs about two steps.
_EXAMINATIONS, _APART = 50, 10
# Rescues in a run, and how much of it a treatment gets to work before the next.
_RESCUES, _PAUSE = 5, 0.1
_MOST_AUGMENTED = 0.8


class Doctor:
    """Examines the networks of one run; see `Health` for what it remembers. Without `acts` it only speaks."""

    def __init__(self, vitals: Vitals, recipe: Recipe, acts: bool = False, team: Team = Team()) -> None:
        self.vitals, self.acts, self.team = vitals, acts, team
        self.batch = recipe.data.batch
        asked = recipe.method.arguments
        self.levers = {"rate", *(lever for lever in ("penalties", "augment") if asked.get(lever))}

    def due(self, state: State, done: float, now: float) -> bool:
        """Whether to examine after a step that has brought the run's progress from `done` to `now`."""
        latest = (state.health.readings or [{"step": 0}])[-1]["step"] or 0
        # 0.58 * 50 is a little less than 29.
        begun, over = (int(share * _EXAMINATIONS + 1e-6) for share in (done, now))
        return over > begun and state.step - latest >= _APART

    def examine(self, state: State, now: float, method: Method, average: nn.Module, norms: dict[str, float]) -> Visit:
        """Measure, judge and, if asked to, treat. `norms` are those of the latest gradients.

        Raises `DivergedError` when going back has not helped.
        """
        health = state.health
        named = {diagnosis.disease.name for diagnosis in diagnose(health.readings)}
        health.readings.append(self._measured(state, now, method, average, norms))
        found = diagnose(health.readings)
        # As they were measured, before a treatment forgets them.
        facts: dict[str, Any] = {
            "doctor": {key: value for key, value in health.readings[-1].items() if key not in ("step", "progress")},
            "diagnoses": [diagnosis.words(self.batch) for diagnosis in found],
            "said": [diagnosis.words(self.batch) for diagnosis in found if diagnosis.disease.name not in named],
        }
        facts["said"] += [f"{name} is over" for name in sorted(named - {each.disease.name for each in found})]
        if not self.acts:
            return Visit(facts)
        if sound(health.readings):
            health.sound_step = state.step
            return Visit(facts, keep=True)
        for diagnosis in found:
            if self._treatable(diagnosis.disease, state, now):
                action, go_back = self._treat(diagnosis, state, now)
                facts["rescue"] = f"{diagnosis.disease.name}: {action}"
                facts["said"].append(f"rescue {health.rescues} of {_RESCUES}: {action}")
                return Visit(facts, go_back=go_back)
        return Visit(facts)

    def _measured(
        self, state: State, now: float, method: Method, average: nn.Module, norms: dict[str, float]
    ) -> Reading:
        networks = method.networks
        reading: Reading = {"step": state.step, "progress": now, "skipped": state.skipped}
        reading["skipped_in_a_row"] = state.skipped_in_a_row
        reading |= self.vitals.measure(networks["generator"], networks["discriminator"], average)
        reading |= {f"{name}_gradient": finite(norm) for name, norm in sorted(norms.items())}
        if self.team.size == 1 or not self.acts:
            return reading
        # The first process's numbers count, so that all come to the same conclusions.
        agreed = {key: self.team.first(float("nan") if value is None else value) for key, value in reading.items()}
        return {key: None if value != value else value for key, value in agreed.items()}

    def _treatable(self, disease: Disease, state: State, now: float) -> bool:
        """Whether something can be done, it is time for it, and not too late: what spoils no network is no reason to end."""
        health = state.health
        begun = now - health.treated_at >= _PAUSE or state.skipped_in_a_row > 0
        return bool(self.levers & {*disease.levers}) and begun and (disease.go_back or health.rescues < _RESCUES)

    def _treat(self, diagnosis: Diagnosis, state: State, now: float) -> tuple[str, bool]:
        """What was done, in words, and whether to go back."""
        health, disease = state.health, diagnosis.disease
        if health.rescues >= _RESCUES:
            raise DivergedError(
                f"{diagnosis.words(self.batch)}, and {_RESCUES} rescues have not helped; start again in another folder with "
                "lower learning rates, higher method.penalties, or a wider network"
            )
        # What has not helped once is not all that is tried.
        levers = [lever for lever in disease.levers if lever in self.levers]
        action = self._turn(health, levers[health.rescues % len(levers)])
        health.rescues, health.treated_at, state.skipped_in_a_row = health.rescues + 1, now, 0
        if not disease.go_back or health.sound_step is None:
            return action, False
        step = health.sound_step
        health.readings = [reading for reading in health.readings if (reading["step"] or 0) <= step]
        return f"back to the networks of {images(step * self.batch)}, {action}", True

    def _turn(self, health: Health, lever: str) -> str:
        if lever == "rate":
            health.rate /= 2
            return f"learning rates x {health.rate:g}"
        if lever == "penalties":
            health.penalties *= 2
            return f"penalties x {health.penalties:g}"
        health.augment = min(_MOST_AUGMENTED, health.augment + 0.2)
        return f"augmentation at least {health.augment:.1f}"


def attending(recipe: Recipe, images: ImageSet, device: torch.device, team: Team, acts: bool) -> Doctor | None:
    """The doctor of a run, if it is one of a GAN; one that acts is in every process. Raises `UsageError`."""
    if recipe.task != GENERATION:
        if acts:
            raise UsageError(f"--rescue is for generators: the doctor knows nothing of {recipe.task}")
        return None
    if not (acts or team.leads):
        return None
    crop = recipe.data.size if recipe.data.crop else None
    return Doctor(Vitals(*feed.kept_apart(recipe, images), recipe.seed, device, crop), recipe, acts, team)
