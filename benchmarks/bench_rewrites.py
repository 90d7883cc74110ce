"""What the exact rewrites at export gain: networks as torch exports them against the same ones rewritten, in OpenVINO.

    python benchmarks/bench_rewrites.py --output benchmarks/results/rewrites.json

Both take turns in one process, so that a load of the machine falls on both; medians of wall and of CPU time and their
ratios are written. On a busy machine wall time with several threads says little: take CPU time with `--threads 1`. Weights
are untrained: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import reports
import torch
from environment import environment
from plain_onnx import write_plain

from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.export.rewrites import rewritten
from mezzotint.hardware import cpu_gains_by_bfloat16
from mezzotint.models.srresnet import SRResNet
from mezzotint.runtimes import openvino

NETWORKS = {"srresnet-x4": lambda: SRResNet(scale=4), "srresnet-x2": lambda: SRResNet(scale=2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="side of the square input")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    precisions = ["f32", "bf16"] if cpu_gains_by_bfloat16() else ["f32"]
    before = environment()
    with tempfile.TemporaryDirectory() as folder:
        results = [
            measure(name, precision, options.size, options.repeats, options.threads, Path(folder))
            for name in NETWORKS
            for precision in precisions
        ]
    facts = {
        "command": f"python benchmarks/bench_rewrites.py --size {options.size} --repeats {options.repeats}"
        + (f" --threads {options.threads}" if options.threads else ""),
        "environment": before,
        "results": results,
    }
    reports.write(facts, options.output)


def measure(name: str, precision: str, size: int, repeats: int, threads: int | None, folder: Path) -> dict[str, Any]:
    """One network in one precision: medians of both forms, their ratio, and how far apart the results are."""
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    models = {}
    for form, module in {"original": network, "rewritten": rewritten(network)}.items():
        path = folder / f"{name}-{form}.onnx"
        write_plain(module, path, size, size)
        card = Card(name, SUPER_RESOLUTION, "srresnet.SRResNet", scale=network.scale)
        models[form] = openvino.load(path, card, precision, threads)
    lr = np.random.default_rng(0).random((1, 3, size, size), dtype=np.float32)
    outputs = {form: model(lr).copy() for form, model in models.items()}
    wall: dict[str, list[float]] = {form: [] for form in models}
    cpu: dict[str, list[float]] = {form: [] for form in models}
    for _ in range(repeats):
        for form, model in models.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            model(lr)
            wall[form].append(round(time.perf_counter() - start, 4))
            cpu[form].append(round(time.process_time() - start_cpu, 4))
    kinds = {"wall": wall, "cpu": cpu}
    medians = {kind: {form: statistics.median(taken[form]) for form in models} for kind, taken in kinds.items()}
    speedup = {kind: round(median["original"] / median["rewritten"], 3) for kind, median in medians.items()}
    print(f"{name:12} {precision:5} {speedup['wall']:.2f}x in wall time, {speedup['cpu']:.2f}x in CPU time", flush=True)
    return {
        "network": name,
        "runtime": "openvino",
        "precision": models["original"].precision,
        "input": [size, size],
        "median_seconds": medians,
        "speedup": speedup,
        "largest_difference": float(np.abs(outputs["original"] - outputs["rewritten"]).max()),
        "seconds": kinds,
    }


if __name__ == "__main__":
    main()
