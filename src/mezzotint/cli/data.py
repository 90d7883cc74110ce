"""`mezzotint data`: look at what training will see."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from mezzotint.data.batches import Batch

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)

# So many images are decoded for each that is shown, since training draws them at random.
_CHOICE = 4


@app.callback()
def _data() -> None:
    """Look at training data as a recipe makes it."""


@app.command()
def preview(
    recipe: str = typer.Argument(..., help="Name of a shipped recipe (see `mezzotint recipes`) or a .toml file."),
    overrides: list[str] | None = typer.Argument(None, help="Changes, such as degradation.clean=0.5."),
    data: list[Path] = typer.Option(..., "--data", help="Folder, zip or IDX file of images; may be repeated."),
    output: Path = typer.Option(..., "-o", "--output", help="The contact sheet (.png, .webp, ...)."),
    n: int = typer.Option(8, "-n", help="How many samples.", min=1, max=1000),
    seed: int = typer.Option(0, help="Another seed shows other samples.", min=0),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing --output."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object about the sheet."),
) -> None:
    """Draw a sheet of what a recipe makes of your pictures: samples exactly as training would get them.

    Super-resolution: pairs of a high-resolution patch and the low-resolution one, its pixels enlarged. Generation: whole
    images as cropped and resized, with their classes if they have any.
    """
    from mezzotint.card import SUPER_RESOLUTION
    from mezzotint.errors import UsageError
    from mezzotint.image import formats, grid, io
    from mezzotint.recipes import model
    from mezzotint.training import feed

    formats.by_suffix(output)
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists; use --overwrite to replace it")
    checked = model.read(recipe, [*(overrides or []), f"seed={seed}", f"data.batch={n}"])
    images = feed.load(checked, data, most=_CHOICE * n)
    for reason in images.skipped:
        print(f"mezzotint: left out: {reason}", file=sys.stderr)
    batch = feed.batches(checked, images)[0].batch(0)
    if checked.task == SUPER_RESOLUTION:
        sheet = grid.contact_sheet(_pairs(batch, feed.scale_of(checked)), columns=4, captions=["HR", "LR"] * n)
    else:
        names = checked.data.class_names or images.classes
        captions = [names[label] for label in batch["labels"].tolist()] if names else None
        sheet = grid.contact_sheet(_pixels(batch["real"] / 2 + 0.5), captions=captions)
    for note in io.write(io.Picture(sheet), output, overwrite=overwrite):
        print(f"mezzotint: {output}: {note}", file=sys.stderr)
    if as_json:
        facts = {"output": str(output), "recipe": recipe, "task": checked.task, "n": n, "seed": seed}
        print(json.dumps({**facts, "skipped": len(images.skipped)}, ensure_ascii=False))
    else:
        print(f"{recipe}, seed {seed}: {n} sample{'s' * (n > 1)} -> {output}")


def _pairs(batch: Batch, scale: int) -> np.ndarray:
    """HR and LR in turn, as N H W C uint8, each LR pixel repeated to the size of HR."""
    import numpy as np

    hr, lr = _pixels(batch["hr"]), _pixels(batch["lr"])
    lr = lr.repeat(scale, axis=1).repeat(scale, axis=2)
    return np.stack([hr, lr], axis=1).reshape(-1, *hr.shape[1:])


def _pixels(images: Any) -> np.ndarray:
    """Tensors B C H W, 0 to 1 -> B H W C uint8."""
    return (images * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
