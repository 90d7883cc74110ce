"""Measure a finished run and ship its weights: into the package with a full card, recipe and log beside the results.

    python benchmarks/publish_weights.py RUN --data-note TEXT --licence TEXT --test Set5=PATH --validation-set VALID=PATH

The card says what the weights were trained on and for how long, what one picture costs (counted, and timed on this machine),
and what they are measured to be worth on each set (super-resolution). Weights are chosen in training, on validation data;
the test sets are only reported.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import reports
from environment import environment

import mezzotint
from mezzotint import catalog, files
from mezzotint.advisor.probe import measure
from mezzotint.export import export
from mezzotint.models.weights import load, save

RESULTS = Path(__file__).parent / "results" / "runs"
PHOTO_TEST = Path(__file__).with_name("photo-degradation.toml")
SIDE = 128  # of the picture that speed is measured on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", help="of the model; the run's by default")
    parser.add_argument("--data-note", required=True, help="what it was trained on, with the licences of the pictures")
    parser.add_argument("--licence", required=True, help="of the weights")
    named = {"action": "append", "default": [], "type": reports.named_path, "metavar": "NAME=PATH"}
    parser.add_argument("--test", **named, help="a test set; may be repeated")
    parser.add_argument("--validation-set", **named, help="the set weights were chosen on, whole")
    parser.add_argument("--photo-test", **named, help="a set to degrade by photo-degradation.toml")
    parser.add_argument("--threads", type=int, default=1, help="to measure speed with")
    parser.add_argument(
        "--lpips", nargs=2, type=Path, metavar=("SQUEEZENET", "HEADS"), help="for lpips_squeeze as well"
    )
    parser.add_argument("--generation", type=Path, help="what measure_generator.py wrote about this run")
    options = parser.parse_args()
    network, card = load(options.run / "weights.safetensors")
    log = (options.run / "log.jsonl").read_text(encoding="utf-8")
    metrics = dict(card.metrics)
    sets = [(name, path, None) for name, path in [*options.test, *options.validation_set]]
    sets += [(f"{name} degraded", path, PHOTO_TEST) for name, path in options.photo_test]
    for name, path, degrade in sets:
        # float32, so that the numbers do not depend on what this processor prefers.
        report = mezzotint.evaluate(options.run, path, precision="f32", lpips=options.lpips, degrade=degrade)
        metrics[name] = {"psnr_y": round(report.psnr_y, 4), "ssim_y": round(report.ssim_y, 4)}
        metrics[name]["psnr_lr"] = round(report.psnr_lr, 2)
        if report.lpips_squeeze is not None:
            metrics[name]["lpips_squeeze"] = round(report.lpips_squeeze, 4)
    if options.generation:
        measured = json.loads(options.generation.read_text(encoding="utf-8"))
        metrics[measured["data"]] = of_generation(measured, options.run.name)
    card = card.replace(
        name=options.name or card.name,
        data=options.data_note,
        licence=options.licence,
        minutes=json.loads(log.splitlines()[-1])["minutes"],
        metrics=metrics,
        speed=speed(options.run, options.threads),
        recipe=without_folders(card.recipe),
    )
    target = catalog.SHIPPED / f"{card.name}.safetensors"
    save(network, card, target)
    export(target, target.with_suffix(".onnx"), overwrite=True)
    folder = files.make_folder(RESULTS / card.name)
    files.write_bytes(folder / "log.jsonl", log.encode())
    files.write_bytes(folder / "recipe.json", json.dumps(card.recipe, indent=1, sort_keys=True).encode() + b"\n")
    print(f"{card.name}: {metrics}, {card.speed}")


def of_generation(measured: dict[str, Any], run: str) -> dict[str, float]:
    """What a card says of a generator: shares as they are, beside what real images score; distances as multiples of that."""
    (result,) = (result for result in measured["results"] if result["model"] == run)
    metrics = {}
    for score in result["scores"]:
        name, value, ratio = score["metric"], score["value"], score.get("ratio")
        if ratio is not None:
            metrics[f"{name}_ratio"] = round(ratio, 3)
        else:
            metrics |= {name: round(value, 4)}
            metrics |= {f"{name}_real": round(score["real"], 4)} if score["real"] is not None else {}
    return metrics


def without_folders(value: Any) -> Any:
    """A recipe whose paths are names alone: what stood where on this machine means nothing on another."""
    if isinstance(value, dict):
        return {key: without_folders(part) for key, part in value.items()}
    return reports.plain(value) if isinstance(value, str) and Path(value).is_absolute() else value


def speed(run: Path, threads: int) -> dict[str, Any]:
    """Median seconds for a 128x128 picture (a generator: for one image), and on what; processors by their kind alone."""
    took = measure(run, image=(SIDE, SIDE), threads=threads)
    machine = environment()
    return {
        "seconds": round(took.seconds, 5),
        **({"input": list(took.input)} if took.input else {}),
        "runtime": took.runtime,
        "precision": took.precision,
        "threads": threads,
        "processor": machine["processor"],
        "load_average": machine["load_average"][0],
    }


if __name__ == "__main__":
    main()
