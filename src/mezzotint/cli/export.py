"""`mezzotint export`: trained weights, also those of others, as ONNX."""

from __future__ import annotations

from pathlib import Path

import typer


def export(
    model: str = typer.Argument(
        help="A .safetensors file, a finished run folder, a name from `mezzotint models`, or weights of others: .pth or "
        ".safetensors of ESRGAN (RRDB), Real-ESRGAN's compact network (SRVGG) or SPAN."
    ),
    output: Path = typer.Argument(help="The .onnx file to write; of weights of others also .safetensors, to train on."),
    name: str = typer.Option("", help="Weights of others: the name on their card. [default: the file's]"),
    licence: str = typer.Option("", help="Weights of others: their licence, for the card."),
    scale: int | None = typer.Option(None, help="Weights of others: how many times they enlarge; found if left out."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file."),
) -> None:
    """Write weights as ONNX, for any input size, with their card inside.

    Weights of others get a card that says which file they came from. No pickle is run to read them.

    The file is run at other sizes and compared with torch; it appears only if both agree within 1e-4. Needs
    mezzotint[train].
    """
    from mezzotint.export import export as write

    path = write(model, output, overwrite=overwrite, name=name, licence=licence, scale=scale)
    verified = ", verified against torch" if path.suffix == ".onnx" else ""
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB{verified}")
