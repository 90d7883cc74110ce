"""What was measured on this machine, kept in the user's cache folder for the next time.

Nothing depends on it: a file that is damaged, or a folder that cannot be written, only means to measure once more.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from mezzotint import hardware
from mezzotint.errors import MezzotintError
from mezzotint.files import make_folder, write_bytes

# Answers that are kept, the last ones.
_MOST = 200


def file() -> Path:
    """Where it is kept: below $XDG_CACHE_HOME, else where this kind of system keeps such files."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):  # noqa: PTH117 (others are to be ignored, as its specification says)
        folder = Path(given)
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        folder = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return folder / "mezzotint" / "streams.json"


def recall(question: str) -> int | None:
    """The answer on this machine; None if there is none."""
    return _answers().get(_here(question))


def remember(question: str, answer: int) -> None:
    """Keep an answer, 1 to 1000, if that can be done."""
    answers = _answers()
    answers.pop(_here(question), None)
    answers[_here(question)] = answer
    kept = dict(list(answers.items())[-_MOST:])
    with suppress(MezzotintError, OSError, RuntimeError):  # the last: nobody's home
        make_folder(file().parent)
        write_bytes(file(), json.dumps(kept, indent=1).encode() + b"\n")


def _answers() -> dict[str, int]:
    with suppress(OSError, RuntimeError, ValueError, AttributeError, RecursionError):
        found = json.loads(file().read_text(encoding="utf-8"))
        return {key: value for key, value in found.items() if type(value) is int and 1 <= value <= 1000}
    return {}


def _here(question: str) -> str:
    """A home folder may be shared by many machines."""
    return f"{hardware.cpu_name()}, {os.cpu_count()} CPUs: {question}"
