"""Write the tables of the README and the docs from cards and results; `--check` only says whether they are up to date.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a function here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from mezzotint import catalog
from mezzotint.card import GENERATION, SUPER_RESOLUTION, Card

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
_DEGRADED = "CID22-valid degraded"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    stale = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        fresh = _TABLE.sub(lambda match: match[1] + globals()[match[2]]() + match[3], text)
        if fresh != text:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(fresh, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"stale tables in {', '.join(stale)}: run python benchmarks/tables.py")
    print(f"tables {'are up to date' if not stale else 'written: ' + ', '.join(stale)}")


def models() -> str:
    """The upscalers that come with the package, from their cards; quality of the bicubic ones from its own file."""
    headers = ("model", "what it does", "parameters", "MACs per LR pixel", "Set5 (dB)", "Set14 (dB)")
    rows = [_upscaler(card) for card in map(catalog.card, catalog.names()) if card.task == SUPER_RESOLUTION]
    return _table((*headers, "LPIPS on Set14", "trained"), rows)


def generators() -> str:
    """The generators that come with the package, from their cards."""
    headers = ("model", "what it does", "parameters", "MACs per image", "distance", "coverage", "classifier accuracy")
    rows = [_generator(card) for card in map(catalog.card, catalog.names()) if card.task == GENERATION]
    return _table((*headers, "trained"), rows)


def _upscaler(card: Card) -> tuple[str, ...]:
    measured = card.metrics or _baseline(card)
    set5, set14 = (measured.get(name, {}) for name in ("Set5", "Set14"))
    return (
        *_head(card),
        f"{set5['psnr_y']:.2f}" if set5 else "",
        f"{set14['psnr_y']:.2f}" if set14 else "",
        f"{set14['lpips_squeeze']:.3f}" if "lpips_squeeze" in set14 else "",
        _training(card),
    )


def _generator(card: Card) -> tuple[str, ...]:
    (measured,) = card.metrics.values() or ({},)
    features = next((kind for kind in ("own", "squeezenet", "pixels") if f"fd_{kind}_ratio" in measured), "")
    accuracy = measured.get("classifier_accuracy")
    return (
        *_head(card),
        f"{measured[f'fd_{features}_ratio']:.1f} (`{features}`)" if features else "",
        _beside_real(measured, f"coverage_{features}") if features else "",
        _beside_real(measured, "classifier_accuracy") if accuracy is not None else "",
        _training(card),
    )


def _beside_real(measured: dict[str, float], name: str) -> str:
    real = measured.get(f"{name}_real")
    return f"{measured[name]:.3f}" + (f" (real {real:.3f})" if real is not None else "")


def _head(card: Card) -> tuple[str, ...]:
    counts = (f"{count:,}" if count else "" for count in (card.parameters, card.macs))
    return f"`{card.name}`", card.description, *counts


def _training(card: Card) -> str:
    return f"{card.minutes:.0f} min, {card.steps:,} steps" if card.minutes and card.steps else ""


def _baseline(card: Card) -> dict[str, dict[str, float]]:
    measured = json.loads((RESULTS / "bicubic.json").read_text(encoding="utf-8"))["results"]
    return {row["data"]: row for row in measured if row["model"] == card.name}


def bicubic() -> str:
    """Bicubic on the test sets: the check that the protocol is the papers'."""
    measured = json.loads((RESULTS / "bicubic.json").read_text(encoding="utf-8"))["results"]
    rows = [(row["model"], row["data"], f"{row['psnr_y']:.2f}", f"{row['ssim_y']:.4f}") for row in measured]
    return _table(("model", "data", "PSNR-Y (dB)", "SSIM-Y"), rows)


def photos() -> str:
    """Upscalers on photographs degraded by photo-degradation.toml: the cards', and bicubic beside them."""
    measured = json.loads((RESULTS / "photos.json").read_text(encoding="utf-8"))["results"]
    scores = {row["model"]: row for row in measured}
    scores |= {
        name: card.metrics[_DEGRADED]
        for name, card in ((name, catalog.card(name)) for name in catalog.names())
        if _DEGRADED in card.metrics
    }
    rows = [
        (f"`{name}`", f"{score['psnr_y']:.2f}", f"{score['lpips_squeeze']:.3f}")
        for name, score in sorted(scores.items(), key=lambda item: item[1]["lpips_squeeze"])
    ]
    return _table(("model", "PSNR-Y (dB)", "LPIPS-squeeze"), rows)


def sr_recipes() -> str:
    """What changes of a recipe are worth at equal training time, the best first."""
    path = RESULTS / "sr-recipes.json"
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    baseline = measured.get("baseline", {}).get("psnr_y")
    ranked = sorted(measured.items(), key=lambda item: -(item[1]["psnr_y"] or 0.0))
    rows = [
        (
            f"`{name}`",
            f"`{result['recipe']}`: {', '.join(f'`{item}`' for item in result['overrides']) or 'as it is'}",
            f"{result['parameters']:,}" if result["parameters"] else "",
            f"{result['minutes']:g}",
            f"{result['steps']:,}",
            f"{result['lr_pixels'] / 1e6:.1f} M",
            f"{result['psnr_y']:.3f}" if result["psnr_y"] else "diverged",
            f"{result['psnr_y'] - baseline:+.3f}" if result["psnr_y"] and baseline else "",
        )
        for name, result in ranked
    ]
    headers = ("experiment", "recipe and changes", "parameters", "minutes", "steps", "LR pixels", "PSNR-Y (dB)")
    return _table((*headers, "against baseline"), rows)


def gan_recipes() -> str:
    """What changes of a GAN's recipe are worth at equal training time, the best first."""
    path = RESULTS / "gan-recipes.json"
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    ranked = sorted(measured.items(), key=lambda item: item[1].get("fd_own", {}).get("ratio") or float("inf"))
    rows = [
        (
            f"`{name}`",
            result["why"],
            f"{result['parameters']:,}" if result.get("parameters") else "",
            f"{result['images'] / 1e3:.0f} k",
            *(
                f"{result[metric][kind]:.3f}" if metric in result else "diverged"
                for metric, kind in (("fd_own", "ratio"), ("coverage_own", "value"), ("classifier_accuracy", "value"))
            ),
        )
        for name, result in ranked
    ]
    headers = ("experiment", "why", "parameters", "images", "distance / floor", "coverage", "classifier accuracy")
    return _table(headers, rows)


def _table(headers: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
