"""What became of every file of a command: lines as it goes, a report, a summary and an exit code at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mezzotint.cli._jobs import PIPE, Job
from mezzotint.errors import MezzotintError, OutputError, UsageError
from mezzotint.files import check_place, write_bytes


class Report:
    """`path` is a `.json` file, written at the end, or a `.jsonl` file, to which each line is added as it comes, so that
    it survives a kill. Lines on stdout are for people, or JSON; none where the pictures themselves go there.
    """

    def __init__(self, common: dict[str, Any], jobs: list[Job], as_json: bool, path: Path | None) -> None:
        self.common, self.jobs, self.as_json, self.path = common, jobs, as_json, path
        self.rows: list[dict[str, Any]] = []
        self.errors: list[MezzotintError] = []
        self.megapixels, self.start = 0.0, time.perf_counter()
        self.on_row: Callable[[], None] = lambda: None
        self.on_frame: Callable[[int, int], None] = lambda done, total: None
        self._lines = path is not None and path.suffix.lower() == ".jsonl"

    @property
    def total(self) -> int:
        """How many files there are to do."""
        return len(self.jobs) - sum(row["status"] == "skipped" for row in self.rows)

    def failed(self, job: Job, error: MezzotintError, seconds: float) -> None:
        """Note a failure; the next job comes."""
        self.errors.append(error)
        self.add(job, {"status": "failed", "error": str(error), "exit_code": error.exit_code}, seconds)

    def add(self, job: Job, facts: dict[str, Any], seconds: float | None = None) -> None:
        """Note a fate: "ok", "failed" or "skipped". Raises `OutputError` where the report cannot be written."""
        row = {"input": str(job.source), "output": str(job.target), **self.common, "warnings": [], **facts}
        if seconds is not None:
            row["seconds"] = round(seconds, 3)
        self.rows.append(row)
        for note in row["warnings"]:
            warn(f"{job.source}: {note}")
        if row["status"] == "failed" and self.total > 1:
            print(f"mezzotint: error: {' '.join(row['error'].split())}", file=sys.stderr)
        if row["status"] == "ok":
            self.megapixels += row["width"] * row["height"] * row.get("frames", 1) / 1e6
        self._append(row)
        if self.as_json:
            _say(json.dumps(row))
        elif job.target != PIPE:
            _print_row(row)
        self.on_row()

    def finish(self) -> None:
        """Write the report, every file in it, and print the summary; called whatever happened."""
        counts = {status: sum(row["status"] == status for row in self.rows) for status in ("ok", "failed", "skipped")}
        seconds = round(time.perf_counter() - self.start, 3)
        told = {row["input"] for row in self.rows}
        left = [
            {"input": str(job.source), "output": str(job.target), **self.common, "status": "not done"}
            for job in self.jobs
            if str(job.source) not in told
        ]
        size = {"n": self.total, **counts, "not_done": len(left), "seconds": seconds}
        summary = {"summary": True, **self.common, **size}
        if self._lines:
            self._append(*left, summary)
        elif self.path is not None:
            body = json.dumps({**summary, "pictures": [*self.rows, *left]}, indent=1)
            write_bytes(self.path, body.encode() + b"\n")
        # Last, because it fails where standard output is full or closed.
        if self.as_json:
            _say(json.dumps(summary))

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

    def _append(self, *rows: dict[str, Any]) -> None:
        if not self._lines or self.path is None:
            return
        try:
            with self.path.open("a+b") as stream:
                # A killed command may have left half a line.
                end = stream.seek(0, 2)
                stream.seek(max(0, end - 1))
                torn = end > 0 and stream.read(1) != b"\n"
                stream.write(b"\n" * torn + b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error


def check_report(path: Path | None) -> None:
    """See, before any work, that the report can be written. Raises `UsageError`, `OutputError`."""
    if path is None:
        return
    # It takes the place of what is there, which under any other name may be a picture.
    if path.suffix.lower() not in (".json", ".jsonl"):
        raise UsageError(f"--report takes a name that ends with .json or .jsonl, not {path}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; the report cannot take its name")
    check_place(path)


@contextmanager
def progress(report: Report, jobs: list[Job]) -> Iterator[None]:
    """A bar on stderr with the time left, files and megapixels a second, for a person who waits for several files, and one
    with frames a second for a film.
    """
    total = len(jobs)
    if (total < 2 and not any(job.is_film for job in jobs)) or report.as_json or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task, skipped = bar.add_task("", total=total, visible=total > 1), len(report.rows)
        film, start = bar.add_task("", visible=False), [0.0, 0.0]

        def show() -> None:
            done, seconds = len(report.rows) - skipped, time.perf_counter() - report.start
            speed = f"{done / seconds:.1f} files/s, {report.megapixels / seconds:.2f} MP/s"
            bar.update(task, completed=done, description=speed)
            bar.reset(film, visible=False)

        def show_frame(done: int, frames: int) -> None:
            now = time.perf_counter()
            if not bar.tasks[film].visible:
                start[:] = done, now
                bar.reset(film, total=frames, completed=done, visible=True)
            speed = (done - start[0]) / max(now - start[1], 1e-9)
            bar.update(film, completed=done, description=f"{speed:.2f} frames/s")

        report.on_row, report.on_frame = show, show_frame
        yield


def warn(note: str) -> None:
    """One line for a person."""
    print(f"mezzotint: warning: {note}", file=sys.stderr)


def _say(line: str) -> None:
    """A line on standard output. Raises `OutputError`; that its reader has gone, as `| head` does, stays what it is."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror or error}") from error


def _print_row(row: dict[str, Any]) -> None:
    if row["status"] == "ok":
        frames = f", {row['frames']} frames" if "frames" in row else ""
        size = f"{row['width']}x{row['height']}"
        _say(f"{row['input']} -> {row['output']} ({size}{frames}, {row['seconds']:.2f} s)")
    elif row["status"] == "skipped":
        _say(f"{row['input']} skipped" + ("" if row["warnings"] else f": {row['output']} exists"))
