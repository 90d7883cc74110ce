"""`mezzotint upscale`."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mezzotint.errors import MezzotintError, UsageError

if TYPE_CHECKING:
    from mezzotint.cli._jobs import Job
    from mezzotint.cli._signals import Interrupts
    from mezzotint.pipelines.upscale import Upscaler


def upscale(
    inputs: list[str] = typer.Argument(..., metavar="IN...", help="Pictures, folders of pictures, or glob patterns."),
    output: Path | None = typer.Option(None, "-o", "--output", help="File or folder; beside the input by default."),
    scale: float | None = typer.Option(None, "-s", "--scale", help="How many times larger: 1 to 16. [default: 4]"),
    model: str | None = typer.Option(None, "-m", "--model", help="Name, run folder or file; the best by default."),
    tile: str = typer.Option("auto", help="Side of the tiles in input pixels; 0: never tile. The result is the same."),
    ensemble: bool = typer.Option(False, "--ensemble", help="The mean of eight passes: a little better, 8x the time."),
    runtime: str = typer.Option("auto", help="auto, openvino, onnx or pytorch."),
    precision: str = typer.Option("auto", help="auto, f32, bf16 or int8."),
    format_name: str = typer.Option(
        "keep", "--format", help="keep (a GIF becomes PNG), png, jpeg, webp, avif, tiff..."
    ),
    quality: int | None = typer.Option(None, help="1 to 100, for JPEG, WebP and AVIF.", min=1, max=100),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace results that exist."),
    skip_existing: bool = typer.Option(False, "--skip-existing", help="Leave out inputs whose result exists."),
    recursive: bool = typer.Option(False, "--recursive", help="Go into sub-folders; their structure is kept."),
    shard: str | None = typer.Option(
        None, metavar="I/N", help="Do only the I-th of N shares, so that N machines do all between them."
    ),
    frames: str | None = typer.Option(None, help="'first' takes the first picture of an animation."),
    strip: bool = typer.Option(False, "--strip", help="Leave out EXIF, XMP and the note of how the picture was made."),
    max_pixels: int = typer.Option(100_000_000, help="Largest input, in pixels.", min=1),
    threads: int | None = typer.Option(None, help="CPU threads; all by default.", min=1),
    memory: str | None = typer.Option(
        None, metavar="SIZE", help="Bound on the memory for a result, such as 900M or 2G; what is free by default."
    ),
    report: Path | None = typer.Option(None, help="Write what was done to this JSON file."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per picture, and a summary."),
) -> None:
    """Enlarge pictures by super-resolution; depth, transparency, colour profile and metadata are kept."""
    from mezzotint import pipelines, runtimes
    from mezzotint.card import SUPER_RESOLUTION
    from mezzotint.cli._jobs import check_targets, plan
    from mezzotint.cli._signals import interruptible

    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other")
    if frames not in (None, "first"):
        raise UsageError(f"--frames takes 'first', not '{frames}'")
    tiling = {"tile": _tile_side(tile), "memory": _bytes(memory)}
    if model is None:
        from mezzotint.pipelines.upscale import best_model

        scale = 4.0 if scale is None else scale
        model, note = best_model(scale)
        if note:
            _warn(note)
    card = runtimes.card(model)
    if card.task != SUPER_RESOLUTION or card.scale is None:
        raise UsageError(f"{card.name} is a {card.task} model and cannot upscale; see `mezzotint models`")
    scale = float(card.scale if scale is None else scale)
    if not 1 <= scale <= 16:
        raise UsageError(f"the scale must be between 1 and 16, not {scale:g}")

    jobs = plan(inputs, output, format_name, f"_x{scale:g}", recursive=recursive)
    jobs = jobs[_share(shard)]
    skipped = [job for job in jobs if skip_existing and job.target.exists()]
    left_out = set(skipped)
    jobs = [job for job in jobs if job not in left_out]
    check_targets(jobs, overwrite=overwrite)

    record = _Record(card.name, scale, len(jobs), as_json)
    for job in skipped:
        record.add(job, {"status": "skipped"})
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(1) as pool,
        interruptible("what was written is complete") as interrupts,
    ):
        # Pillow warns about oddities in metadata that we pass over.
        warnings.filterwarnings("ignore", module="PIL")
        # The first picture is decoded while the runtime starts.
        loading = pool.submit(pipelines.load, model, runtime, precision, threads, ensemble=ensemble)
        reading = {"max_pixels": max_pixels, "first_frame": frames == "first"}
        writing = {"quality": quality, "overwrite": overwrite}
        try:
            for job in _with_progress(jobs, as_json):
                record.run(job, partial(_one, job, loading, scale, tiling, strip, reading, writing, interrupts))
        finally:
            record.finish(report)
    record.end()


def _share(shard: str | None) -> slice:
    """Every n-th job from the i-th on, for "I/N": shares of nearly equal length, whatever the order of sizes."""
    if shard is None:
        return slice(None)
    number, slash, count = shard.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--shard takes I/N with I from 1 to N, such as 2/5, not '{shard}'")
    return slice(int(number) - 1, None, int(count))


def _one(
    job: Job,
    loading: Future,
    scale: float,
    tiling: dict[str, int | None],
    strip: bool,
    reading: dict[str, Any],
    writing: dict[str, Any],
    interrupts: Interrupts,
) -> dict[str, Any]:
    """Read, upscale, write one picture; returns what there is to report."""
    from mezzotint.image.formats import check_size
    from mezzotint.image.io import read, write
    from mezzotint.image.rows import Rows

    picture = read(job.source, **reading)
    check_size(job.format, round(picture.width * scale), round(picture.height * scale))
    try:
        upscaler: Upscaler = loading.result()
    except MezzotintError as error:
        raise _Fatal(error) from error
    result = upscaler.picture(picture, scale, in_rows=job.format == "PNG", **tiling)
    bare = result.metadata.stripped()
    result = result.replace(metadata=bare) if strip else upscaler.stamped(result, scale)
    # Rows are computed while they are written, which may take minutes.
    with nullcontext() if isinstance(result.pixels, Rows) else interrupts.shield():
        notes = write(result, job.target, job.format, **writing)
    return {
        "status": "ok",
        "runtime": type(getattr(upscaler.model, "model", upscaler.model)).__module__.rpartition(".")[2],
        "precision": upscaler.model.precision,
        "width": result.width,
        "height": result.height,
        "warnings": [*result.notes, *notes],
    }


class _Fatal(Exception):
    """An error of the model, not of one picture: it ends the command."""


class _Record:
    """What became of every picture: lines as it goes, a summary and an exit code at the end."""

    def __init__(self, model: str, scale: float, total: int, as_json: bool) -> None:
        self.common = {"scale": scale, "model": model}
        self.total, self.as_json = total, as_json
        self.rows: list[dict[str, Any]] = []
        self.errors: list[MezzotintError] = []
        self.start = time.perf_counter()

    def run(self, job: Job, work: Callable[[], dict[str, Any]]) -> None:
        """Do one job; its failure is noted and the next one comes."""
        start = time.perf_counter()
        try:
            facts = work()
        except _Fatal as error:
            assert error.__cause__ is not None
            raise error.__cause__ from None
        except MezzotintError as error:
            self.errors.append(error)
            facts = {"status": "failed", "error": str(error), "exit_code": error.exit_code}
        self.add(job, {**facts, "seconds": round(time.perf_counter() - start, 3)})

    def add(self, job: Job, facts: dict[str, Any]) -> None:
        row = {"input": str(job.source), "output": str(job.target), **self.common, "warnings": [], **facts}
        self.rows.append(row)
        for note in row["warnings"]:
            _warn(f"{job.source}: {note}")
        if row["status"] == "failed" and self.total > 1:
            print(f"mezzotint: error: {' '.join(row['error'].split())}", file=sys.stderr)
        if self.as_json:
            print(json.dumps(row), flush=True)
        elif row["status"] == "ok":
            print(f"{job.source} -> {job.target} ({row['width']}x{row['height']}, {row['seconds']:.2f} s)", flush=True)
        elif row["status"] == "skipped":
            print(f"{job.source} skipped: {job.target} exists", flush=True)

    def finish(self, report: Path | None) -> None:
        """Print the summary and write the report; called whatever happened."""
        counts = {status: sum(row["status"] == status for row in self.rows) for status in ("ok", "failed", "skipped")}
        seconds = round(time.perf_counter() - self.start, 3)
        left = self.total - counts["ok"] - counts["failed"]
        summary = {"summary": True, **self.common, "n": self.total, **counts, "not_done": left, "seconds": seconds}
        if self.as_json:
            print(json.dumps(summary), flush=True)
        if report is not None:
            from mezzotint.files import write_bytes

            write_bytes(report, json.dumps({**summary, "pictures": self.rows}, indent=1).encode() + b"\n")

    def end(self) -> None:
        """Raise what the exit code is to say: nothing, the one reason of all failures, or 1 for a mixture."""
        if not self.errors:
            return
        if self.total == 1:
            raise self.errors[0]
        failure = MezzotintError(f"{len(self.errors)} of {self.total} pictures failed")
        codes = {error.exit_code for error in self.errors}
        if len(self.errors) == self.total and len(codes) == 1:
            failure.exit_code = codes.pop()
        raise failure


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("", total=total)
        yield lambda done, name: progress.update(task, completed=done, description=name)


def _with_progress(jobs: list[Job], as_json: bool) -> Iterable[Job]:
    """The jobs, with a bar on a terminal if there are several."""
    if len(jobs) < 2 or as_json or not sys.stderr.isatty():
        yield from jobs
        return
    with _progress(len(jobs)) as show:
        for done, job in enumerate(jobs):
            show(done, job.source.name)
            yield job


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


def _warn(note: str) -> None:
    print(f"mezzotint: warning: {note}", file=sys.stderr)
