"""How a recipe makes low-resolution pictures, without the rest of it: to evaluate models on such pictures."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mezzotint.errors import UsageError
from mezzotint.recipes import checks, model


def read(name_or_path: str | Path) -> tuple[model.Component, int]:
    """The table `[degradation]` and the `seed` (0 if there is none) of a recipe, or of a file that has nothing else.

    Raises `UsageError` (an unknown recipe, one without that table, mistakes in it) and `InputError`.
    """
    try:
        facts = tomllib.loads(model.text(name_or_path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name_or_path} is not valid TOML: {error}") from error
    table, seed = facts.get("degradation"), facts.get("seed", 0)
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise UsageError(f"{name_or_path} has no table [degradation] with a name, as the recipe photo-x4 has")
    if type(seed) is not int or seed < 0:
        raise UsageError(f"{name_or_path}: its seed must be a whole number from 0, not {seed}")
    if mistakes := checks.of_component("degradation", table):
        raise UsageError(f"{name_or_path} has {len(mistakes)} mistake(s): {'; '.join(mistakes)}")
    return model.Component(**table), seed
