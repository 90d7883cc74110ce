"""Measure models on data sets by the papers' protocol and write the numbers with everything they depend on.

    python benchmarks/measure_models.py bicubic-x2 bicubic-x4 --data Set5=PATH --data Set14=PATH --output results.json

Every number in a table about models comes from such a file. Data sets are written by name: a path means nothing elsewhere.
"""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path
from typing import Any

import reports
from environment import environment

import mezzotint
from mezzotint import catalog


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names, run folders or model files")
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        type=reports.named_path,
        metavar="NAME=PATH",
        help="a data set; may be repeated",
    )
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--lpips", nargs=2, type=Path, metavar=("SQUEEZENET", "HEADS"), help="for lpips_squeeze as well"
    )
    parser.add_argument("--degrade", type=Path, metavar="TOML", help="make the low resolution by its [degradation]")
    options = parser.parse_args()
    data = dict(options.data)
    settings = {"runtime": options.runtime, "precision": options.precision, "threads": options.threads}
    named = " ".join(f"--data {name}=PATH" for name in data)
    low = f"degraded by {reports.plain(options.degrade)}" if options.degrade else "MATLAB bicubic on 8 bits"
    facts = {
        "command": f"python benchmarks/measure_models.py {' '.join(map(reports.plain, options.models))} {named} "
        f"--output {reports.shown(options.output)}"
        + (f" --lpips {' '.join(map(reports.plain, options.lpips))}" if options.lpips else "")
        + (f" --degrade {reports.shown(options.degrade)}" if options.degrade else ""),
        "environment": environment(),
        "settings": settings,
        "protocol": f"{low}; prediction rounded to 8 bits; border of scale pixels cut; Y of BT.601",
        "results": [
            measure(model, name, path, settings | {"lpips": options.lpips, "degrade": options.degrade})
            for model in options.models
            for name, path in data.items()
        ],
    }
    reports.write(facts, options.output)


def measure(model: str, name: str, path: str, settings: dict[str, Any]) -> dict[str, Any]:
    """One model on one data set: the means, the median of seconds, and the row of each image."""
    report = mezzotint.evaluate(model, path, **settings)
    print(
        f"{reports.plain(model):24} {name:12} {report.psnr_y:8.4f} dB  SSIM {report.ssim_y:.4f}  {report.seconds:.3f} s"
    )
    rows = [
        {
            "name": row.name,
            "psnr_y": _number(row.psnr_y, 4),
            "psnr_rgb": _number(row.psnr_rgb, 4),
            "ssim_y": _number(row.ssim_y, 5),
            "psnr_lr": _number(row.psnr_lr, 2),
            **_perceptual(row.lpips_squeeze),
            "seconds": _number(row.seconds, 4),
        }
        for row in report.results
    ]
    return {
        "model": reports.plain(model),
        "weights_sha256": catalog.card(model).weights_sha256,
        "data": name,
        "scale": report.scale,
        "n": len(report.results),
        "failed": len(report.failures),
        "infinite": report.infinite,
        "psnr_y": _number(report.psnr_y, 4),
        "psnr_rgb": _number(report.psnr_rgb, 4),
        "ssim_y": _number(report.ssim_y, 5),
        "psnr_lr": _number(report.psnr_lr, 2),
        **_perceptual(report.lpips_squeeze),
        "median_seconds": _number(statistics.median(row.seconds for row in report.results), 4),
        "images": rows,
    }


def _perceptual(lpips: float | None) -> dict[str, float | None]:
    return {} if lpips is None else {"lpips_squeeze": _number(lpips, 4)}


def _number(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


if __name__ == "__main__":
    main()
