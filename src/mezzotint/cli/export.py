"""`mezzotint export`: trained weights as ONNX."""

from __future__ import annotations

from pathlib import Path

import typer


def export(
    model: str = typer.Argument(help="A .safetensors file, a finished run folder, or a name from `mezzotint models`."),
    output: Path = typer.Argument(help="The .onnx file to write."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file."),
) -> None:
    """Write weights as ONNX, for any input size, with their card inside.

    The file is run at other sizes and compared with torch; it appears only if both agree within 1e-4. Needs
    mezzotint[train].
    """
    from mezzotint.export import export as write

    path = write(model, output, overwrite=overwrite)
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB, verified against torch")
