"""`mezzotint interpolate`: weights between two."""

from __future__ import annotations

from pathlib import Path

import typer


def interpolate(
    a: str = typer.Argument(help="Weights: a .safetensors file, a finished run folder, or a name."),
    b: str = typer.Argument(help="Weights of the same network that were trained on from A, or A from them."),
    output: Path = typer.Option(..., "-o", "--output", help="The .safetensors file to write, or an .onnx file to run."),
    share: float = typer.Option(0.5, min=0, max=1, help="How much of B: 0 is exactly A, 1 exactly B."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file."),
) -> None:
    """Write weights on the straight line between A and B, such as between an upscaler and the same one with invented
    texture: how much of it you want is then a number.

    The card of the result names both parents; nothing is trained and nothing measured. Needs mezzotint[train].
    """
    from mezzotint.export.interpolation import interpolate as write

    card = write(a, b, output, share=share, overwrite=overwrite)
    first, second = card.parents
    parts = ", ".join(f"{parent['share']:.0%} {parent['name']}" for parent in (first, second))
    print(f"{output}  {output.stat().st_size / 1e6:.2f} MB, {parts}")
