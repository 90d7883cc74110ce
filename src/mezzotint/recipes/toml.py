"""A recipe as TOML that a person may copy and edit: what `tomllib` reads back as it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def written(facts: Mapping[str, Any], remarks: Iterable[str] = ()) -> str:
    """`facts` as TOML after `remarks`, a comment each. A table whose values are all tables is written as these; `None`,
    which TOML does not have, is left out.
    """
    values = {key: value for key, value in facts.items() if value is not None}
    # Comments may not hold control characters, line ends among them.
    lines = ["# " + "".join(c if c.isprintable() else " " for c in remark) for remark in remarks]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in values.items() if not _is_table(value)]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _table([key], value)
        elif _is_table(value):
            for item in value:
                lines += ["", f"[[{_key(key)}]]", *_pairs(item)]
    return "\n".join(lines) + "\n"


def _table(path: list[str], table: Mapping[str, Any]) -> list[str]:
    if table and all(isinstance(value, Mapping) for value in table.values()):
        return [line for key, value in table.items() for line in _table([*path, key], value)]
    return ["", f"[{'.'.join(map(_key, path))}]", *_pairs(table)]


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _is_table(value: Any) -> bool:
    """Whether TOML writes it below a heading: a table, or several of them."""
    several = isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping) or bool(several)


def _key(key: str) -> str:
    plain = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if plain else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_pairs(value)) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for one control character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


__all__ = ["written"]
