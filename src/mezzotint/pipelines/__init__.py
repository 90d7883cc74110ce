"""Pipelines turn models into things a person uses: image in, image out; seed in, images out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mezzotint.card import GENERATION

if TYPE_CHECKING:
    from mezzotint.pipelines.generate import Generator
    from mezzotint.pipelines.upscale import Upscaler


def load(
    name_or_path: str | Path,
    runtime: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    *,
    ensemble: bool = False,
    streams: int = 1,
) -> Upscaler | Generator:
    """Load a model by name, run folder or file, ready to be called; what it is stands on its `.card`.

    Arguments and errors as `mezzotint.runtimes.load`.
    """
    from mezzotint import runtimes

    loaded = partial(runtimes.load, name_or_path, runtime, threads=threads, ensemble=ensemble, streams=streams)
    model = loaded(precision=precision)
    if model.card.task == GENERATION:
        from mezzotint.pipelines.generate import Generator

        return Generator(model)
    from mezzotint.pipelines.upscale import Upscaler

    # Less exact arithmetic can overflow where float32 does not.
    exact = None if model.precision == "f32" else partial(loaded, precision="f32")
    return Upscaler(model, exact=exact, streams=streams)
