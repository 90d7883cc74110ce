"""What a change of a super-resolution recipe is worth at equal training time: one short run for each experiment of a file.

    python benchmarks/bench_sr_recipe.py --data PHOTOS.zip --validation NAME=PATH --minutes 5 --threads 1

`sr_recipes.toml` lists the experiments; how they are run: `experiments.py`. Give other minutes another `--output`, since a
name stands for one result. A difference that another `--seed` turns round is none.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import reports
from experiments import arguments, arguments_of, log_of, run_all

from mezzotint import catalog
from mezzotint.recipes import model as recipes


def main() -> None:
    parser = arguments_of(__doc__, "sr-recipes")
    parser.add_argument(
        "--validation", required=True, type=reports.named_path, metavar="NAME=PATH", help="pictures to measure on"
    )
    options = parser.parse_args()
    run_all(parser, options, measured, {"validation": options.validation[0]})


def measured(folder: Path, asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What the log of a run says, and how large the deployed network is (unless it diverged)."""
    lines = log_of(folder)
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
    facts = {
        "parameters": catalog.card(folder).parameters if finished else None,
        "steps": lines[-1]["step"],
        "lr_pixels": pixels,
        # The median leaves out the intervals that a validation made longer.
        "lr_pixels_per_second": round(statistics.median(speeds)) if speeds else None,
        "curve": curve,  # minutes, PSNR-Y in dB of the averaged network
        "psnr_y": curve[-1][1] if finished else None,
    }
    return facts, f"{facts['steps']:6} steps, PSNR-Y {facts['psnr_y']} dB"


if __name__ == "__main__":
    main()
