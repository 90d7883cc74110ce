"""The log of a run: one JSON object a line, never lost by a kill and never ahead of the state that is resumed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mezzotint.errors import InputError, OutputError
from mezzotint.files import write_bytes


def append(path: Path, facts: dict[str, Any]) -> None:
    """Add one line. Raises `OutputError`."""
    # One opening a line costs microseconds, and a log that is moved or cleared meanwhile does no harm.
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(facts) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of steps after `step`, which will be made again, and damaged ones. Raises `OutputError`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    write_bytes(path, "".join(f"{line}\n" for line in lines if _step_of(line) <= step).encode())


def read(path: Path) -> list[dict[str, Any]]:
    """All lines that are whole. Raises `InputError`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return [json.loads(line) for line in lines if _step_of(line) < math.inf]


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # cut off by a kill
