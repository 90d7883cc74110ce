r"""Train small GANs, healthy ones and ones that are made to fail, and write what the doctor measured and said of each.

    python benchmarks/calibrate_doctor.py --data fashion=TRAIN.gz --data clothing=DIR --data emoji=DIR --output results.json

Four data sets (shapes are drawn here) at 16 x 16 pixels, narrow networks, the game, penalties and optimizers of the recipe
fashion-28. Healthy: five seeds of each. Failures: each provoked by one change to a run that was healthy until then, on one
data set in turn. Runs that the output holds already are not made again, so this can be done in pieces; `--judge` only says
again what the diagnoses make of the readings. Readings are columns, one entry for each examination.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import reports
import torch
from environment import environment

from mezzotint import files
from mezzotint.data.batches import Images
from mezzotint.data.images import ImageSet, load_images
from mezzotint.data.prepare import fit_size
from mezzotint.errors import DivergedError
from mezzotint.losses import adversarial
from mezzotint.recipes import model
from mezzotint.recipes.model import Recipe
from mezzotint.training.diagnoses import diagnose
from mezzotint.training.doctor import Doctor
from mezzotint.training.loop import State, fit
from mezzotint.training.run import build
from mezzotint.training.vitals import Vitals

CPU = torch.device("cpu")
SIZE, STEPS, BATCH, IMAGES, SEEDS = 16, 500, 32, 2000, range(5)
DATA = ("shapes", "fashion", "clothing", "emoji")
# The share of a run in which a failure must be named after it has happened.
WITHIN = 0.1
Change = Callable[[Any], None]


def rates(generator: float = 1.0, discriminator: float = 1.0) -> Change:
    """Factors on the learning rates."""

    def change(method: Any) -> None:
        for name, factor in (("generator", generator), ("discriminator", discriminator)):
            for group in method.optimizers[name].param_groups:
                group["base_rate"] *= factor

    return change


def unpenalized(method: Any) -> None:
    method.penalties = {}


def hardly_penalized(method: Any) -> None:
    method.penalties = {name: (penalty, weight / 50) for name, (penalty, weight) in method.penalties.items()}


def game(name: str) -> Change:
    return lambda method: setattr(method, "game", getattr(adversarial, name))


def momentum(method: Any) -> None:
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["betas"] = (0.95, group["betas"][1])


def deaf(method: Any) -> None:
    """The discriminator's last layer says nothing and never will."""
    torch.nn.init.zeros_(method.discriminator.project.weight)
    rates(1, 0)(method)


def not_a_number(method: Any) -> None:
    real = method.game
    method.game = adversarial.Game(lambda a, b: real.discriminator(a, b) * math.nan, real.generator)


# name -> (share of the run when it is provoked, what changes, names of diseases that are right)
FAILURES: dict[str, tuple[float, tuple[Change, ...], set[str]]] = {
    "rates x 100, no penalties": (0.4, (unpenalized, rates(100, 100)), {"collapse", "run away"}),
    "discriminator frozen": (0.4, (rates(1, 0),), {"blind", "collapse"}),
    "discriminator says nothing": (0.4, (deaf,), {"blind", "not taught"}),
    "100 images, hardly any penalties": (0.0, (hardly_penalized,), {"overfits", "copied"}),
    "losses not a number": (0.4, (not_a_number,), {"not finite"}),
    "generator hardly learns": (0.1, (rates(1e-3, 1),), {"stands still", "won"}),
    "minimax, discriminator rate x 30": (0.1, (unpenalized, game("minimax"), rates(1, 30)), {"not taught", "won"}),
    "generator rate x 30": (0.4, (rates(30, 1),), {"swings", "run away", "won", "collapse"}),
    "momentum 0.95, rates x 10": (0.4, (momentum, rates(10, 10)), {"swings", "run away"}),
    "wasserstein without penalty": (0.4, (unpenalized, game("wasserstein"), rates(20, 20)), {"run away", "swings", "blind"}),
}  # fmt: skip

# Not judged: what becomes of a run whose rates are forty times too high, left alone and rescued.
FAST, RESCUED = "learning rates of 0.04", "learning rates of 0.04, rescued"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", type=reports.named_path, default=[], metavar="NAME=PATH")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--only", default="", help="runs whose name begins so", metavar="TEXT")
    parser.add_argument("--judge", action="store_true", help="train nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    paths = dict(options.data)
    runs = json.loads(options.output.read_text())["runs"] if options.output.exists() else {}
    failing = [(name, data, 0) for name, data in zip(FAILURES, DATA * len(FAILURES), strict=False)]
    healthy = [("healthy", data, seed) for seed in SEEDS for data in DATA]
    for name, data, seed in [*failing, *healthy, (FAST, "emoji", 0), (RESCUED, "emoji", 0)]:
        key = f"{name}, {data}, seed {seed}"
        wanted = key.startswith(options.only) and (data in paths or data == "shapes")
        if key not in runs and not options.judge and wanted:
            runs[key] = run(name, data, paths.get(data), seed)
            print(key, runs[key]["seconds"], flush=True)
            write(runs, options.output)
    write(runs, options.output)
    print(json.dumps(summary(runs), indent=1))


def run(name: str, data: str, path: str | None, seed: int) -> dict[str, Any]:
    """One training: its readings as columns, and what else is known of it."""
    recipe, images = settings(data, seed), pictures(data, path)
    if name in (FAST, RESCUED):
        networks = ("generator", "discriminator")
        recipe = model.read(recipe, [f"optimizer.{network}.learning_rate=0.04" for network in networks])
    kept: ImageSet | None
    training, kept = images.split(len(images) // 10)
    strangers = None
    if name.startswith("100 images"):
        others, few = training.split(120)
        training, kept = few.split(20)
        strangers = Vitals(training, others, seed, CPU)
    torch.manual_seed(seed)
    method, _ = build(recipe, CPU)
    begin, changes, _ = FAILURES.get(name, (0.0, (), set()))
    provoke(method, round(begin * STEPS), changes)
    doctor = Doctor(Vitals(training, kept, seed, CPU), recipe, acts=name == RESCUED)
    known: list[Any] = []
    examine = doctor.examine

    def watched(state: State, *arguments: Any) -> Any:
        readings.append(state)
        if strangers is not None:
            networks = method.networks
            known.append(
                strangers.measure(networks["generator"], networks["discriminator"], arguments[2])["familiarity"]
            )
        return examine(state, *arguments)

    doctor.examine = watched  # type: ignore[method-assign]
    readings: list[State] = []
    started, ended = time.process_time(), "as planned"
    # What becomes of it later does not matter.
    long_enough = begin + 0.25 if begin else 1.0
    with tempfile.TemporaryDirectory() as folder:
        try:
            batches = Images(training, BATCH, seed, recipe.data.augment, CPU)
            fit(
                method, [batches], recipe, Path(folder), CPU, doctor=doctor,
                interrupted=lambda: bool(readings) and readings[-1].step >= long_enough * STEPS,
            )  # fmt: skip
        except DivergedError as error:
            ended = str(error)
    rows = readings[-1].health.readings
    columns = {key: [row.get(key) for row in rows] for key in rows[0]}
    facts: dict[str, Any] = {"rescues": readings[-1].health.rescues} if name == RESCUED else {}
    facts |= {
        "ended": ended,
        "seconds": round(time.process_time() - started, 1),
        "happened": begin,
        "readings": columns,
    }
    if strangers is not None:
        # It happens when the discriminator tells the 100 images from 128 others, none of which the doctor sees, by more than
        # half of what it tells generated images by.
        facts["familiarity_of_strangers"] = known
        happened = [
            row["progress"]
            for row, value in zip(rows, known, strict=True)
            if value - 0.5 > max(0.15, 0.5 * (row["separation"] - 0.5))
        ]
        facts["happened"] = happened[0] if happened else None
    return facts


def provoke(method: Any, at: int, changes: tuple[Change, ...]) -> None:
    """Apply `changes` to a method before its step number `at`."""
    plain, calls = method.step, iter(range(10**9))

    def step(batch: Any, update: Any) -> Any:
        if next(calls) == at:
            for change in changes:
                change(method)
        return plain(batch, update)

    method.step = step


def judge(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """What the diagnoses make of a run's readings: everything named, and for a failure when that was, in time or not."""
    columns = facts["readings"]
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    named: dict[str, Any] = {}
    for count in range(1, len(rows) + 1):
        for diagnosis in diagnose(rows[:count]):
            said = {"at": round(rows[count - 1]["progress"], 3), "words": diagnosis.words(BATCH)}
            named.setdefault(diagnosis.disease.name, said)
    found: dict[str, Any] = {"named": named}
    if name in FAILURES:
        found["right"] = sorted(FAILURES[name][2])
        right = [said["at"] for disease, said in named.items() if any(word in disease for word in FAILURES[name][2])]
        happened = facts["happened"]
        found["late"] = round(min(right) - happened, 3) if right and happened is not None else None
        found["in_time"] = found["late"] is not None and found["late"] <= WITHIN
    return found


def write(runs: dict[str, Any], output: Path) -> None:
    """Judge all runs and write them, each column of readings on a line of its own."""
    for key, found in runs.items():
        found |= judge(key.rsplit(", ", 2)[0], found)
    command = "python benchmarks/calibrate_doctor.py --data fashion=PATH --data clothing=PATH --data emoji=PATH"
    facts = summary(runs) | {"command": f"{command} --output {reports.shown(output)}", "environment": environment()}
    facts["runs"] = runs
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)
    files.write_bytes(output, f"{text}\n".encode())


def summary(runs: dict[str, Any]) -> dict[str, Any]:
    """How many failures were named in time, and how many healthy runs nothing was said of."""
    healthy = [facts for key, facts in runs.items() if key.startswith("healthy")]
    failed = [facts for facts in runs.values() if "right" in facts]
    return {
        "failures": len(failed), "named_in_time": sum(facts.get("in_time", False) for facts in failed),
        "healthy": len(healthy), "silent": sum(not facts["named"] for facts in healthy),
    }  # fmt: skip


def settings(data: str, seed: int) -> Recipe:
    """The recipe fashion-28 for small images, narrow."""
    size, grey = f"[{SIZE},{SIZE}]", data == "fashion"
    facts = [f"seed={seed}", f"steps={STEPS}", f"data.batch={BATCH}", f"data.size={size}", "warmup=50", "ema=0.99"]
    facts += ["checkpoint_seconds=1e9", "precision=f32"]
    for part in ("generator", "discriminator"):
        facts += [f"{part}.size={size}", f"{part}.widths=[16]", f"{part}.blocks_per_stage=1"]
        facts += [f"optimizer.{part}.learning_rate=1e-3"]
        facts += [] if grey else [f"{part}.num_classes=0"]
    facts += ["generator.latent_dim=16"]
    if not grey:
        facts += ["generator.out_channels=3", "discriminator.in_channels=3", "data.channels=3", "data.class_names=[]"]
    return model.read("fashion-28", facts)


def pictures(data: str, path: str | None) -> ImageSet:
    """About 2000 images of one data set."""
    if path is None:
        return shapes()
    small = fit_size((SIZE, SIZE))
    return load_images([path], channels=1 if data == "fashion" else 3, prepare=small, most=IMAGES)


def shapes() -> ImageSet:
    """Discs, squares and diamonds of any bright colour on black."""
    random, images = np.random.default_rng(0), ImageSet()
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    for number in range(IMAGES):
        (row, column), radius = random.uniform(0.3, 0.7, 2) * SIZE, random.uniform(0.15, 0.3) * SIZE
        dy, dx = abs(y - row), abs(x - column)
        inside = (np.hypot(dy, dx), np.maximum(dy, dx), dy + dx)[number % 3] < radius
        images.append(np.where(inside[..., None], random.integers(96, 256, 3), 0).astype(np.uint8), str(number))
    return images


if __name__ == "__main__":
    main()
