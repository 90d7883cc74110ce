"""`mezzotint export`: trained weights, also those of others, as ONNX, also in int8."""

from __future__ import annotations

from pathlib import Path

import typer

from mezzotint.errors import UsageError

# Low-resolution pixels on a side, and how many pictures: more of either did not change the ranges that matter.
_SIDE, _PICTURES = 160, 16


def export(
    model: str = typer.Argument(
        help="A .safetensors file, a finished run folder, a name from `mezzotint models`, or weights of others: .pth or "
        ".safetensors of ESRGAN (RRDB), Real-ESRGAN's compact network (SRVGG) or SPAN."
    ),
    output: Path = typer.Argument(help="The .onnx file to write; of weights of others also .safetensors, to train on."),
    name: str = typer.Option("", help="Weights of others: the name on their card. [default: the file's]"),
    licence: str = typer.Option("", help="Weights of others: their licence, for the card."),
    scale: int | None = typer.Option(None, help="Weights of others: how many times they enlarge; found if left out."),
    int8: bool = typer.Option(False, "--int8", help="With the inner convolutions in int8, for --precision int8."),
    calibrate: Path | None = typer.Option(None, metavar="FOLDER", help="Photographs to set the ranges of int8 by."),
    measure: list[Path] | None = typer.Option(
        None,
        metavar="FOLDER",
        help="Pictures to measure int8 on, for its card; may be repeated. [default: --calibrate]",
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file."),
    threads: int | None = typer.Option(None, help="CPU threads for int8; all by default.", min=1),
) -> None:
    """Write weights as ONNX, for any input size, with their card inside.

    Weights of others get a card that says which file they came from. No pickle is run to read them.

    The file is run at other sizes and compared with torch; it appears only if both agree within 1e-4. Needs
    mezzotint[train]. With --int8 it is made from the model's .onnx and compared with that on pictures; named
    NAME.int8.onnx beside NAME.onnx, it is what --precision int8 takes.
    """
    if int8:
        if calibrate is None:
            raise UsageError("--int8 needs --calibrate with a folder of photographs, a dozen or more")
        _int8(model, output, calibrate, measure or [calibrate], overwrite, threads)
        return
    if calibrate or measure:
        raise UsageError("--calibrate and --measure are for --int8")
    from mezzotint.export import export as write

    path = write(model, output, overwrite=overwrite, name=name, licence=licence, scale=scale)
    verified = ", verified against torch" if path.suffix == ".onnx" else ""
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB{verified}")


def _int8(model: str, output: Path, calibrate: Path, sets: list[Path], overwrite: bool, threads: int | None) -> None:
    from mezzotint import catalog
    from mezzotint.data.pairs import find_pairs, load_pair
    from mezzotint.data.sources import open_source
    from mezzotint.evaluation import evaluate
    from mezzotint.export import int8

    card = catalog.card(model)
    if card.scale is None:
        raise UsageError(f"{card.name} generates images; int8 is for upscalers")
    source = open_source(calibrate)
    pairs = find_pairs(source, card.scale)
    pictures = []
    for pair in pairs[:: -(-len(pairs) // _PICTURES)]:
        _, lr = load_pair(source, pair, card.scale)
        planes = lr[:_SIDE, :_SIDE].transpose(2, 0, 1)[None] / 255
        pictures.append(planes.repeat(card.in_channels // planes.shape[1], axis=1).astype("float32"))

    def worth(path: Path) -> dict[str, dict[str, float]]:
        found = {}
        for folder in sets:
            exact, rounded = (
                evaluate(which, folder, precision=precision, threads=threads)
                for which, precision in ((model, "f32"), (path, "auto"))
            )
            found[folder.stem] = {
                "psnr_y": round(rounded.psnr_y, 4),
                "ssim_y": round(rounded.ssim_y, 4),
                "psnr_y_lost": round(exact.psnr_y - rounded.psnr_y, 4),
            }
        return found

    card = int8.export(model, output, pictures, worth, overwrite=overwrite, threads=threads)
    print(f"{output}  {output.stat().st_size / 1e6:.2f} MB in int8, calibrated on {len(pictures)} pictures")
    for name, worths in card.metrics.items():
        print(f"{name}: {worths['psnr_y']:.2f} dB, {worths['psnr_y_lost']:.3f} dB less than in float32")
