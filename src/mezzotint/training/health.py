"""What a checkpoint keeps of a doctor's work, and what the doctor answers the loop. The loop knows no more of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# What was measured at one step, by name; None for what cannot be measured or is not finite.
Reading = dict[str, float | None]


@dataclass
class Health:
    """Readings so far, and what was turned: factors on all rates and penalties, the least probability of augmentations.

    JSON values only, and floats come back from JSON as they were: a resumed run is treated as it would have been.
    """

    readings: list[Reading] = field(default_factory=list)
    rate: float = 1.0
    penalties: float = 1.0
    augment: float = 0.0
    sound_step: int | None = None  # of the state that can be gone back to
    rescues: int = 0
    treated_at: float = -1.0  # the run's progress, 0 to 1, at the latest rescue


@dataclass(frozen=True)
class Visit:
    """One examination: `facts` for the log, whether the state is to be kept as sound, or left for the one kept last."""

    facts: dict[str, Any]
    keep: bool = False
    go_back: bool = False
