"""Measure what `mezzotint cluster upscale` costs beside `mezzotint upscale`: to start, and for each file.

python benchmarks/measure_cluster.py --output benchmarks/results/cluster.json

Both with one thread, the cluster with one worker on this machine. Each prints a line as a file is finished: the first tells
when it began, the slope of all of them what a file takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import reports
from environment import environment
from PIL import Image

COMMANDS = {"upscale": ("upscale", "--threads", "1"), "cluster upscale": ("cluster", "upscale", "--workers", "1")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--files", type=int, default=240)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--model", default="compact-x4")
    options = parser.parse_args()
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        for number in range(options.files):
            pixels = random.integers(0, 256, (options.side, options.side, 3), np.uint8)
            Image.fromarray(pixels).save(Path(folder) / f"{number:04}.png")
        for _ in range(options.repeats):
            for name, command in COMMANDS.items():
                runs[name].append(timed(command, folder, options.model))
    start, each = (
        {name: round(statistics.median(run[part] for run in timings), 4) for name, timings in runs.items()}
        for part in (0, 1)
    )
    results = {
        "seconds_to_first_line": start,
        "seconds_for_each_file": each,
        "ratio_for_each_file": round(each["cluster upscale"] / each["upscale"], 2),
        "runs": {name: [[round(value, 4) for value in run] for run in timings] for name, timings in runs.items()},
    }
    settings = {name: getattr(options, name) for name in ("repeats", "files", "side", "model")}
    reports.write({"environment": environment(), "settings": settings, **results}, options.output)
    print(json.dumps(results, indent=1))


def timed(command: tuple[str, ...], folder: str, model: str) -> tuple[float, float]:
    """Seconds to the first line, process start included, and seconds for each line."""
    with tempfile.TemporaryDirectory() as target:
        begin = time.perf_counter()
        line = [sys.executable, "-m", "mezzotint", *command, folder, "-o", target, "-m", model]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            times = [time.perf_counter() - begin for _ in process.stdout]
        if process.returncode:
            raise SystemExit(f"{line} failed with {process.returncode}")
    return times[0], float(np.polyfit(np.arange(len(times)), times, 1)[0])


if __name__ == "__main__":
    main()
