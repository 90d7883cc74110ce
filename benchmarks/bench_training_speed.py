"""How fast training is: low-resolution pixels a second of the bare network step, our loop, and a loop in the usual style.

    python benchmarks/bench_training_speed.py --data photos/ --output benchmarks/results/training-speed.json

bare    the recipe's network, losses and optimizer on one batch, again and again: forward, backward, update, in the precision
        and memory format that training uses. Nothing about data, averages, clipping or logging.
ours    `training.loop.fit` with the recipe's batches, as `mezzotint train` runs it, without validation.
plain   a folder of PNG sub-images in HR and LR; a DataLoader whose workers decode two files for each patch, crop, flip and
        make tensors; the same network in float32 and NCHW; Adam, L1.

They take turns in one process, so that a load of the machine falls on all of them; each turn warms up first. Medians over
the turns and their ratios are written. Without `--data`, smooth pictures are made up: decoded faster than photographs.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import reports
import speeds
import torch
from environment import environment
from PIL import Image
from speeds import GROUP, Clock, bare, ours
from torch.nn import functional

from mezzotint.data.images import ImageSet
from mezzotint.data.pairs import load_pairs
from mezzotint.hardware import free_threads
from mezzotint.recipes import model
from mezzotint.recipes.model import Recipe
from mezzotint.refs import resolve
from mezzotint.training import feed
from mezzotint.training.devices import autocast_type, choose_device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["compact-x4", "srresnet-x4"])
    parser.add_argument("--data", type=Path, help="folder or zip of pictures")
    parser.add_argument("--images", type=int, default=64, help="how many of them are used")
    parser.add_argument("--seconds", type=float, default=20, help="of one turn, without what it needs to warm up")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=free_threads())
    parser.add_argument("--workers", type=int, default=free_threads(), help="of the plain loop")
    parser.add_argument("--note", default="", help="what a reader should know about the circumstances")
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = environment()
    results = [measure(name, options) for name in options.recipes]
    facts = {
        "command": f"python benchmarks/bench_training_speed.py --recipes {' '.join(options.recipes)} "
        f"--images {options.images} --seconds {options.seconds:g} --rounds {options.rounds} --threads {options.threads} "
        f"--workers {options.workers}",
        "note": options.note,
        "data": options.data.name if options.data else "made up",
        "environment": before,
        "results": results,
    }
    reports.write(facts, options.output)


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One recipe: all three in turns."""
    recipe = model.read(name, [f"log_every={GROUP}", "steps=100_000_000"])
    device = choose_device()
    with tempfile.TemporaryDirectory() as folder:
        images = pictures(recipe, options.data, options.images)
        write_pairs(images, Path(folder) / "pairs")
        images.twins = None  # ours makes them itself
        batches = feed.batches(recipe, images, device)
        turns: dict[str, Callable[[], float]] = {
            "bare": lambda: bare(recipe, batches[0].batch(0), device, options.seconds),
            "ours": lambda: ours(recipe, batches, device, options.seconds),
            "plain": lambda: plain(recipe, Path(folder) / "pairs", device, options.seconds, options.workers),
        }
        pixels = recipe.data.batch * recipe.data.patch**2
        measured = speeds.in_turns(turns, options.rounds)
        pixel_speeds = {kind: [round(value * pixels) for value in values] for kind, values in measured.items()}
        started = time.perf_counter()
        for step in range(20):
            batches[0].batch(step)
        one_batch = (time.perf_counter() - started) / 20
    medians = speeds.medians(pixel_speeds)
    ratios = {f"ours_to_{kind}": round(medians["ours"] / medians[kind], 3) for kind in ("bare", "plain")}
    print(
        f"{name:14} " + ", ".join(f"{kind} {value / 1e6:.3f} MP/s" for kind, value in medians.items()),
        ratios,
        flush=True,
    )
    return {
        "recipe": name,
        "network": recipe.generator.name,
        "batch": recipe.data.batch,
        "patch": recipe.data.patch,
        "device": str(device),
        "precision": "bf16" if autocast_type(recipe.precision, device) else "f32",
        "lr_pixels_per_second": medians,
        **ratios,
        "batch_milliseconds": round(1000 * one_batch, 2),
        "turns": pixel_speeds,
    }


def pictures(recipe: Recipe, data: Path | None, count: int) -> ImageSet:
    """High-resolution images with MATLAB's low-resolution ones as their twins."""
    scale = feed.scale_of(recipe)
    if data is None:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                noise = np.random.default_rng(number).integers(0, 256, (60, 60, 3), np.uint8)
                Image.fromarray(noise).resize((480, 480), Image.Resampling.BICUBIC).save(Path(folder) / f"{number}.png")
            return load_pairs([folder], scale)
    return load_pairs([data], scale, least=recipe.data.patch * scale, most=count)


def write_pairs(images: ImageSet, folder: Path) -> None:
    for side, members in (("HR", images), ("LR", images.twins)):
        (folder / side).mkdir(parents=True)
        for number in range(len(members)):
            Image.fromarray(members[number]).save(folder / side / f"{number:04d}.png")


class Folder(torch.utils.data.Dataset):
    """A random patch of each pair of PNG files, flipped and turned: lr C p p and hr C sp sp, float32, 0 to 1."""

    def __init__(self, folder: Path, patch: int, scale: int) -> None:
        self.names = sorted(path.name for path in (folder / "HR").iterdir())
        self.folder, self.patch, self.scale = folder, patch, scale

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        name, patch, scale = self.names[index % len(self.names)], self.patch, self.scale
        hr, lr = (np.asarray(Image.open(self.folder / side / name), np.float32) / 255 for side in ("HR", "LR"))
        y, x = random.randint(0, lr.shape[0] - patch), random.randint(0, lr.shape[1] - patch)
        lr = lr[y : y + patch, x : x + patch]
        hr = hr[y * scale : (y + patch) * scale, x * scale : (x + patch) * scale]
        if random.random() < 0.5:
            lr, hr = lr[:, ::-1], hr[:, ::-1]
        if random.random() < 0.5:
            lr, hr = lr[::-1], hr[::-1]
        if random.random() < 0.5:
            lr, hr = lr.transpose(1, 0, 2), hr.transpose(1, 0, 2)
        return tuple(torch.from_numpy(np.ascontiguousarray(side.transpose(2, 0, 1))) for side in (lr, hr))


def plain(recipe: Recipe, folder: Path, device: torch.device, seconds: float, workers: int) -> float:
    network = resolve(recipe.generator.name, "models")(**recipe.generator.arguments).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-4)
    data = Folder(folder, recipe.data.patch, feed.scale_of(recipe))
    loader = iter(
        torch.utils.data.DataLoader(
            data, recipe.data.batch, shuffle=True, num_workers=workers, drop_last=True, pin_memory=device.type == "cuda"
        )
    )
    clock = Clock(seconds)
    while not clock.done:
        for _ in range(GROUP):
            lr, hr = (side.to(device) for side in next(loader))
            optimizer.zero_grad()
            loss = functional.l1_loss(network(lr), hr)
            loss.backward()
            optimizer.step()
        loss.item()
        clock()
    return clock.speed


if __name__ == "__main__":
    main()
