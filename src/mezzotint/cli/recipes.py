"""`mezzotint recipes`."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import typer


def recipes(
    name: str | None = typer.Argument(None, help="Print this recipe; without it, list all."),
    output: Path | None = typer.Option(None, "-o", "--output", help="Copy the recipe to a file, to edit it."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object per recipe."),
) -> None:
    """List, print or copy the training recipes."""
    from mezzotint.errors import UsageError
    from mezzotint.files import write_bytes
    from mezzotint.recipes import model

    if name is not None:
        text = model.text(name)
        if output is not None:
            if output.exists():
                raise UsageError(f"{output} exists; choose another name")
            write_bytes(output, text.encode(), overwrite=False)
            print(f"{name} -> {output}")
        elif as_json:
            print(json.dumps({"name": Path(name).stem, **tomllib.loads(text)}))
        else:
            sys.stdout.write(text)
        return
    if output is not None:
        raise UsageError("--output needs the name of a recipe")
    width = max(map(len, model.names()))
    for recipe in model.names():
        facts = tomllib.loads(model.text(recipe))
        if as_json:
            print(json.dumps({"name": recipe, **facts}))
        else:
            print(f"{recipe:{width}}  {facts['task']:16}  {facts['description']}")
