r"""Measure generators against real images and write the numbers with everything they depend on.

    python benchmarks/measure_generator.py fashion-28 --data Fashion-MNIST=TRAIN --reference Fashion-MNIST-test=TEST \
        --output results.json

TRAIN is what the generator was trained on, TEST held-out images. Every number in a table about generators comes from such
a file. Data sets are written by name: a path means nothing elsewhere.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import reports
from environment import environment

import mezzotint
from mezzotint import catalog


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names, run folders or model files")
    named = {"type": reports.named_path}
    parser.add_argument("--data", **named, required=True, metavar="NAME=TRAIN", help="images it was trained on")
    parser.add_argument("--reference", **named, metavar="NAME=TEST", help="held-out images; without, halves of TRAIN")
    parser.add_argument("--features", type=Path, metavar="FILE", help="SqueezeNet 1.1, .safetensors")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("--classifier-images", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    (data, real), (test, held_out) = options.data, options.reference or (None, None)
    settings = {
        name: getattr(options, name) for name in ("n", "classifier_images", "seed", "runtime", "precision", "threads")
    }
    features = "" if options.features is None else f" --features {options.features.name}"
    facts = {
        "command": f"python benchmarks/measure_generator.py {' '.join(map(reports.plain, options.models))} "
        f"--data {data}=PATH{f' --reference {test}=PATH' if test else ''}{features} "
        f"--output {reports.shown(options.output)}",
        "environment": environment(),
        "settings": settings,
        "data": data,
        "reference": test,
        "protocol": "generated images and as many training images, each against the held-out ones; same seed for all"
        + ("" if test else "; halves of the training images stand for both"),
        "results": [measure(model, real, held_out, options.features, settings) for model in options.models],
    }
    reports.write(facts, options.output)


def measure(
    model: str, real: str, held_out: str | None, features: Path | None, settings: dict[str, Any]
) -> dict[str, Any]:
    """One generator: each number, what real images score in its place, its ratio, and on how many images."""
    started = time.perf_counter()
    report = mezzotint.evaluate_generator(model, real, held_out, features=features, **settings)
    seconds = time.perf_counter() - started
    print(f"{reports.plain(model)} ({seconds:.0f} s)")
    for score in report.scores.values():
        print(f"  {score.metric:20} {score.value:12.4f} {_shown(score.real):>12} {_shown(score.ratio):>8}")
    print(*(f"  {sentence}" for sentence in report.findings or ["nothing found"]), sep="\n")
    return {
        "model": reports.plain(model),
        "weights_sha256": catalog.card(model).weights_sha256,
        "seconds": round(seconds, 1),
        "findings": report.findings,
        "notes": report.notes,
        "features": report.features,
        "scores": [{key: _rounded(value) for key, value in score.facts().items()} for score in report.scores.values()],
    }


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _rounded(value: Any) -> Any:
    """Six significant digits: more would only be noise of the machine."""
    if not isinstance(value, float) or value == 0:
        return value
    return round(value, 5 - math.floor(math.log10(abs(value))))


if __name__ == "__main__":
    main()
