"""Latents on disk: the z of chosen images, with their classes, as JSON; or bare, as an array of NumPy.

    {"model": "fashion-28", "weights_sha256": "...", "latents": [{"z": [0.5, ...], "label": "Bag", ...}, ...]}

Values are exact in either form. A z means something to the weights it was found with and to those trained on from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.card import Card
from mezzotint.errors import InputError, UsageError
from mezzotint.files import write_bytes
from mezzotint.pipelines.generate import Generator

SUFFIXES = (".json", ".npy")
_LARGEST_FILE = 256 << 20


@dataclass(frozen=True)
class Latents:
    """`z`, N latent float32, the names of their classes, None where the file says nothing, and the weights' SHA-256."""

    z: np.ndarray
    labels: tuple[str | None, ...]
    weights_sha256: str = ""

    def classes(self, generator: Generator, label: int | str | None = None) -> np.ndarray:
        """The class of each, N int64, as `Generator.labels`: `label` for all of them, else what the file says, else in turn.

        Raises `UsageError` for a class that the generator does not know.
        """
        in_turn = generator.labels(len(self.z), label)
        if label is not None:
            return in_turn
        own = [in_turn[i] if name is None else generator.labels(1, name)[0] for i, name in enumerate(self.labels)]
        return np.array(own, np.int64)


def write_latents(
    path: str | Path, card: Card, z: np.ndarray, facts: Sequence[Mapping[str, Any]], *, overwrite: bool = False
) -> None:
    """Write `z`, N latent, each with its `facts`, of which "label" (a class's name) is read again. Raises `OutputError`."""
    latents = [{**more, "z": one.tolist()} for one, more in zip(z, facts, strict=True)]
    whole = {"model": card.name, "weights_sha256": card.weights_sha256, "latents": latents}
    text = json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1)
    write_bytes(path, f"{text}\n".encode(), overwrite=overwrite)


def read_latents(path: str | Path, card: Card) -> Latents:
    """The latents of a file for the generator of `card`.

    Raises `InputError` (unreadable, damaged, not finite) and `UsageError` (another suffix, or latents of another shape).
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: latents are read from one of {', '.join(SUFFIXES)}")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path} is larger than {_LARGEST_FILE >> 20} MiB, too large for latents")
        found = _array(path) if path.suffix == ".npy" else _document(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} holds no latents as `mezzotint project` writes them ({error})") from error
    if found.z.shape[1:] != card.latent_shape or not len(found.z):
        wanted = " x ".join(map(str, card.latent_shape))
        raise UsageError(
            f"{path}: {card.name} takes latents of N x {wanted}, not {' x '.join(map(str, found.z.shape))}"
        )
    if not np.isfinite(found.z).all():
        raise InputError(f"{path} holds values that are not finite")
    return found


def _array(path: Path) -> Latents:
    try:
        # Mapped, so that a header that claims more than the file holds is refused before anything is allocated.
        z = np.array(np.load(path, mmap_mode="r", allow_pickle=False)).astype(np.float32)
    except Exception as error:  # the parser of its header lets all kinds out
        raise ValueError(error) from error
    return Latents(z, (None,) * (len(z) if z.ndim else 0))


def _document(path: Path) -> Latents:
    whole = json.loads(path.read_text(encoding="utf-8"))
    entries = whole["latents"]
    labels = tuple(entry.get("label") for entry in entries)
    if any(not isinstance(label, str | None) for label in labels):
        raise ValueError("a label is the name of a class")
    return Latents(
        np.array([entry["z"] for entry in entries], np.float32), labels, str(whole.get("weights_sha256", ""))
    )
