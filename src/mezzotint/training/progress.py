"""What a person sees of a run: a bar with the time left on a terminal, a line for each validation otherwise."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from mezzotint.recipes.model import Recipe
from mezzotint.training.loop import State


@contextlib.contextmanager
def display(recipe: Recipe, quiet: bool) -> Iterator[Callable[[State, float, dict], None]]:
    """Yield a function that the loop calls with its state, the progress (0 to 1) and each line of the log."""
    if quiet or not sys.stderr.isatty():
        yield _ignore if quiet else _print
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(recipe.description, total=1.0)
        begun: list[tuple[float, float]] = []

        def show(state: State, progress: float, line: dict) -> None:
            _say(state, line)
            begun.append((time.monotonic(), progress))
            (start, first), (now, latest) = begun[0], begun[-1]
            left = (now - start) / (latest - first) * (1 - progress) / 60 if latest > first else 0
            score = f", best {state.score:.2f} dB" if state.score is not None else ""
            bar.update(task, completed=progress, description=f"step {state.step}{score}, {left:.0f} min left")

        yield show


def _print(state: State, progress: float, line: dict) -> None:
    _say(state, line)
    if "validation" in line:
        metrics = ", ".join(f"{key} {value}" for key, value in line["validation"].items())
        done = f"step {state.step}, {100 * min(1.0, progress):.0f} %, {line['minutes']:.1f} min"
        print(f"{done}: {metrics}", file=sys.stderr, flush=True)


def _say(state: State, line: dict) -> None:
    """What the doctor has to say that it has not said yet."""
    for words in line.get("said", []):
        print(f"step {state.step}, doctor: {words}", file=sys.stderr, flush=True)


def _ignore(state: State, progress: float, line: dict) -> None:
    """Say nothing."""
