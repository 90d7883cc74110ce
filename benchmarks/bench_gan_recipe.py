"""What a change of a GAN's recipe is worth at equal training time: one short run for each experiment of a file.

    python benchmarks/bench_gan_recipe.py --data TRAIN --reference NAME=TEST --minutes 2 --clock processor

`gan_recipes.toml` lists the experiments; how they are run: `experiments.py`. Each generator is measured as by `mezzotint
evaluate` on 2,000 images: the distance in the features of a classifier of the real images as a multiple of what real images
score, coverage, and the accuracy on real images of a classifier that learnt from generated ones. Give other minutes another
`--output`, since a name stands for one result. A difference that another `--seed` turns round is none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import reports
from experiments import arguments, arguments_of, log_of, run_all

import mezzotint
from mezzotint import catalog
from mezzotint.recipes import model as recipes

_IMAGES, _LESSONS = 2000, 10_000


def main() -> None:
    parser = arguments_of(__doc__, "gan-recipes")
    parser.add_argument(
        "--reference", required=True, type=reports.named_path, metavar="NAME=PATH", help="held-out images"
    )
    options = parser.parse_args()

    def measured(folder: Path, asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
        lines = log_of(folder)
        images = lines[-1]["step"] * recipes.read(asked["recipe"], arguments(asked)).data.batch
        facts: dict[str, Any] = {"steps": lines[-1]["step"], "images": images, "skipped": lines[-1].get("skipped", 0)}
        if not (folder / "weights.onnx").exists():
            return facts, "diverged"
        report = mezzotint.evaluate_generator(
            folder, options.data[0], options.reference[1],
            n=_IMAGES, classifier_images=_LESSONS, threads=options.threads,
        )  # fmt: skip
        facts["parameters"] = catalog.card(folder).parameters
        for name, score in report.scores.items():
            facts[name] = {"value": score.value, "real": score.real, "ratio": score.ratio}
        shown = ", ".join(
            f"{name} {facts[name]['value']:.3f}"
            for name in ("classifier_accuracy", "fd_own", "coverage_own")
            if name in facts
        )
        return facts, f"{images:8,} images, {shown}"

    run_all(parser, options, measured, {"reference": options.reference[0]})


if __name__ == "__main__":
    main()
