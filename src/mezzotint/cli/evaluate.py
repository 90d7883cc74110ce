"""`mezzotint evaluate`: a model on a data set, by the protocol of the papers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mezzotint.errors import UsageError

if TYPE_CHECKING:
    from mezzotint.evaluation import Failure, GeneratorReport, Report, Result, Score
    from mezzotint.evaluation.panel import Panel

_ROW = "{:<32} {:>8} {:>8} {:>8} {:>9}"
_LPIPS = " {:>13}"
_SCORE = "{:<24} {:>12} {:>12} {:>8}"


def evaluate(
    model: str = typer.Argument(help="A name from `mezzotint models`, a run folder, or a model file."),
    data: Path = typer.Argument(
        help="Super-resolution: a folder or zip of high-resolution images, or one with sub-folders HR and LR. "
        "Generation: the images it was trained on; a folder, zip or IDX file."
    ),
    protocol: str = typer.Option("y", help="Super-resolution: the PSNR shown, y (luma, as papers report it) or rgb."),
    reference: Path | None = typer.Option(
        None, help="Generation: held-out images, never trained on. [default: one half of DATA for the other]"
    ),
    n: int | None = typer.Option(None, "-n", min=1, help="Generation: how many images. [default: 10000]"),
    seed: int | None = typer.Option(
        None, min=0, help="Generation: decides which. [default: 0] With --degrade: decides how. [default: the recipe's]"
    ),
    features: Path | None = typer.Option(
        None, help="Generation: a .safetensors file of SqueezeNet 1.1 (torchvision's names) to measure distances by."
    ),
    inception: Path | None = typer.Option(
        None, help="Generation: pt_inception-2015-12-05-6726825d.pth, and no other file, to measure FID by."
    ),
    upscale: str | None = typer.Option(
        None, help="Generation: measure the images enlarged by this super-resolution model, against DATA at that size."
    ),
    classifier_images: int | None = typer.Option(
        None, min=0, help="Generation, labelled data: train the classifier on so many; 0: none. [default: 20000]"
    ),
    pictures: Path | None = typer.Option(
        None, help="Generation: write the likeliest copies beside their nearest real images to this picture."
    ),
    lpips: Path | None = typer.Option(
        None, help="Super-resolution: a .safetensors file of SqueezeNet 1.1, to add LPIPS v0.1 (RGB, no border cut)."
    ),
    lpips_heads: Path | None = typer.Option(
        None, help="With --lpips: a .safetensors file of LPIPS v0.1's heads for SqueezeNet."
    ),
    degrade: str | None = typer.Option(
        None,
        help="Super-resolution: a recipe, or a .toml file with a table [degradation], that makes the low-resolution "
        "images in place of MATLAB's bicubic, such as photo-x4.",
    ),
    panel: Path | None = typer.Option(
        None,
        help="Super-resolution: write crops beside bicubic and the original, where they differ most, as a picture.",
    ),
    against: str | None = typer.Option(None, help="With --panel: a second model of the same scale, shown beside."),
    ensemble: bool = typer.Option(False, "--ensemble", help="Super-resolution: the mean of eight passes, 8x the time."),
    runtime: str = typer.Option("auto", help="auto, openvino, onnx or pytorch."),
    precision: str = typer.Option("auto", help="auto, f32 or bf16."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; all by default."),
    output: Path | None = typer.Option(None, "--output", "-o", help="Write everything to this JSON file as well."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing --output, --pictures or --panel."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object per image or number and a last one for all."),
) -> None:
    """Measure a model. Super-resolution: PSNR and SSIM against high-resolution images, as papers report them. Generation:
    distance, fidelity, diversity, memorisation, and use for a classifier, each beside what real images score, with pass or
    FAIL and the limit where there is one.

    Low-resolution images are made from DATA exactly as MATLAB's bicubic imresize makes them, unless DATA brings its own
    in a folder LR beside HR, or --degrade says how. PSNR-LR compares the result, reduced again, with the low-resolution
    image: how much of it contradicts what went in. With a test set of the papers, the last line compares with what they
    give for bicubic. Exits with 1 when some images could not be read, with 3 when none could.
    """
    from mezzotint import files, runtimes
    from mezzotint.card import GENERATION
    from mezzotint.image.formats import WRITTEN_SUFFIXES
    from mezzotint.image.io import write
    from mezzotint.image.picture import Picture

    for path in (output, pictures, panel):
        if path is not None and path.exists() and not overwrite:
            raise UsageError(f"{path} exists; use --overwrite to replace it")
        if path is not None:
            files.check_place(path)
    for path in (pictures, panel):
        if path is not None and path.suffix.lower() not in WRITTEN_SUFFIXES:
            raise UsageError(f"{path}: a picture's name ends with one of {', '.join(WRITTEN_SUFFIXES)}")
    settings: dict[str, Any] = {"runtime": runtime, "precision": precision, "threads": threads}
    given: dict[str, Any] = {
        "n": n,
        "seed": seed,
        "reference": reference,
        "features": features,
        "classifier_images": classifier_images,
    }
    given |= {"inception": inception, "upscale": upscale}
    chosen = {name: value for name, value in given.items() if value is not None}
    upscaling = {
        "protocol": protocol if protocol != "y" else None,
        "ensemble": ensemble or None,
        "lpips": lpips,
        "lpips_heads": lpips_heads,
        "degrade": degrade,
        "panel": panel,
        "against": against,
    }
    report: Report | GeneratorReport
    collected: Panel | None = None
    if runtimes.card(model).task == GENERATION:
        for name, value in upscaling.items():
            if value is not None:
                raise UsageError(f"--{name.replace('_', '-')} is for super-resolution, and {model} generates images")
        report = _generation(model, data, {**chosen, **settings}, pictures, overwrite, as_json)
        failures = 0
    else:
        if degrade is not None:
            chosen.pop("seed", None)
        if chosen or pictures:
            name = [*chosen, "pictures"][0].replace("_", "-")
            others = " and for --degrade" if name == "seed" else ""
            raise UsageError(f"{'-n' if name == 'n' else f'--{name}'} is for generators{others}, and {model} is none")
        if (lpips is None) != (lpips_heads is None):
            raise UsageError("--lpips and --lpips-heads go together: SqueezeNet's file and that of the heads")
        if against is not None and panel is None:
            raise UsageError("--against needs --panel, the picture it is shown in")
        settings |= {"protocol": protocol, "ensemble": ensemble, "degrade": degrade, "seed": seed}
        if lpips is not None:
            settings["lpips"] = (lpips, lpips_heads)
        collected = _panel(model, against, settings) if panel is not None else None
        report = _super_resolution(model, data, settings, collected, as_json)
        failures = len(report.failures)
    if output is not None:
        files.write_bytes(output, report.to_json().encode(), overwrite=overwrite)
    if collected is not None and panel is not None:
        write(Picture(collected.sheet()), panel, overwrite=overwrite)
    if failures:
        raise typer.Exit(1)


def _super_resolution(model: str, data: Path, settings: dict[str, Any], panel: Panel | None, as_json: bool) -> Report:
    from mezzotint import evaluation

    protocol = settings["protocol"]
    header = _ROW.format("image", f"PSNR-{protocol.upper()}", "SSIM-Y", "PSNR-LR", "seconds")
    header += (_LPIPS.format("LPIPS-squeeze") if "lpips" in settings else "") + "\n"

    def show(row: Result | Failure) -> None:
        nonlocal header
        if isinstance(row, evaluation.Failure):
            print(f"mezzotint: {row.error}", file=sys.stderr)
        if as_json:
            print(row.to_json(), flush=True)
        elif isinstance(row, evaluation.Result):
            # Not above an error: the first row brings it.
            print(header + _row(row.name, row.psnr_y if protocol == "y" else row.psnr_rgb, row), flush=True)
            header = ""

    report = evaluation.evaluate(model, data, on_result=show, on_images=panel.add if panel else None, **settings)
    print(json.dumps(report.summary(), ensure_ascii=False) if as_json else _means(report))
    return report


def _panel(model: str, against: str | None, settings: dict[str, Any]) -> Panel:
    """An empty panel, with the second model loaded as the first will be."""
    from mezzotint import runtimes
    from mezzotint.evaluation.panel import Panel

    other = None
    if against is not None:
        options = {name: settings[name] for name in ("runtime", "precision", "threads", "ensemble")}
        other = runtimes.load(against, **options)
    # Not the names on the cards, which two runs of one recipe share.
    return Panel(model, runtimes.card(model).scale or 1, other, against)


def _row(name: str, psnr: float, row: Result | Report) -> str:
    line = _ROW.format(name, f"{psnr:.4f}", f"{row.ssim_y:.4f}", f"{row.psnr_lr:.2f}", f"{row.seconds:.3f}")
    return line if row.lpips_squeeze is None else line + _LPIPS.format(f"{row.lpips_squeeze:.4f}")


def _generation(
    model: str, data: Path, settings: dict[str, Any], pictures: Path | None, overwrite: bool, as_json: bool
) -> GeneratorReport:
    from mezzotint import evaluation

    header = _SCORE.format("", "generated", "real images", "ratio") + "\n"

    def show(score: Score) -> None:
        nonlocal header
        real, ratio = (f"{value:.4f}" if value is not None else "" for value in (score.real, score.ratio))
        line = _SCORE.format(score.metric, f"{score.value:.4f}", real, ratio).rstrip()
        print(score.to_json() if as_json else header + line, flush=True)
        header = ""

    report = evaluation.evaluate_generator(model, data, on_score=show, **settings)
    if as_json:
        print(json.dumps(report.summary(), ensure_ascii=False))
    else:
        print("\n".join(["", *map(str, report.verdicts), *(["", *report.notes] if report.notes else [])]))
    if pictures is not None:
        _write_triptychs(report, pictures, overwrite)
    return report


def _write_triptychs(report: GeneratorReport, path: Path, overwrite: bool) -> None:
    from mezzotint.image.grid import contact_sheet
    from mezzotint.image.io import write
    from mezzotint.image.picture import Picture

    images = report.triptychs.reshape(-1, *report.triptychs.shape[2:])
    captions = ["generated", "training", "held-out"] * len(report.triptychs)
    write(Picture(contact_sheet(images, columns=3, captions=captions)), path, overwrite=overwrite)


def _means(report: Report) -> str:
    lines = [_row("mean", report.psnr, report)]
    if report.infinite:
        lines.append(
            f"{report.infinite} of {len(report.results)} reproduced exactly (PSNR inf) and not in the mean PSNR"
        )
    if report.failures:
        lines.append(f"{len(report.failures)} of {len(report.results) + len(report.failures)} could not be evaluated")
    if report.degradation:
        lines.append(f"low resolution made by {report.degradation['recipe']}, seed {report.degradation['seed']}")
    if report.remark:
        lines.append(report.remark)
    return "\n".join(lines)
