"""The outcome of measuring a generator: each number beside what real images score in its place, and what it means."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Below this share of what real images score, coverage and precision are told as findings.
_POOR = 2 / 3
# One in twenty images with a twin is seen on a sheet.
_MANY_DUPLICATES = 0.05
_SIGNIFICANT = 3


@dataclass(frozen=True)
class Score:
    """One number. `real` is what as many training images score in place of the generated ones: the floor of a distance.

    `n` images were measured, against `n_reference` others; `seed` chose both, and made the generated ones.
    """

    metric: str
    value: float
    real: float | None
    n: int
    n_reference: int
    seed: int

    @property
    def ratio(self) -> float | None:
        """How many times its floor a distance is; None for what is no distance, and for kernel distances, whose floor is
        0 give or take noise.
        """
        if not self.metric.startswith(("fd_", "swd")) or not self.real:
            return None
        return self.value / self.real

    def facts(self) -> dict[str, Any]:
        """Ready for JSON; what is not finite is None."""
        facts = {**dataclasses.asdict(self), "ratio": self.ratio}
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in facts.items()
        }

    def to_json(self) -> str:
        """One line."""
        return json.dumps(self.facts(), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class GeneratorReport:
    """A generator against a data set; `report["fd_own"]` is a `Score`.

    `findings` say in words what is wrong with the generator, `notes` what to mind in reading the numbers. `triptychs`, K 3
    H W C uint8: the generated images most like copies, each with its nearest training and its nearest held-out image.
    """

    model: str
    data: str
    reference: str | None  # None: halves of `data` were compared
    n: int
    seed: int
    features: dict[str, dict[str, Any]] = field(default_factory=dict)  # what the names behind the metrics' mean
    scores: dict[str, Score] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    triptychs: np.ndarray = field(default_factory=lambda: np.empty((0, 3, 0, 0, 0), np.uint8), repr=False)

    def __getitem__(self, metric: str) -> Score:
        return self.scores[metric]

    @property
    def findings(self) -> list[str]:
        """One sentence for each thing that is wrong; empty for a generator that passes."""
        return [sentence for score in self.scores.values() if (sentence := self._finding(score))]

    def summary(self) -> dict[str, Any]:
        """Everything but the pictures, ready for JSON."""
        values = {name: score.facts()["value"] for name, score in self.scores.items()}
        return {
            "summary": True,
            "model": self.model,
            "data": self.data,
            "reference": self.reference,
            "n": self.n,
            "seed": self.seed,
            **values,
            "features": self.features,
            "findings": self.findings,
            "notes": self.notes,
        }

    def to_json(self) -> str:
        """The whole report as one JSON document: the summary with all facts of each score."""
        facts = {**self.summary(), "scores": [score.facts() for score in self.scores.values()]}
        return json.dumps(facts, ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    def _finding(self, score: Score) -> str | None:
        value, real = score.value, score.real or 0.0
        if score.metric == "training_z" and value > _SIGNIFICANT:
            share = self.scores["training_share"]
            return (
                f"copies training images: {share.value:.1%} of the real images nearest to generated ones are training "
                f"images, by chance {share.real:.1%} ({value:.1f} standard deviations)"
            )
        if score.metric == "duplicates" and value > max(_MANY_DUPLICATES, 3 * real):
            return f"repeats itself: {value:.1%} of the images have a near twin, of real images {real:.1%}"
        if score.metric.startswith("coverage_") and value < _POOR * real:
            return f"misses parts of the data: {score.metric} {value:.3f}, real images {real:.3f}"
        if score.metric.startswith("precision_") and value < _POOR * real:
            return f"makes images unlike the data: {score.metric} {value:.3f}, real images {real:.3f}"
        return None
