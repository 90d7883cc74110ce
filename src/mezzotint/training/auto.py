"""`auto`: the recipe of a generator for any folder of pictures, chosen by looking at them and at this machine.

What is looked at stands in `data/survey.py`, how fast the machine trains in `trial.py`, and what follows from both, without
any of either, in `advisor/plan.py`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from mezzotint.advisor import plan as planning
from mezzotint.advisor.ladder import Setting, ladder
from mezzotint.data.survey import survey
from mezzotint.errors import InputError, UsageError
from mezzotint.hardware import free_threads
from mezzotint.recipes import model
from mezzotint.recipes.model import Recipe
from mezzotint.training.devices import choose_device
from mezzotint.training.record import RECORD, earlier_files
from mezzotint.training.trial import images_per_second

MINUTES = 60.0
# For all trials together, and for each one after its first step.
_SECONDS, _EACH = 20.0, 1.5
# Share of the bare training steps' speed that a whole run reaches, with feeding, averaging, logging and validation.
_WHOLE = 0.9


def choose(
    paths: Sequence[str | Path],
    folder: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    minutes: float | None = None,
    resume: bool = False,
    threads: int | None = None,
    quiet: bool = False,
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe for these pictures, and why; that is told on stderr too, unless `quiet`. A resumed run in `folder` keeps
    the recipe that it began with. Looking at the machine takes at most about 20 seconds.

    Raises `InputError` for pictures that cannot be read or are too few, `UsageError` for a folder that holds another run.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "several processes cannot choose one recipe; choose it first, `mezzotint train auto --data ... --dry-run > "
            "my.toml`, then give my.toml to all of them"
        )
    if folder is not None and earlier_files(Path(folder), resume):
        begun = _recorded(Path(folder) / RECORD)
        _tell([f"going on with the recipe that {folder} began with"], quiet)
        return model.read(begun, [*overrides, *([f"minutes={minutes}"] if minutes else [])]), ()
    pictures = survey(paths)
    planning.check(pictures)
    torch.set_num_threads(threads or free_threads())
    device, budget = choose_device(), minutes or MINUTES
    speeds: dict[Setting, float] = {}
    deadline, longest = time.monotonic() + _SECONDS, 0.0
    for setting in ladder(pictures, budget, device.type != "cpu"):
        begin = time.monotonic()
        # The next setting takes two to four times as long as the one before.
        if speeds and begin + 3 * longest > deadline:
            break
        recipe = model.check(planning.recipe(pictures, setting, budget, setting.needed))
        speeds[setting] = _WHOLE * images_per_second(recipe, device, _EACH)
        if 60 * budget * speeds[setting] < setting.needed:
            break
        longest = max(0.0, time.monotonic() - begin - _EACH)
    chosen = planning.plan(pictures, speeds, budget)
    _tell(chosen.reasons, quiet)
    return model.read(model.check(chosen.facts), overrides), chosen.reasons


def _tell(lines: Iterable[str], quiet: bool) -> None:
    if not quiet:
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def _recorded(record: Path) -> Recipe:
    try:
        return Recipe.model_validate(json.loads(record.read_text(encoding="utf-8"))["recipe"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{record} is damaged ({error}); the run cannot be resumed safely") from error


__all__ = ["MINUTES", "choose"]
