"""`mezzotint report`."""

from __future__ import annotations

from pathlib import Path

import typer


def report(
    run: Path = typer.Argument(..., help="A run folder, as `mezzotint train` makes them."),
) -> None:
    """Make the page of a training run anew: RUN/report.html, with curves, sample sheets and the recipe."""
    from mezzotint.training.report import write

    print(f"{run} -> {write(run)}")
