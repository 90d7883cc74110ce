"""Recipes at equal training time: the experiments of a TOML file, each a short run in a process of its own.

A file has a `recipe`, overrides that hold `always`, and `[[experiment]]` tables: a name, the reason `why`, overrides as
`mezzotint train` takes them, and perhaps a `recipe` of their own. They run one after the other; each is written to the
output as soon as it is done; a run that was cut off goes on from its checkpoint, and what is finished is skipped. The clock
is the training loop's: loading the pictures does not count, the few validations do; or, with `--clock processor`, the
seconds that processors have spent on the run, so that other work on the machine hardly counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import reports
from environment import environment

import mezzotint
from mezzotint import files
from mezzotint.errors import DivergedError, MezzotintError
from mezzotint.recipes import model as recipes
from mezzotint.training import loop

# What a finished run is worth: its folder and what was asked for -> facts, and one line about them.
Measure = Callable[[Path, dict[str, Any]], tuple[dict[str, Any], str]]


def arguments_of(description: str | None, name: str) -> argparse.ArgumentParser:
    """The options that all such programs have; `name` is that of the experiments' file and of the output."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=Path, default=here / f"{name.replace('-', '_')}.toml")
    parser.add_argument("--only", action="append", metavar="NAME", help="this experiment; may be repeated")
    parser.add_argument("--data", action="append", required=True, help="pictures to train on; may be repeated")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="what minutes are counted by")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path(f"out/{name}"), help="where the run folders go")
    parser.add_argument("--output", type=Path, default=here / "results" / f"{name}.json")
    return parser


def run_all(
    parser: argparse.ArgumentParser, options: argparse.Namespace, measure: Measure, facts: dict[str, Any]
) -> None:
    """Run what is not there yet. `facts` go into every result, such as what was measured on."""
    try:
        planned = plan(options.experiments, options.minutes, options.seed)
        if unknown := set(options.only or ()) - planned.keys():
            parser.error(f"no experiment named {', '.join(sorted(unknown))}; there are {', '.join(planned)}")
        failed = [name for name in options.only or planned if not run(name, *planned[name], options, measure, facts)]
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


def run(
    name: str, why: str, asked: dict[str, Any], options: argparse.Namespace, measure: Measure, facts: dict[str, Any]
) -> bool:
    """Train one experiment unless its result is there; whether there is a result now. One that diverged is one."""
    if all(read(options.output).get(name, {}).get(key) == value for key, value in asked.items()):
        print(f"{name:24} is there already")
        return True
    # What was asked for is part of the folder's name, so that a changed experiment never goes on from another's state.
    folder = options.runs / f"{name}-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:8]}"
    before = environment()
    if not (folder / "weights.onnx").exists():
        # A fresh interpreter each: threads and memory of one run must not touch the next.
        process = multiprocessing.get_context("spawn").Process(target=train, args=(asked, folder, options))
        process.start()
        process.join()
        if process.exitcode not in (0, DivergedError.exit_code):
            print(f"{name:24} failed")
            return False
    measured, line = measure(folder, asked)
    result = {
        "why": why,
        **asked,
        "command": command(name, options, facts),
        "environment": before,
        "load_average_after": environment()["load_average"],
        "threads": options.threads,
        "clock": options.clock,
        "data": [Path(item).name for item in options.data],
        **facts,
        "diverged": not (folder / "weights.onnx").exists(),
        **measured,
    }
    files.make_folder(options.output.parent)
    reports.write({**read(options.output), name: result}, options.output)
    print(f"{name:24} {line}", flush=True)
    return True


def train(asked: dict[str, Any], folder: Path, options: argparse.Namespace) -> None:
    """In the fresh process: the run; its exit code tells how it ended."""
    if options.clock == "processor":
        loop.time = SimpleNamespace(monotonic=time.process_time)  # type: ignore[attr-defined]
    validation = getattr(options, "validation", None)
    try:
        mezzotint.train(
            asked["recipe"], [Path(item).absolute() for item in options.data], folder,
            overrides=arguments(asked), minutes=asked["minutes"], threads=options.threads, resume=True, quiet=True,
            validation=None if validation is None else Path(validation[1]).absolute(),
        )  # fmt: skip
    except MezzotintError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (folder / loop.LOG).read_text(encoding="utf-8").splitlines()]


def read(output: Path) -> dict[str, Any]:
    """The results so far, by name."""
    return json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}


def command(name: str, options: argparse.Namespace, facts: dict[str, Any]) -> str:
    """How to run this one again; paths without their folders, which mean nothing elsewhere."""
    data = " ".join(f"--data {reports.plain(item)}" for item in options.data)
    more = "".join(f" --{key} {value}=PATH" for key, value in facts.items())
    return (
        f"python benchmarks/{Path(sys.argv[0]).name} --only {name} {data}{more} --minutes {options.minutes:g} "
        f"--clock {options.clock} --threads {options.threads} --seed {options.seed}"
    )
