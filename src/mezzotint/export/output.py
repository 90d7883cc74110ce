"""Where an export is to be written."""

from __future__ import annotations

from pathlib import Path

from mezzotint import catalog
from mezzotint.errors import OutputError, UsageError


def check_output(output: Path, overwrite: bool, suffixes: tuple[str, ...] = (catalog.DEPLOYED,)) -> None:
    """Refuse before any work what could not be written after it. Raises `UsageError`, `OutputError`."""
    if output.suffix not in suffixes:
        raise UsageError(f"{output} must end in {' or '.join(suffixes)}")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists; use --overwrite to replace it")
    if not output.parent.is_dir():
        raise OutputError(f"cannot write {output}: there is no folder {output.parent}")
