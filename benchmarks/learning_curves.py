"""Draw how the shipped upscalers learned: PSNR-Y on validation images against minutes of training, as an SVG.

    python benchmarks/learning_curves.py            # benchmarks/results/runs/*/log.jsonl -> docs/images/learning-curves.svg
    python benchmarks/learning_curves.py RUN ... -o curves.svg

Minutes are on a logarithmic scale: what the next decibel costs doubles and doubles again.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from xml.sax.saxutils import escape

from mezzotint import files

ROOT = Path(__file__).parent.parent
# Okabe and Ito 2008: told apart by colour-blind readers too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#8c6bb1")
# The drawing and, within it, left, right, top and bottom of the plot.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 480, 56, 660, 44, 428
LINE_OF_TEXT = 17

Curve = list[tuple[float, float]]  # minutes, dB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="run folders; those of the shipped models by default")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images" / "learning-curves.svg")
    options = parser.parse_args()
    runs = options.runs or sorted((ROOT / "benchmarks" / "results" / "runs").iterdir())
    curves = {run.resolve().name: found for run in runs if (found := curve(run / "log.jsonl"))}
    if not curves:
        parser.error("none of these runs has a validation PSNR in its log.jsonl")
    files.write_bytes(options.output, draw(curves).encode())


def curve(log: Path) -> Curve:
    """Each validation of a run that was later than 0.00 minutes; empty for generators."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    validations = [(line["minutes"], line.get("validation", {}).get("psnr_y")) for line in lines]
    return [(minutes, psnr) for minutes, psnr in validations if minutes > 0 and psnr is not None]


def draw(curves: dict[str, Curve]) -> str:
    """The SVG: one line for each curve, its name where it ends."""
    minutes, decibels = zip(*(point for points in curves.values() for point in points), strict=True)
    first, last = math.log(min(minutes)), math.log(max(max(minutes), 2 * min(minutes)))
    low, high = math.floor(min(decibels)), math.ceil(max(decibels) + 0.01)

    def x(minute: float) -> float:
        return LEFT + (math.log(minute) - first) / (last - first) * (RIGHT - LEFT)

    def y(decibel: float) -> float:
        return BOTTOM - (decibel - low) / (high - low) * (BOTTOM - TOP)

    parts = [f'<text x="{LEFT}" y="22" class="title">PSNR-Y on validation images, dB</text>']
    for line in range(low, high + 1):
        parts.append(f'<path d="M{LEFT} {y(line):.1f}H{RIGHT}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 10}" y="{y(line) + 4:.1f}" text-anchor="end">{line}</text>')
    for tick in (step * 10.0**power for power in range(-2, 5) for step in (1, 2, 5)):
        if first <= math.log(tick) <= last:
            parts.append(f'<path d="M{x(tick):.1f} {TOP}V{BOTTOM + 5}" class="grid"/>')
            parts.append(f'<text x="{x(tick):.1f}" y="{BOTTOM + 21}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{RIGHT}" y="{BOTTOM + 42}" text-anchor="end">minutes of training</text>')
    label = math.inf
    # From the lowest end upwards, each name above the one before; a thin line leads to it.
    for index, (name, points) in enumerate(sorted(curves.items(), key=lambda item: item[1][-1][1])):
        colour, (minute, decibel) = COLOURS[index % len(COLOURS)], points[-1]
        label = min(label - LINE_OF_TEXT, y(decibel))
        path = "L".join(f"{x(time):.1f} {y(value):.1f}" for time, value in points)
        parts += [
            f'<path d="M{x(minute):.1f} {y(decibel):.1f}L{RIGHT + 10} {label:.1f}" stroke="{colour}" class="leader"/>',
            f'<path d="M{path}" stroke="{colour}" class="curve"/>',
            f'<circle cx="{x(minute):.1f}" cy="{y(decibel):.1f}" r="3.5" fill="{colour}"/>',
            f'<text x="{RIGHT + 16}" y="{label + 4:.1f}" class="name" style="fill:{colour}">'
            f"{escape(name)} {decibel:.2f}</text>",
        ]
    body = "\n".join(parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">
<title>How the upscalers learned: PSNR-Y against minutes of training</title>
<style>
text {{ font: 13px "DejaVu Sans", Verdana, sans-serif; fill: #555 }}
.title {{ font-size: 15px; fill: #222 }}
.name {{ font-weight: bold }}
path {{ fill: none; stroke-linejoin: round }}
.grid {{ stroke: #e3e3e3 }}
.leader {{ stroke-opacity: 0.5 }}
.curve {{ stroke-width: 2.2 }}
</style>
<rect width="100%" height="100%" fill="#fff"/>
{body}
</svg>
"""


if __name__ == "__main__":
    main()
