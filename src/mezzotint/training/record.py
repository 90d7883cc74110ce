"""What a run folder says about its run, and whether another run may go on with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import mezzotint
from mezzotint.data.images import ImageSet
from mezzotint.errors import InputError, UsageError
from mezzotint.files import make_folder, write_bytes
from mezzotint.recipes import toml
from mezzotint.recipes.model import Recipe
from mezzotint.training.loop import CHECKPOINT, LOG

RECORD = "recipe.json"
# Of 255: two decoders of one file differ by less in the mean of an image.
_SAME_BRIGHTNESS = 2
# What may differ between a run and its resumption: the budget and how often we look, nothing that shapes the weights.
_FREE_TO_CHANGE = {"steps", "minutes", "validations", "log_every", "checkpoint_seconds", "description"}


def earlier_files(folder: Path, resume: bool) -> list[str]:
    """What `folder` holds of a run. Raises `UsageError` unless it is to be resumed, `InputError` if it cannot be."""
    there = [
        name for name in (RECORD, CHECKPOINT, LOG, "weights.safetensors", "weights.onnx") if (folder / name).exists()
    ]
    if there and not resume:
        raise UsageError(
            f"{folder} already holds a run ({there[0]}); add --resume to go on with it, or choose another folder"
        )
    if there and RECORD not in there:
        raise InputError(
            f"{folder} holds {there[0]} but no {RECORD}; it cannot be resumed safely, choose another folder"
        )
    return there


def earlier(folder: Path, recipe: Recipe, resume: bool) -> dict[str, Any] | None:
    """The record of the run that `folder` holds, if it may be resumed by `recipe`; None for a new one."""
    if not earlier_files(folder, resume):
        return None
    record = folder / RECORD
    try:
        before: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        # Through the model, so that keys which recipes did not have then count as what they are by default.
        trained = Recipe.model_validate(before["recipe"]).model_dump(mode="json")
        wanted = recipe.model_dump(mode="json")
        changed = [key for key in wanted if key not in _FREE_TO_CHANGE and wanted[key] != trained[key]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{record} is damaged ({error}); the run cannot be resumed safely") from error
    if changed:
        raise UsageError(f"{folder} was trained by another recipe: {', '.join(changed)} differ; choose another folder")
    return before


def open_folder(
    folder: Path,
    recipe: Recipe,
    paths: list[str | Path],
    images: ImageSet,
    sources: dict[str, str],
    before: dict[str, Any] | None,
    reasons: Sequence[str],
) -> bool:
    """Make the run folder with its record, or check that the data and `sources` are still the same; whether there is a
    state to resume.
    """
    named = images.fingerprint()
    if before and before.get("images_sha256", named) != named:
        raise UsageError(
            f"{folder} was trained on {before.get('images')} images, these {len(images)} are others; to go on from its "
            f"weights, choose another folder and set start={folder}"
        )
    brightness = images.brightness()
    known = before.get("brightness", brightness) if before else brightness
    if any(abs(now - then) > _SAME_BRIGHTNESS for now, then in zip(brightness, known, strict=False)):
        raise UsageError(
            f"{folder} was trained on images of these names and sizes that looked different; give those, or, to go on from "
            f"its weights, choose another folder and set start={folder}"
        )
    if before and before.get("sources", {}) != sources:
        changed = sorted(name for name, _ in before.get("sources", {}).items() ^ sources.items())
        raise UsageError(
            f"{folder} was trained with another file for {changed[0]}; give that one, or choose another folder"
        )
    make_folder(folder / "samples")
    facts = {
        "recipe": recipe.model_dump(mode="json"), "data": [str(path) for path in paths],
        "images": len(images), "images_sha256": named, "brightness": brightness, "left_out": images.skipped,
        "sources": sources,
        "versions": {"mezzotint": mezzotint.__version__, "torch": torch.__version__},
    }  # fmt: skip
    write_bytes(folder / RECORD, json.dumps(facts, indent=1, sort_keys=True).encode())
    if before is None:
        text = toml.written(recipe.model_dump(mode="json", exclude_unset=True), reasons)
        write_bytes(folder / "recipe.toml", text.encode(errors="replace"))
    return before is not None and (folder / CHECKPOINT).exists()


__all__ = ["RECORD", "earlier", "earlier_files", "open_folder"]
