"""The same weights on the same picture in mezzotint and in other tools, in turns, on this machine.

    python benchmarks/bench_peers.py --model RUN --output benchmarks/results/peers.json
    python benchmarks/bench_peers.py --network srresnet.SRResNet --size 256x256 --output ...

Every tool is a process of its own (runtimes disturb one another in one process) that stays alive and makes the picture each
time it is told to. They take turns, so that a load of the machine falls on all of them, and pause in between, so that the
waiting threads of one do not fall into the time of the next. A picture is 8 bits in and 8 bits out for all. How far each
result is from torch's is written too: that is the proof that all computed the same.

Beside other work, several threads measure how well a tool waits and not how fast it is: OpenMP's (torch, ncnn) spin for one
another, which was seen to cost a factor of 30. Take `--threads 1` there; CPU time is written beside wall time.

Tools that are not installed are skipped and named. ncnn needs the packages ncnn and pnnx, OpenCV opencv-python-headless.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import reports
import torch
from environment import environment
from peers import PEERS, version
from plain_onnx import write_plain

from mezzotint import catalog, hardware, refs
from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.errors import MezzotintError
from mezzotint.export.onnx import export_network
from mezzotint.models import weights

BASELINE = "torch"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", help="name, run folder or .safetensors file")
    source.add_argument(
        "--network", help="an untrained one, such as srresnet.SRResNet: weights do not change the speed"
    )
    parser.add_argument("--size", default="128x128", metavar="WxH")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=hardware.free_threads())
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two turns")
    parser.add_argument("--note", default="", help="what a reader should know about the circumstances")
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    if BASELINE not in options.peers:
        parser.error(f"--peers needs {BASELINE}, which the others are compared with")
    before = environment()
    if before["load_average"][0] > 0.5 * options.threads and options.threads > 1:
        print("warning: other work is running; without --threads 1 these numbers will mean nothing", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        card = prepare(options.model, options.network, width, height, folder)
        workers, skipped = start(options.peers, folder, options.threads)
        wall, cpu = take_turns(workers, options.repeats, options.pause)
        results = [summary(name, wall, cpu, folder) for name in workers]
    for name, reason in skipped.items():
        print(f"{name:20} skipped: {reason}")
    what = f"--model {Path(options.model).name}" if options.model else f"--network {options.network}"
    facts = {
        "command": f"python benchmarks/bench_peers.py {what} --size {options.size} --repeats {options.repeats} "
        f"--threads {options.threads}",
        "note": options.note,
        "environment": before,
        "network": card.network,
        "arguments": card.arguments,
        "weights_sha256": card.weights_sha256,
        "trained": options.network is None,
        "input": [width, height],
        "baseline": BASELINE,
        "results": results,
        "skipped": skipped,
    }
    reports.write(facts, options.output)


def prepare(model: str | None, reference: str | None, width: int, height: int, folder: Path) -> Card:
    """Put the weights, in the forms that the tools read, and the picture into `folder`; returns the weights' card."""
    if reference:
        torch.manual_seed(0)
        network = refs.resolve(reference, "models")().eval()
        card = Card(reference, SUPER_RESOLUTION, reference, {}, scale=network.scale, halo=network.halo)
    else:
        path = catalog.find(model, catalog.TRAINED)
        if path is None:
            sys.exit(f"{model} is built in and has no weights")
        network, card = weights.load(path)
    if card.task != SUPER_RESOLUTION:
        sys.exit(f"{card.name} does not enlarge pictures")
    card = weights.save(network, card, folder / "network.safetensors")
    export_network(network, card, folder / "network.onnx")
    with suppress(MezzotintError):
        shutil.copy(catalog.find(model, catalog.QUANTIZED), folder / "network.int8.onnx")
    write_plain(weights.deployed(network), folder / "plain.onnx", height, width)
    (folder / "facts.json").write_text(json.dumps({"scale": card.scale}), encoding="utf-8")
    np.save(folder / "picture.npy", _picture(width, height))
    return card


def _picture(width: int, height: int) -> np.ndarray:
    """H W 3 uint8: waves of many lengths, and some noise."""
    y, x = np.mgrid[:height, :width] / 16
    waves = np.stack([np.sin(x * (1 + c) + y) * np.cos(y * (2 - c / 2) - x * y / 40) for c in range(3)], axis=-1)
    noise = np.random.default_rng(0).normal(0, 4, waves.shape)
    return np.clip(128 + 96 * waves + noise, 0, 255).astype(np.uint8)


def start(names: list[str], folder: Path, threads: int) -> tuple[dict[str, subprocess.Popen[str]], dict[str, str]]:
    """Processes that are ready, by name, and why others are not. One after the other: each warms up undisturbed."""
    workers, skipped = {}, {}
    for name in names:
        command = [sys.executable, str(Path(__file__).with_name("peers.py")), name, str(folder), str(threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        worker = subprocess.Popen(command, text=True, bufsize=1, **pipes)
        answer = worker.stdout.readline().strip()
        if answer == "ready":
            workers[name] = worker
        else:
            skipped[name] = answer or f"its process ended with {worker.wait()}"
    return workers, skipped


def take_turns(
    workers: dict[str, subprocess.Popen[str]], repeats: int, pause: float
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of wall and of CPU time of each worker's runs; who begins a round changes from round to round."""
    wall: dict[str, list[float]] = {name: [] for name in workers}
    cpu: dict[str, list[float]] = {name: [] for name in workers}
    order = list(workers)
    for _ in range(repeats):
        for name in order:
            time.sleep(pause)
            workers[name].stdin.write("run\n")
            for taken, seconds in zip((wall, cpu), workers[name].stdout.readline().split(), strict=True):
                taken[name].append(float(seconds))
        order.append(order.pop(0))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return wall, cpu


def summary(name: str, wall: dict[str, list[float]], cpu: dict[str, list[float]], folder: Path) -> dict[str, Any]:
    """Medians, ratios to the baseline, and the distance from its result."""
    result, expected = (np.load(folder / f"{which}.npy").astype(np.float64) for which in (name, BASELINE))
    median = statistics.median(wall[name])
    squares = float(np.mean((result - expected) ** 2))
    faster, faster_cpu = _ratio(wall, name), _ratio(cpu, name)
    print(f"{name:20} {median:8.4f} s {faster:8.2f}x {faster_cpu:8.2f}x in CPU time", flush=True)
    return {
        "name": name,
        "description": PEERS[name].description,
        "package": version(name),
        "median_seconds": round(median, 5),
        "median_cpu_seconds": round(statistics.median(cpu[name]), 5),
        "megapixels_per_second": round(result.shape[0] * result.shape[1] / 1e6 / median, 3),
        "times_faster": round(faster, 3),
        "times_faster_cpu": round(faster_cpu, 3),
        # Not of Lanczos, which is no network.
        "largest_difference": int(np.abs(result - expected).max()) if name != "lanczos" else None,
        "psnr": round(10 * math.log10(255**2 / squares), 1) if squares and name != "lanczos" else None,
        "seconds": [round(value, 5) for value in wall[name]],
        "cpu_seconds": [round(value, 5) for value in cpu[name]],
    }


def _ratio(seconds: dict[str, list[float]], name: str) -> float:
    """The median of the rounds' ratios, so that a load that lasts a round cancels out."""
    return statistics.median(base / own for base, own in zip(seconds[BASELINE], seconds[name], strict=True))


if __name__ == "__main__":
    main()
