"""What enlarging costs from the outside: whole commands, folders, large pictures and their memory.

    python benchmarks/bench_engine.py --output benchmarks/results/engine.json            # about six minutes on two cores
    python benchmarks/bench_engine.py --only command folder --output ...

* command: one 512x512 photograph by `mezzotint upscale` and by a plain PyTorch script with the same weights, in turns.
* folder: 100 photographs of 256x256; the share of the time in which the network does not run, and what two streams gain.
* large: 2000x1500 -> 8000x6000 with srresnet-x4: peak memory of the command, and speed beside that of a 256x256 picture.
* gigapixel: compact-x4 to more than 1,000,000,000 pixels: seconds and peak memory.
* tiles: the SHA-256 of the pixels for several tile sizes and bounds on memory.

The speed of networks against other tools is what `bench_peers.py` measures. Pictures are made from those in examples/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import reports
from environment import environment
from PIL import Image

from mezzotint import catalog, hardware
from mezzotint.advisor.probe import measure

HERE = Path(__file__).parent
# Width and height of what is enlarged, and how many photographs a folder has.
COMMAND, FOLDER, COUNT, LARGE, GIGAPIXEL, TILED = (512, 512), (256, 256), 100, (2000, 1500), (9132, 6848), (1200, 900)
PHOTOS = sorted((HERE.parent / "examples" / "photos").glob("*.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=hardware.free_threads())
    parser.add_argument("--note", default="", help="what a reader should know about the circumstances")
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    # Results of a run before stay beside those of this one.
    facts = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else {}
    for name in options.only:
        before = environment()
        with tempfile.TemporaryDirectory() as folder:
            result = PARTS[name](Path(folder), options.repeats, options.threads)
        command = (
            f"python benchmarks/bench_engine.py --only {name} --repeats {options.repeats} --threads {options.threads}"
        )
        facts[name] = {"command": command, "note": options.note, "environment": before, **result}
        print(name, json.dumps({key: value for key, value in result.items() if key != "seconds"}), flush=True)
        reports.write(facts, options.output)


def command(folder: Path, repeats: int, threads: int) -> dict[str, Any]:
    """Whole commands, process start included."""
    photo = _photo(folder / "photo.jpg", COMMAND)
    results = {}
    for model in ("compact-x4", "srresnet-x4"):
        weights = str(catalog.find(model, catalog.TRAINED))
        commands = {
            "mezzotint": _upscale(photo, folder / "ours.png", model, threads),
            "pytorch": [
                sys.executable,
                str(HERE / "plain_torch.py"),
                weights,
                photo,
                str(folder / "t.png"),
                str(threads),
            ],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, words in commands.items():
                seconds[name].append(_run(words)["seconds"])
        ratios = [theirs / ours for theirs, ours in zip(seconds["pytorch"], seconds["mezzotint"], strict=True)]
        results[model] = {
            "median_seconds": {name: round(statistics.median(taken), 3) for name, taken in seconds.items()},
            "times_faster": round(statistics.median(ratios), 2),
        }
    return {"input": COMMAND, "models": results}


def folder(folder: Path, repeats: int, threads: int) -> dict[str, Any]:
    """The share of time outside the network, for 100 JPEGs, and the same with two of them in it at once."""
    (folder / "in").mkdir()
    for index in range(COUNT):
        _photo(folder / "in" / f"{index}.jpg", FOLDER, index)
    words = _upscale(str(folder / "in"), folder / "out", "compact-x4", threads)
    words[1:3] = [str(HERE / "timed_command.py")]
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(min(repeats, 3)):
        for streams, found in runs.items():
            done = subprocess.run([*words, "--streams", str(streams)], check=True, capture_output=True, text=True)
            found.append(json.loads(done.stderr.splitlines()[-1]))
    # In two streams the network's seconds overlap.
    outside = [1 - run["network"] / run["seconds"] for run in runs[1]]
    seconds = {streams: statistics.median(run["seconds"] for run in found) for streams, found in runs.items()}
    gains = [one["seconds"] / two["seconds"] for one, two in zip(runs[1], runs[2], strict=True)]
    return {
        "pictures": COUNT,
        "input": FOLDER,
        "median_seconds": round(seconds[1], 2),
        "share_outside_network": round(statistics.median(outside), 3),
        "median_seconds_in_2_streams": round(seconds[2], 2),
        "times_faster_in_2_streams": round(statistics.median(gains), 2),
    }


def large(folder: Path, repeats: int, threads: int) -> dict[str, Any]:
    """A large picture with a deep network."""
    done = _run(_upscale(_photo(folder / "in.png", LARGE), folder / "out.png", "srresnet-x4", threads))
    whole = f"{LARGE[0]}x{LARGE[1]}"
    rates: dict[str, list[float]] = {"256x256": [], whole: []}
    for _ in range(min(repeats, 3)):
        for size, found in rates.items():
            width, height = map(int, size.split("x"))
            found.append(measure("srresnet-x4", image=(width, height), threads=threads).megapixels_per_second)
    medians = {size: round(statistics.median(found), 3) for size, found in rates.items()}
    return {
        "model": "srresnet-x4",
        "input": LARGE,
        "command_seconds": round(done["seconds"], 2),
        "peak_megabytes": round(done["peak"] / 1e6),
        "megapixels_per_second": medians,
        "relative_speed": round(medians[whole] / medians["256x256"], 3),
    }


def gigapixel(folder: Path, repeats: int, threads: int) -> dict[str, Any]:
    """More than 10**9 pixels."""
    width, height = GIGAPIXEL
    done = _run(_upscale(_photo(folder / "in.png", GIGAPIXEL), folder / "out.png", "compact-x4", threads))
    return {
        "model": "compact-x4",
        "input": GIGAPIXEL,
        "output_pixels": width * height * 16,
        "command_seconds": round(done["seconds"], 1),
        "peak_megabytes": round(done["peak"] / 1e6),
        "file_megabytes": round((folder / "out.png").stat().st_size / 1e6),
    }


def tiles(folder: Path, repeats: int, threads: int) -> dict[str, Any]:
    """The same pixels for every size of tiles."""
    photo = _photo(folder / "in.png", TILED)
    settings = [["--tile", "0"], ["--tile", "100"], ["--tile", "257"], ["--memory", "300M"], []]
    found: dict[str, dict[str, str]] = {}
    for model in ("compact-x4", "srresnet-x4"):
        found[model] = {}
        for options in settings:
            _run([*_upscale(photo, folder / "out.png", model, threads), *options])
            pixels = np.asarray(Image.open(folder / "out.png"))
            found[model][" ".join(options) or "auto"] = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
    return {"input": TILED, "equal": all(len(set(by.values())) == 1 for by in found.values()), "sha256": found}


PARTS = {"command": command, "folder": folder, "large": large, "gigapixel": gigapixel, "tiles": tiles}


def _photo(path: Path, size: tuple[int, int], index: int = 0) -> str:
    """A photograph of this size, one of a few, each time another part of it."""
    image = Image.open(PHOTOS[index % len(PHOTOS)]).convert("RGB")
    left = index % 7
    image = image.crop((left, left, image.width, image.height)).resize(size, Image.Resampling.BICUBIC)
    image.save(path, quality=95)
    return str(path)


def _upscale(source: str, target: Path, model: str, threads: int) -> list[str]:
    words = [sys.executable, "-m", "mezzotint", "upscale", source, "-m", model, "-o", str(target), "--overwrite"]
    return [*words, "--threads", str(threads), "--max-pixels", "1000000000"]


def _run(words: list[str]) -> dict[str, float]:
    """Seconds and peak bytes of a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return {"seconds": time.perf_counter() - start, "peak": usage.ru_maxrss * 1024}


if __name__ == "__main__":
    main()
