"""What the programs here share: data sets named on the command line, and results written as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from mezzotint import files


def named_path(text: str) -> tuple[str, str]:
    """(name, path) of an option that takes NAME=PATH: results go by name, since a path means nothing elsewhere."""
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"expected NAME=PATH, not '{text}'")
    return name, path


def plain(path: str | Path) -> str:
    """A path without its folder: results are read on other machines."""
    return Path(path).name


def shown(output: Path) -> str:
    """An output as the command in its own file gives it."""
    return plain(output) if output.is_absolute() else str(output)


def write(facts: dict[str, Any], output: Path) -> None:
    """Write results, all or nothing."""
    files.write_bytes(output, (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode())
