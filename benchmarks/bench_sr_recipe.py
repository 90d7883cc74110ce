"""What a change of a super-resolution recipe is worth at equal training time: one short run for each experiment of a file.

    python benchmarks/bench_sr_recipe.py --data PHOTOS.zip --validation NAME=PATH --minutes 5 --threads 1

`sr_recipes.toml` lists the experiments: a name, the reason, overrides as `mezzotint train` takes them. Each runs in a
process of its own, one after the other, and is written to the output as soon as it is done; a run that was cut off goes on
from its checkpoint, and what is finished is skipped. The clock is the training loop's: loading the pictures does not count,
the few validations do. Give other minutes another `--output`, since a name stands for one result.

A difference that another `--seed` turns round is none. Timings taken beside other work are worth less: the load is noted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import statistics
import sys
import tomllib
from pathlib import Path
from typing import Any

import reports
from environment import environment

import mezzotint
from mezzotint import catalog, files
from mezzotint.errors import DivergedError, MezzotintError
from mezzotint.recipes import model as recipes
from mezzotint.training.loop import LOG

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=Path, default=HERE / "sr_recipes.toml")
    parser.add_argument("--only", action="append", metavar="NAME", help="this experiment; may be repeated")
    parser.add_argument("--data", action="append", required=True, help="pictures to train on; may be repeated")
    parser.add_argument(
        "--validation", required=True, type=reports.named_path, metavar="NAME=PATH", help="pictures to measure on"
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("out/sr-recipes"), help="where the run folders go")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "sr-recipes.json")
    options = parser.parse_args()
    try:
        planned = plan(options.experiments, options.minutes, options.seed)
        if unknown := set(options.only or ()) - planned.keys():
            parser.error(f"no experiment named {', '.join(sorted(unknown))}; there are {', '.join(planned)}")
        failed = [name for name in options.only or planned if not run(name, *planned[name], options)]
    except MezzotintError as error:
        sys.exit(f"error: {error}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def plan(path: Path, minutes: float, seed: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """The experiments of a file by name: the reason, and what their results follow from; all recipes checked.

    Raises `UsageError` for a recipe with a mistake and `InputError` for a file that cannot be read.
    """
    file = tomllib.loads(recipes.text(path))
    planned = {}
    for experiment in file["experiment"]:
        asked = {
            "recipe": experiment.get("recipe", file["recipe"]),
            "overrides": experiment.get("overrides", []),
            "always": [*file.get("always", []), f"seed={seed}"],
            "minutes": minutes,
        }
        recipes.read(asked["recipe"], arguments(asked))
        planned[experiment["name"]] = experiment["why"], asked
    return planned


def arguments(asked: dict[str, Any]) -> list[str]:
    """All overrides of an experiment."""
    return [*asked["always"], *asked["overrides"]]


def run(name: str, why: str, asked: dict[str, Any], options: argparse.Namespace) -> bool:
    """Train one experiment unless its result is there; whether there is a result now. One that diverged is one."""
    if all(read(options.output).get(name, {}).get(key) == value for key, value in asked.items()):
        print(f"{name:24} is there already")
        return True
    # What was asked for is part of the folder's name, so that a changed experiment never goes on from another's state.
    folder = options.runs / f"{name}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]}"
    data, path = [Path(item).absolute() for item in options.data], options.validation[1]
    before = environment()
    # A fresh interpreter each: threads and memory of one run must not touch the next.
    process = multiprocessing.get_context("spawn").Process(
        target=train, args=(asked, data, folder, Path(path).absolute(), options.threads)
    )
    process.start()
    process.join()
    if process.exitcode not in (0, DivergedError.exit_code):
        print(f"{name:24} failed")
        return False
    result = {
        "why": why,
        **asked,
        "command": command(name, options),
        "environment": before,
        "load_average_after": environment()["load_average"],
        "threads": options.threads,
        "data": [item.name for item in data],
        "validation": options.validation[0],
        "diverged": process.exitcode != 0,
        **measured(folder, asked),
    }
    files.make_folder(options.output.parent)
    reports.write({**read(options.output), name: result}, options.output)
    print(f"{name:24} {result['steps']:6} steps, PSNR-Y {result['psnr_y']} dB", flush=True)
    return True


def train(asked: dict[str, Any], data: list[Path], folder: Path, validation: Path, threads: int) -> None:
    """In the fresh process: the run; its exit code tells how it ended."""
    try:
        mezzotint.train(
            asked["recipe"], data, folder,
            overrides=arguments(asked), validation=validation, minutes=asked["minutes"], threads=threads,
            resume=True, quiet=True,
        )  # fmt: skip
    except MezzotintError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def measured(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What the log of a run says, and how large the deployed network is (unless it diverged)."""
    lines = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
    recipe = recipes.read(asked["recipe"], arguments(asked))
    pixels, speeds, before = 0, [], 0
    for line in lines:
        # The patches of the phase that the line was written in; lines are close enough to one another.
        patch, batch = recipe.patches()[recipe.phase(min(line["minutes"] / asked["minutes"], 1.0))]
        pixels, before = pixels + (line["step"] - before) * batch * patch**2, line["step"]
        if "steps_per_second" in line:
            speeds.append(line["steps_per_second"] * batch * patch**2)
    curve = [[line["minutes"], line["validation"]["psnr_y"]] for line in lines if "validation" in line]
    finished = (folder / "weights.safetensors").exists()
    return {
        "parameters": catalog.card(folder).parameters if finished else None,
        "steps": lines[-1]["step"],
        "lr_pixels": pixels,
        # The median leaves out the intervals that a validation made longer.
        "lr_pixels_per_second": round(statistics.median(speeds)) if speeds else None,
        "curve": curve,  # minutes, PSNR-Y in dB of the averaged network
        "psnr_y": curve[-1][1] if finished else None,
    }


def read(output: Path) -> dict[str, Any]:
    """The results so far, by name."""
    return json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}


def command(name: str, options: argparse.Namespace) -> str:
    """How to run this one again; paths without their folders, which mean nothing elsewhere."""
    data = " ".join(f"--data {reports.plain(item)}" for item in options.data)
    validation, path = options.validation
    return (
        f"python benchmarks/bench_sr_recipe.py --only {name} {data} --validation {validation}={reports.plain(path)} "
        f"--minutes {options.minutes:g} --threads {options.threads} --seed {options.seed}"
    )


if __name__ == "__main__":
    main()
