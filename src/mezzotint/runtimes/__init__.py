"""Runtimes run weights: float32 arrays in, float32 arrays out, a card beside them, nothing else.

A runtime is a module with `load(path, card, precision, threads) -> Model`. Three read files: `openvino` (the default on
CPUs, reads `.onnx`), `onnx` (onnxruntime, reads `.onnx`) and `pytorch` (reads `.safetensors`); `bicubic` needs no file.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mezzotint import catalog
from mezzotint.card import SUPER_RESOLUTION, Card, read_card
from mezzotint.errors import NoCardError, UsageError

RUNTIMES = ("openvino", "onnx", "pytorch")
PRECISIONS = ("auto", "f32", "bf16", "int8")


class Model(Protocol):
    """Loaded weights. Super-resolution: `model(lr)`, 1 C H W -> 1 C sH sW, values 0 to 1. Generation: `model(z)` or
    `model(z, labels)`, z B latent_dim float32, labels B int64 -> B C H W, values -1 to 1.
    """

    card: Card
    precision: str  # what it computes in: "f32", "bf16" or "int8"

    def __call__(self, *inputs: np.ndarray) -> np.ndarray: ...


def load(
    name_or_path: str | Path,
    runtime: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    *,
    ensemble: bool = False,
    streams: int = 1,
) -> Model:
    """Load a model by name, run folder or file. `runtime="auto"` is OpenVINO; `precision="auto"` is the fastest one that
    is safe on this machine, f32 exact float32, int8 takes the model's int8 file; `threads=None` all that the process may
    use; `ensemble` asks a super-resolution model eight times, turned and mirrored, and takes the mean; of OpenVINO,
    `streams` threads may call the model at once, each with its share of `threads`.

    Raises `UsageError` (unknown name, runtime, precision or a missing extra), `InputError`, `ModelError`.
    """
    if runtime not in ("auto", *RUNTIMES):
        raise UsageError(f"unknown runtime '{runtime}'; choose auto, {', '.join(RUNTIMES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision '{precision}'; choose {', '.join(PRECISIONS)}")
    if ensemble:
        if card(name_or_path).task != SUPER_RESOLUTION:
            raise UsageError(f"{name_or_path} generates images; an ensemble is for super-resolution")
        from mezzotint.runtimes.ensemble import Ensemble

        return Ensemble(load(name_or_path, runtime, precision, threads, streams=streams))
    if runtime == "auto":
        runtime = "openvino"
    if streams > 1 and runtime != "openvino":
        raise UsageError(
            f"the {runtime} runtime enlarges one picture at a time; choose 1 stream, or --runtime openvino"
        )
    if runtime == "pytorch" and precision == "int8":
        raise UsageError("the pytorch runtime has no int8; choose --runtime openvino")
    deployed = catalog.QUANTIZED if precision == "int8" else catalog.DEPLOYED
    path = catalog.find(name_or_path, catalog.TRAINED if runtime == "pytorch" else deployed)
    if path is None:
        from mezzotint.runtimes import bicubic

        return bicubic.Bicubic(catalog.card(name_or_path))
    module = importlib.import_module(f"mezzotint.runtimes.{runtime}")
    options: dict[str, Any] = {"threads": threads} | ({"streams": streams} if streams > 1 else {})
    try:
        return module.load(path, read_card(path), precision, **options)
    except NoCardError:
        if path.suffix != catalog.DEPLOYED:
            raise
    from mezzotint.runtimes import foreign

    facts = foreign.card(path)
    # Of a network that nothing is known of it is not known either that less exact arithmetic is safe.
    model = module.load(path, facts, "f32" if precision == "auto" else precision, **options)
    return foreign.Foreign(model, facts)


def card(name_or_path: str | Path) -> Card:
    """The card of a model, without loading it; of an `.onnx` file that has none, what running it once shows.

    Raises as `catalog.card` and `foreign.card`.
    """
    try:
        return catalog.card(name_or_path)
    except NoCardError:
        if Path(name_or_path).suffix != catalog.DEPLOYED:
            raise
    from mezzotint.runtimes import foreign

    return foreign.card(name_or_path)
