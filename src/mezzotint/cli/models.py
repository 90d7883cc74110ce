"""`mezzotint models`: what can be used without training or downloading anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mezzotint.card import Card

_HEADERS = ("name", "task", "scale", "parameters", "MB", "Set5", "Set14", "licence", "description")


def models(as_json: bool = typer.Option(False, "--json", help="One JSON object per model and a last summary.")) -> None:
    """List the models that come with mezzotint, by what their cards say (Set5 and Set14: PSNR on luma in dB).

    Every command that takes a model also takes the path of a run folder, a .onnx or a .safetensors file.
    """
    from mezzotint import catalog
    from mezzotint.cli import _table

    names = catalog.names()
    cards = [catalog.card(name) for name in names]
    paths = [catalog.find(name) for name in names]
    sizes = [path.stat().st_size if path else 0 for path in paths]
    if as_json:
        for card, path, size in zip(cards, paths, sizes, strict=True):
            print(json.dumps({**json.loads(card.to_json()), "bytes": size, "file": str(path) if path else None}))
        print(json.dumps({"summary": True, "n": len(names)}))
        return
    rows = [_row(card, size) for card, size in zip(cards, sizes, strict=True)]
    _table.show(_HEADERS, rows, right=("scale", "parameters", "MB", "Set5", "Set14"))


def _row(card: Card, size: int) -> tuple[str, ...]:
    psnrs = (card.metrics.get(data, {}).get("psnr_y") for data in ("Set5", "Set14"))
    return (
        card.name,
        card.task,
        f"x{card.scale}" if card.scale else "",
        f"{card.parameters:,}" if card.parameters is not None else "",
        f"{size / 1e6:.1f}" if size else "",
        *(f"{psnr:.2f}" if psnr is not None else "" for psnr in psnrs),
        card.licence,
        card.description,
    )
