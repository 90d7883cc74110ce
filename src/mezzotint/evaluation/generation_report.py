"""The outcome of measuring a generator: each number beside what real images score in its place, and what it means."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# What a generator must reach to pass. Coverage and precision: this share of what real images score.
_POOR = 2 / 3
# Distances: so many times what real images score, their floor, which falls with n.
_FAR = 10
# One in twenty images with a twin is seen on a sheet; data that repeat themselves may be repeated three times as often.
_MANY_DUPLICATES, _TIMES_REAL = 0.05, 3
# Standard deviations.
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
        if not self.metric.startswith(("fd_", "fid", "swd")) or not self.real:
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
class Verdict:
    """One score against its limit: passed or not, the rule in words, and what is wrong where it is broken."""

    metric: str
    passed: bool
    rule: str
    finding: str

    def __str__(self) -> str:
        """One line for a person."""
        return f"{'pass' if self.passed else 'FAIL'}  {self.rule}{'' if self.passed else f': {self.finding}'}"


@dataclass(frozen=True)
class GeneratorReport:
    """A generator against a data set; `report["fd_own"]` is a `Score`.

    `verdicts` hold scores against their limits, `findings` say in words what is wrong with the generator, `notes` what to
    mind in reading the numbers. `triptychs`, K 3 H W C uint8: the generated images most like copies, each with its nearest
    training and its nearest held-out image. `upscale`: the model that enlarged the generated images.
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
    upscale: str | None = None

    def __getitem__(self, metric: str) -> Score:
        return self.scores[metric]

    @property
    def findings(self) -> list[str]:
        """One sentence for each thing that is wrong; empty for a generator that passes."""
        return [verdict.finding for verdict in self.verdicts if not verdict.passed]

    @property
    def verdicts(self) -> list[Verdict]:
        """Every score that has a limit, against it."""
        return [verdict for score in self.scores.values() if (verdict := self._verdict(score))]

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
            **({} if self.upscale is None else {"upscale": self.upscale}),
            "verdicts": [dataclasses.asdict(verdict) for verdict in self.verdicts],
            "findings": self.findings,
            "notes": self.notes,
        }

    def to_json(self) -> str:
        """The whole report as one JSON document: the summary with all facts of each score."""
        facts = {**self.summary(), "scores": [score.facts() for score in self.scores.values()]}
        return json.dumps(facts, ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    def _verdict(self, score: Score) -> Verdict | None:
        name, value, real = score.metric, score.value, score.real or 0.0
        if name == "training_z":
            share = self.scores["training_share"]
            return Verdict(
                name,
                value <= _SIGNIFICANT,
                f"training_z {value:.1f}, at most {_SIGNIFICANT}",
                f"copies training images: {share.value:.1%} of the real images nearest to generated ones are training "
                f"images, by chance {share.real:.1%} ({value:.1f} standard deviations)",
            )
        if name == "duplicates":
            most = max(_MANY_DUPLICATES, _TIMES_REAL * real)
            return Verdict(
                name,
                value <= most,
                f"duplicates {value:.3f}, at most {most:.3f} ({_MANY_DUPLICATES} or {_TIMES_REAL} x real's {real:.3f})",
                f"repeats itself: {value:.1%} of the images have a near twin, of real images {real:.1%}",
            )
        if name.startswith(("coverage_", "precision_")):
            least = _POOR * real
            wrong = "misses parts of the data" if name.startswith("coverage_") else "makes images unlike the data"
            return Verdict(
                name,
                value >= least,
                f"{name} {value:.3f}, at least {least:.3f} (2/3 of real's {real:.3f})",
                f"{wrong}: {name} {value:.3f}, real images {real:.3f}",
            )
        if score.ratio is not None:
            return Verdict(
                name,
                score.ratio <= _FAR,
                f"{name} {score.ratio:.2f} x its floor, at most {_FAR}",
                f"is far from the data: {name} {value:.3f} is {score.ratio:.1f} times what real images score",
            )
        return None
