"""Measure what a person waits for: whole commands, process start included.

python benchmarks/measure_start.py --output benchmarks/results/start.json
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "photo.png"
        pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
        Image.fromarray(pixels).save(picture)
        target = Path(folder) / "out.png"
        commands = {
            "--help": ["--help"],
            "upscale 128x128 with compact-x4": ["upscale", picture, "-m", "compact-x4", "-o", target, "--overwrite"],
            "generate 16 with fashion-28": ["generate", "-m", "fashion-28", "-o", target, "--overwrite"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, arguments in commands.items():
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "mezzotint", *map(str, arguments)], check=True, capture_output=True
                )
                seconds[name].append(time.perf_counter() - start)
    results = {
        name: {"median": round(statistics.median(s), 3), "least": round(min(s), 3)} for name, s in seconds.items()
    }
    facts = {"environment": environment(), "repeats": options.repeats, "seconds": results}
    reports.write(facts, options.output)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
