"""`mezzotint bench`: what models cost on this machine."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mezzotint import catalog, hardware
from mezzotint.errors import InputError, MezzotintError, UsageError

if TYPE_CHECKING:
    from mezzotint.advisor.probe import Measurement

_HEADERS = ("model", "runtime", "precision", "input", "output", "s/picture", "MP/s", "first (s)", "memory (MB)")
_LONGEST_SIDE = 100_000
# Exit codes of what an installation or a model may simply not have: a package, a precision, a twin file.
_NOT_HERE = (UsageError.exit_code, InputError.exit_code)


def bench(
    models: list[str] | None = typer.Argument(
        None, metavar="[MODEL...]", help="Names, run folders or files; all that ship by default."
    ),
    image: str = typer.Option("256x256", metavar="WxH|FILE", help="What to enlarge: noise of this size, or a picture."),
    runtime: list[str] | None = typer.Option(
        None, help="openvino, onnx or pytorch; may be repeated. [default: all that are installed]"
    ),
    precision: list[str] | None = typer.Option(
        None, help="auto, f32, bf16 or int8; may be repeated. [default: the fastest that is safe here, and f32]"
    ),
    seconds: float = typer.Option(2.0, help="How long to repeat each combination; at least three times.", min=0),
    threads: int | None = typer.Option(None, help="CPU threads; all by default.", min=1),
    as_json: bool = typer.Option(False, "--json", help="One JSON object per combination and a last summary."),
) -> None:
    """Measure models on this machine: seconds per picture (median), output megapixels per second, seconds to the first
    picture (loading included) and the growth of memory at its peak.

    Every combination of model, runtime and precision runs in a process of its own. Reading and writing files is not
    counted.
    """
    from mezzotint import runtimes

    picture = _picture(image)
    _check("runtime", runtime, ("auto", *runtimes.RUNTIMES))
    _check("precision", precision, runtimes.PRECISIONS)
    names = models or catalog.names()
    for name in names:
        runtimes.card(name)
    work = _Bench({"image": picture, "seconds": seconds, "threads": threads}, bool(runtime), as_json)
    with _status(as_json) as status:
        for name in names:
            # Interpolation is the same in every runtime.
            for place in ["auto"] if catalog.find(name) is None else runtime or list(runtimes.RUNTIMES):
                for wanted in precision or ("auto", "f32"):
                    status(f"{name}, {place}, {wanted}")
                    row = work.run(name, place, wanted)
                    if not precision and (row is None or row.precision == "f32"):
                        break
    work.finish()


class _Bench:
    """What was measured, what failed, and how both are told."""

    def __init__(self, settings: dict[str, Any], by_name: bool, as_json: bool) -> None:
        self.settings, self.by_name, self.as_json = settings, by_name, as_json
        self.rows: list[Measurement] = []
        self.errors: list[MezzotintError] = []
        self.start, self.load = time.perf_counter(), _load()

    def run(self, model: str, runtime: str, precision: str) -> Measurement | None:
        """Measure one combination. What is not there is left out, unless its runtime was asked for by name."""
        from mezzotint.advisor.probe import measure

        try:
            row = measure(model, runtime, precision, **self.settings)
        except MezzotintError as error:
            line = " ".join(str(error).split())
            if not self.by_name and error.exit_code in _NOT_HERE:
                print(f"mezzotint: left out {model} with {runtime} {precision}: {line}", file=sys.stderr)
                return None
            self.errors.append(error)
            print(f"mezzotint: error: {model} with {runtime} {precision}: {line}", file=sys.stderr)
            if self.as_json:
                asked = {"model": model, "runtime": runtime, "precision": precision}
                print(json.dumps({**asked, "error": line, "exit_code": error.exit_code}), flush=True)
            return None
        self.rows.append(row)
        if self.as_json:
            print(json.dumps(_facts(row)), flush=True)
        return row

    def finish(self) -> None:
        """The table or the summary; raises what the exit code is to say."""
        if self.as_json:
            counts = {"n": len(self.rows) + len(self.errors), "failed": len(self.errors)}
            threads = self.settings["threads"] or hardware.free_threads()
            here = {"cpu": hardware.cpu_name(), "threads": threads, "load": self.load}
            seconds = round(time.perf_counter() - self.start, 2)
            print(json.dumps({"summary": True, **counts, **here, "seconds": seconds}))
        elif self.rows:
            from mezzotint.cli import _table

            _table.show(_HEADERS, [_cells(row) for row in self.rows], right=_HEADERS[3:])
        if not self.rows and not self.errors:
            raise UsageError("nothing could be measured: no installed runtime can run this")
        if self.errors:
            failure = MezzotintError(f"{len(self.errors)} of {len(self.rows) + len(self.errors)} combinations failed")
            codes = {error.exit_code for error in self.errors}
            if not self.rows and len(codes) == 1:
                failure.exit_code = codes.pop()
            raise failure


def _facts(row: Measurement) -> dict[str, Any]:
    """A measurement as JSON, without digits that mean nothing."""
    rates = {key: round(getattr(row, key), 5) for key in ("seconds", "megapixels_per_second", "first_seconds")}
    return {**asdict(row), **rates}


def _cells(row: Measurement) -> tuple[str, ...]:
    return (
        row.model,
        row.runtime,
        row.precision,
        f"{row.input[0]}x{row.input[1]}" if row.input else "",
        f"{row.output[0]}x{row.output[1]}",
        f"{row.seconds:.4f}",
        f"{row.megapixels_per_second:.2f}",
        f"{row.first_seconds:.2f}",
        f"{row.memory / 1e6:.0f}" if row.memory is not None else "",
    )


def _picture(text: str) -> tuple[int, int] | Path:
    """--image: a size, or a file that is there."""
    if found := re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text):
        width, height = int(found[1]), int(found[2])
        if not (1 <= width <= _LONGEST_SIDE and 1 <= height <= _LONGEST_SIDE):
            raise UsageError(f"--image takes sides from 1 to {_LONGEST_SIDE} pixels, not {text}")
        return width, height
    if not Path(text).is_file():
        raise InputError(f"--image takes a size such as 640x360 or a picture, and there is no file {text}")
    return Path(text)


def _check(option: str, given: Sequence[str] | None, known: Sequence[str]) -> None:
    for value in given or ():
        if value not in known:
            raise UsageError(f"unknown {option} '{value}'; choose {', '.join(known)}")


def _load() -> float | None:
    """The load average, after a warning if it is too high for timings to mean much."""
    if not hasattr(os, "getloadavg"):
        return None
    load, threads = os.getloadavg()[0], hardware.free_threads()
    if load > 0.5 * threads:
        print(
            f"mezzotint: warning: other work is running (load {load:.1f} on {threads} threads): "
            "timings will be too slow and vary",
            file=sys.stderr,
        )
    return round(load, 2)


@contextmanager
def _status(as_json: bool) -> Iterator[Callable[[str], None]]:
    """What is being measured, on a terminal."""
    if as_json or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(escape(text))
