"""`mezzotint upscale`."""

from __future__ import annotations

import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mezzotint.errors import UsageError, missing_extra

if TYPE_CHECKING:
    from mezzotint.cli._jobs import Job


def upscale(
    context: typer.Context,
    inputs: list[str] = typer.Argument(
        ..., metavar="IN...", help="Pictures, films, folders, glob patterns, @LIST of names, or - for stdin."
    ),
    output: Path | None = typer.Option(
        None, "-o", "--output", help="File, folder, - for stdout; beside the input by default."
    ),
    scale: float | None = typer.Option(None, "-s", "--scale", help="How many times larger: 1 to 16. [default: 4]"),
    model: str | None = typer.Option(None, "-m", "--model", help="Name, run folder or file; the best by default."),
    tile: str = typer.Option("auto", help="Side of the tiles in input pixels; 0: never tile. The result is the same."),
    ensemble: bool = typer.Option(False, "--ensemble", help="The mean of eight passes: a little better, 8x the time."),
    runtime: str = typer.Option("auto", help="auto, openvino, onnx or pytorch."),
    precision: str = typer.Option("auto", help="auto, f32, bf16 or int8."),
    format_name: str = typer.Option(
        "keep",
        "--format",
        help="keep (still GIF and HEIC become PNG), png, jpeg, webp, avif, tiff, gif... or mp4, mov, mkv",
    ),
    quality: int | None = typer.Option(None, help="1 to 100, for JPEG, WebP, AVIF and films.", min=1, max=100),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace results that exist."),
    skip_existing: bool = typer.Option(False, "--skip-existing", help="Leave out inputs whose result exists."),
    recursive: bool = typer.Option(False, "--recursive", help="Go into sub-folders; their structure is kept."),
    shard: str | None = typer.Option(
        None, metavar="I/N", help="Do only the I-th of N shares, so that N machines do all between them."
    ),
    frames: str = typer.Option("all", help="'first' takes the first picture of an animation or a document."),
    strip: bool = typer.Option(False, "--strip", help="Leave out EXIF, XMP and the note of how the picture was made."),
    max_pixels: int = typer.Option(100_000_000, help="Largest input, in pixels.", min=1),
    threads: int | None = typer.Option(None, help="CPU threads; all by default.", min=1),
    memory: str | None = typer.Option(
        None, metavar="SIZE", help="Bound on the memory for a result, such as 900M or 2G; what is free by default."
    ),
    workers: int = typer.Option(1, help="Files decoded ahead of the network, and encoded behind it.", min=1),
    streams: str = typer.Option(
        "auto", metavar="N", help="Small pictures in the network at once; auto: as many as a short trial finds fastest."
    ),
    report: Path | None = typer.Option(
        None, help="Every file and its fate: .json at the end, .jsonl line by line, which survives a kill."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per picture, and a summary."),
) -> None:
    """Enlarge pictures and films by super-resolution; depth, transparency, colours, sound and metadata are kept."""
    from mezzotint import pipelines, runtimes
    from mezzotint.card import SUPER_RESOLUTION
    from mezzotint.cli import _overlap, _streams
    from mezzotint.cli._jobs import PIPE, check_targets, clear_leftovers, plan
    from mezzotint.cli._report import Report, check_report, progress, warn
    from mezzotint.cli._signals import interruptible
    from mezzotint.cli._work import ModelFailed, Work

    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other")
    if frames not in ("all", "first"):
        raise UsageError(f"--frames takes 'all' or 'first', not '{frames}'")
    if output == PIPE and (as_json or sys.stdout is None or sys.stdout.isatty()):
        raise UsageError("-o - writes the picture itself to standard output: send that to a file, and leave --json out")
    tile_side, most_memory, asked = _tile_side(tile), _bytes(memory), _streams.asked(streams, runtime)
    if model is None:
        from mezzotint.pipelines.upscale import best_model

        scale = 4.0 if scale is None else scale
        model, note = best_model(scale)
        if note:
            warn(note)
    card = runtimes.card(model)
    if card.task != SUPER_RESOLUTION or card.scale is None:
        raise UsageError(f"{card.name} is a {card.task} model and cannot upscale; see `mezzotint models`")
    scale = float(card.scale if scale is None else scale)
    if not 1 <= scale <= 16:
        raise UsageError(f"the scale must be between 1 and 16, not {scale:g}")

    jobs = plan(inputs, output, format_name, f"_x{scale:g}", recursive=recursive, first_frame=frames == "first")
    jobs = jobs[_share(shard)]
    unable = _unable(jobs)
    skipped = {job for job in jobs if skip_existing and job.target != PIPE and os.path.exists(job.target)}  # noqa: PTH110 (neither raises this)
    to_do = [job for job in jobs if job not in skipped and job not in unable]
    check_targets(to_do, overwrite=overwrite)
    check_report(report)
    if skip_existing:
        # Left behind by the run that is being resumed, also beside what it had just finished.
        clear_leftovers(jobs)

    record = Report({"scale": scale, "model": card.name}, jobs, as_json, report)
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(1) as pool,
        interruptible("what was written is complete") as interrupts,
    ):
        # Pillow warns about oddities in metadata that we pass over.
        warnings.filterwarnings("ignore", module="PIL")
        load = partial(pipelines.load, model, runtime, precision, threads, ensemble=ensemble)
        settings: dict[str, Any] = {
            "scale": scale,
            "tile": tile_side,
            "memory": most_memory,
            "first_frame": frames == "first",
            "max_pixels": max_pixels,
            "quality": quality,
            "overwrite": overwrite,
            "strip": strip,
        }
        try:
            for job in jobs:
                if job in skipped:
                    record.add(job, {"status": "skipped"})
                elif job in unable:
                    record.add(job, {"status": "skipped", "warnings": [unable[job]]})
            with progress(record, to_do):
                if context.obj is None:
                    # The first picture is decoded while the runtime starts.
                    loading = pool.submit(load)
                    work = Work(loading, **settings, stop=interrupts.stop, on_frame=lambda *n: record.on_frame(*n))
                    able = runtime in _streams.RUNTIMES and card.network != "bicubic"
                    in_streams = _streams.chooser(load, to_do, asked, threads, able=able)
                    _overlap.run(to_do, work, record, workers, interrupts, in_streams)
                else:
                    # `mezzotint cluster upscale` is this command, and says with what the work is to be done instead.
                    context.obj(to_do, load, settings, record, interrupts)
        except ModelFailed as error:
            assert error.__cause__ is not None
            raise error.__cause__ from None
        finally:
            record.finish()
    record.end()


def _unable(jobs: list[Job]) -> dict[Job, str]:
    """Films that cannot be read without PyAV, and why. Raises that as a `UsageError` where there is nothing else to do."""
    films = [job for job in jobs if job.is_film]
    if not films or find_spec("av"):
        return {}
    error = missing_extra("PyAV", "video")
    if len(films) == len(jobs):
        raise error
    return dict.fromkeys(films, f"a film: {error}")


def _share(shard: str | None) -> slice:
    """Every n-th job from the i-th on, for "I/N": shares of nearly equal length, whatever the order of sizes."""
    if shard is None:
        return slice(None)
    number, slash, count = shard.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--shard takes I/N with I from 1 to N, such as 2/5, not '{shard}'")
    return slice(int(number) - 1, None, int(count))


def _tile_side(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"--tile takes 'auto' or a number of pixels, not '{text}'")
    return int(text)


def _bytes(text: str | None) -> int | None:
    """--memory: a number of bytes, or of thousands, millions or thousand millions with K, M or G."""
    if text is None:
        return None
    units = {"K": 10**3, "M": 10**6, "G": 10**9}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 1)
    if not number.isdecimal() or int(number) == 0:
        raise UsageError(f"--memory takes a size such as 900M or 2G, not '{text}'")
    return int(number) * unit
