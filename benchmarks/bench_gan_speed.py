"""How fast GANs train: images a second of our loop, with and without penalties, and of a loop in the usual style.

    python benchmarks/bench_gan_speed.py --data Fashion-MNIST=train-images-idx3-ubyte.gz --output FILE.json

ours       `training.loop.fit` with the recipe as it is, as `mezzotint train` runs it, without validation.
unpunished the same without the recipe's penalties: what these cost.
plain      what tutorials do: PNG files through `Dataset` and `DataLoader` with workers; the same networks in float32 and
           NCHW; binary cross entropy on real images, on generated ones, then for the generator; Adam; no penalties.

They take turns in one process, so that a load of the machine falls on all of them; each turn warms up first. Medians over
the turns and their ratios are written.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import reports
import speeds
import torch
from environment import environment
from PIL import Image
from speeds import GROUP, Clock, ours
from torch.nn import functional

from mezzotint.data.images import ImageSet
from mezzotint.hardware import free_threads
from mezzotint.recipes import model
from mezzotint.recipes.model import Recipe
from mezzotint.refs import resolve
from mezzotint.training import feed
from mezzotint.training.devices import autocast_type, choose_device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["fashion-28"])
    parser.add_argument("--data", type=reports.named_path, required=True, metavar="NAME=PATH")
    parser.add_argument("--images", type=int, default=4096, help="how many of them are used")
    parser.add_argument("--seconds", type=float, default=15, help="of one turn, without what it needs to warm up")
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
        "command": f"python benchmarks/bench_gan_speed.py --recipes {' '.join(options.recipes)} --data "
        f"{options.data[0]}=PATH --images {options.images} --seconds {options.seconds:g} --rounds {options.rounds} "
        f"--threads {options.threads} --workers {options.workers}",
        "note": options.note,
        "data": options.data[0],
        "environment": before,
        "results": results,
    }
    reports.write(facts, options.output)


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One recipe: all three in turns."""
    always = [f"log_every={GROUP}", "steps=100_000_000"]
    recipe, unpunished = model.read(name, always), model.read(name, [*always, "method.penalties={}", "ramps={}"])
    device = choose_device()
    images = feed.load(recipe, [options.data[1]], options.images)
    batches = feed.batches(recipe, images, device)
    with tempfile.TemporaryDirectory() as folder:
        write(images, Path(folder))
        turns: dict[str, Callable[[], float]] = {
            "ours": lambda: ours(recipe, batches, device, options.seconds),
            "unpunished": lambda: ours(unpunished, batches, device, options.seconds),
            "plain": lambda: plain(recipe, Path(folder), device, options.seconds, options.workers),
        }
        per_second = {
            kind: [round(value * recipe.data.batch, 1) for value in values]
            for kind, values in speeds.in_turns(turns, options.rounds).items()
        }
    medians = speeds.medians(per_second)
    ratios = {
        "ours_to_plain": round(medians["ours"] / medians["plain"], 3),
        "unpunished_to_plain": round(medians["unpunished"] / medians["plain"], 3),
        "cost_of_penalties": round(medians["unpunished"] / medians["ours"], 3),
    }
    print(
        f"{name:14} " + ", ".join(f"{kind} {value:.0f} images/s" for kind, value in medians.items()), ratios, flush=True
    )
    return {
        "recipe": name,
        "networks": [recipe.generator.name, recipe.discriminator.name if recipe.discriminator else ""],
        "batch": recipe.data.batch,
        "size": list(recipe.data.size or ()),
        "device": str(device),
        "precision": "bf16" if autocast_type(recipe.precision, device) else "f32",
        "images_per_second": medians,
        **ratios,
        "turns": per_second,
    }


def write(images: ImageSet, folder: Path) -> None:
    for number in range(len(images)):
        Image.fromarray(images[number].squeeze()).save(folder / f"{number:06d}_{images.labels[number]}.png")


class Folder(torch.utils.data.Dataset):
    """PNG files named NUMBER_LABEL.png: images C H W float32, -1 to 1, and labels."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path = self.paths[index]
        pixels = np.asarray(Image.open(path), np.float32)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return torch.from_numpy(pixels / 127.5 - 1), int(path.stem.partition("_")[2])


def plain(recipe: Recipe, folder: Path, device: torch.device, seconds: float, workers: int) -> float:
    assert recipe.discriminator is not None
    parts = (recipe.generator, recipe.discriminator)
    generator, discriminator = (resolve(part.name, "models")(**part.arguments).to(device) for part in parts)
    optimizers = [torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999)) for network in (generator, discriminator)]
    loader = torch.utils.data.DataLoader(
        Folder(folder), recipe.data.batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=True
    )

    def batches() -> Any:
        while True:
            yield from loader

    def loss(logits: torch.Tensor, target: float) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    endless, clock = batches(), Clock(seconds)
    while not clock.done:
        for _ in range(GROUP):
            real, labels = (part.to(device) for part in next(endless))
            fake = generator(torch.randn(len(real), generator.latent_dim, device=device), labels)
            discriminator.zero_grad()
            loss(discriminator(real, labels), 1).backward()
            loss(discriminator(fake.detach(), labels), 0).backward()
            optimizers[1].step()
            generator.zero_grad()
            adversarial = loss(discriminator(fake, labels), 1)
            adversarial.backward()
            optimizers[0].step()
        adversarial.item()
        clock()
    return clock.speed


if __name__ == "__main__":
    main()
