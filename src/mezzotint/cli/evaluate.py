"""`mezzotint evaluate`: a model on a data set, by the protocol of the papers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mezzotint.evaluation import Failure, Report, Result

_ROW = "{:<32} {:>8} {:>8} {:>9}"


def evaluate(
    model: str = typer.Argument(help="A name from `mezzotint models`, a run folder, or a model file."),
    data: Path = typer.Argument(help="A folder or zip of high-resolution images, or one with sub-folders HR and LR."),
    protocol: str = typer.Option("y", help="The PSNR shown: y (luma, as papers report it) or rgb."),
    runtime: str = typer.Option("auto", help="auto, openvino, onnx or pytorch."),
    precision: str = typer.Option("auto", help="auto, f32 or bf16."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; all by default."),
    output: Path | None = typer.Option(None, "--output", "-o", help="Write everything to this JSON file as well."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing --output."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object per image and a last one with the means."),
) -> None:
    """Measure a super-resolution model: PSNR and SSIM against high-resolution images, as papers report them.

    Low-resolution images are made from DATA exactly as MATLAB's bicubic imresize makes them, unless DATA brings its own
    in a folder LR beside HR. Exits with 1 when some images could not be read, with 3 when none could.
    """
    from mezzotint import evaluation, files
    from mezzotint.errors import UsageError

    if output is not None and output.exists() and not overwrite:
        raise UsageError(f"{output} exists; use --overwrite to replace it")

    def show(row: Result | Failure) -> None:
        if isinstance(row, evaluation.Failure):
            print(f"mezzotint: {row.error}", file=sys.stderr)
        if as_json:
            print(row.to_json(), flush=True)
        elif isinstance(row, evaluation.Result):
            psnr = row.psnr_y if protocol == "y" else row.psnr_rgb
            print(_ROW.format(row.name, f"{psnr:.4f}", f"{row.ssim_y:.4f}", f"{row.seconds:.3f}"), flush=True)

    if not as_json:
        print(_ROW.format("image", f"PSNR-{protocol.upper()}", "SSIM-Y", "seconds"))
    report = evaluation.evaluate(
        model, data, protocol=protocol, runtime=runtime, precision=precision, threads=threads, on_result=show
    )
    print(json.dumps(report.summary(), ensure_ascii=False) if as_json else _means(report))
    if output is not None:
        files.write_bytes(output, report.to_json().encode(), overwrite=overwrite)
    if report.failures:
        raise typer.Exit(1)


def _means(report: Report) -> str:
    lines = [_ROW.format("mean", f"{report.psnr:.4f}", f"{report.ssim_y:.4f}", f"{report.seconds:.3f}")]
    if report.infinite:
        lines.append(
            f"{report.infinite} of {len(report.results)} reproduced exactly (PSNR inf) and not in the mean PSNR"
        )
    if report.failures:
        lines.append(f"{len(report.failures)} of {len(report.results) + len(report.failures)} could not be evaluated")
    return "\n".join(lines)
