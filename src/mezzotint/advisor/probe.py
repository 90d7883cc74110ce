"""One model, one runtime, one precision, measured in a process of its own.

A fresh process each time, because runtimes disturb one another in the same one (the waiting threads of one slow the next
down to half its speed), because only a fresh one tells how long the first picture takes, and because the peak of its memory
is then the model's alone.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mezzotint.errors import LimitError, MezzotintError, UsageError

_LEAST_RUNS = 3


@dataclass(frozen=True)
class Measurement:
    """What a picture costs, from pixels in memory to pixels in memory: conversion and tiling included, files not."""

    model: str
    runtime: str  # what really ran: "openvino", "onnx", "pytorch", or "bicubic", which needs none
    precision: str  # what it really computed in
    input: tuple[int, int] | None  # width, height; None: a generator, which starts from noise
    output: tuple[int, int]  # width, height
    seconds: float  # for one picture, median; generators make 16 at a time, of which this is a sixteenth
    runs: int  # after the first
    megapixels_per_second: float  # of output
    first_seconds: float  # loading the runtime and the model, and the first run
    memory: int | None  # bytes that the peak grew by, runtime and model included; None where unknown


def measure(
    model: str | Path,
    runtime: str = "auto",
    precision: str = "auto",
    *,
    image: tuple[int, int] | Path = (256, 256),
    seconds: float = 2.0,
    threads: int | None = None,
) -> Measurement:
    """Run `model` over and over for `seconds`, at least three times, after a first run that is timed by itself.

    `image` is an image file or the width and height of a picture of noise, on whose content speed does not depend;
    generators ignore it. Raises what loading and running raise, as a `MezzotintError` with the same message and exit code.
    """
    order = {
        "model": str(model),
        "runtime": runtime,
        "precision": precision,
        "image": str(image) if isinstance(image, Path) else image,
        "seconds": seconds,
        "threads": threads,
    }
    # -P: what lies in the working folder must not be taken for a module.
    command = [sys.executable, "-P", "-m", "mezzotint.advisor.probe", json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        # Runtimes may print too; the last line is ours.
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise MezzotintError(f"measuring {model} with {runtime} {precision} failed: {_cause(done)}") from None
    if "error" in answer:
        failure = MezzotintError(answer["error"])
        failure.exit_code = answer["exit_code"]
        raise failure
    for key in ("input", "output"):
        answer[key] = answer[key] and tuple(answer[key])
    return Measurement(**answer)


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"its process was ended by {signal.Signals(-done.returncode).name}, as happens when memory runs out"
    return (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    """In the fresh process: the measurement, or the error."""
    try:
        return asdict(_measure(**order))
    except MezzotintError as error:
        return {"error": str(error), "exit_code": error.exit_code}
    except ModuleNotFoundError as error:
        missing = UsageError(f"this needs {error.name}, which is not installed")
        return {"error": str(missing), "exit_code": missing.exit_code}
    except MemoryError:
        return {"error": f"not enough memory to run {order['model']}", "exit_code": LimitError.exit_code}


def _measure(
    model: str, runtime: str, precision: str, image: str | list[int], seconds: float, threads: int | None
) -> Measurement:
    # Nothing is imported yet, so that loading counts all that a first picture has to wait for.
    memory, start = _peak_memory(), time.perf_counter()
    from mezzotint import pipelines

    pipeline = pipelines.load(model, runtime, precision, threads)
    loading = time.perf_counter() - start
    run, size, pictures = _work(pipeline, image)
    start = time.perf_counter()
    output = run()
    first = time.perf_counter() - start
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < _LEAST_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    peak, median = _peak_memory(), statistics.median(taken) / pictures
    return Measurement(
        model=pipeline.card.name,
        runtime=type(getattr(pipeline.model, "model", pipeline.model)).__module__.rpartition(".")[2],
        precision=pipeline.model.precision,
        input=size,
        output=output,
        seconds=median,
        runs=len(taken),
        megapixels_per_second=output[0] * output[1] / 1e6 / median,
        first_seconds=loading + first,
        memory=None if peak is None or memory is None else peak - memory,
    )


def _work(pipeline: Any, image: str | list[int]) -> tuple[Callable[[], tuple[int, int]], tuple[int, int] | None, int]:
    """What to run, which returns the size of its output; the input's size; and how many pictures one run makes."""
    import numpy as np

    from mezzotint.card import GENERATION

    if pipeline.card.task == GENERATION:
        from mezzotint.pipelines.generate import BATCH

        def generate() -> tuple[int, int]:
            height, width = pipeline.arrays(BATCH).shape[1:3]
            return width, height

        return generate, None, BATCH
    from mezzotint.image.io import Picture, read

    if isinstance(image, str):
        picture = read(image)
    else:
        width, height = image
        picture = Picture(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))

    def upscale() -> tuple[int, int]:
        result = pipeline.picture(picture)
        return result.width, result.height

    return upscale, (picture.width, picture.height), 1


def _peak_memory() -> int | None:
    """The most bytes this process ever held in memory."""
    # Not `getrusage` on Linux: its peak begins with that of the process we were started from.
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    # Whatever a runtime prints later, even while it ends, must not follow the answer.
    print(json.dumps(_answer(json.loads(sys.argv[1]))), flush=True)
    os._exit(0)
