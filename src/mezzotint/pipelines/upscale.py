"""Image in, larger image out: colour, depth, transparency, tiles and odd scales around a super-resolution model."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from mezzotint import __version__, catalog, hardware
from mezzotint.card import SUPER_RESOLUTION
from mezzotint.errors import ModelError, QualityError, UsageError
from mezzotint.image.alpha import bounded_by_neighbours, fill_hidden
from mezzotint.image.io import Picture, from_pillow, read, to_pillow
from mezzotint.image.metadata import ENHANCED
from mezzotint.image.resize import imresize
from mezzotint.image.rows import Rows
from mezzotint.image.tiling import bands, run_tiled
from mezzotint.pipelines.memory import check_fits, tile_side
from mezzotint.pipelines.samples import to_type, to_unit
from mezzotint.pipelines.soundness import fault
from mezzotint.runtimes import Model

__all__ = ["Upscaler", "best_model", "upscale"]

LARGEST_SCALE = 16
# Where a runtime does not say: side of the largest tile worth it, surroundings included, and bytes for each of its pixels.
_WORKING = 384, 10_000
# Output pixels from which on a picture may come in rows; smaller ones do not need it.
_ROWS_FROM = 1 << 24
_Between = Callable[[], None]


class Upscaler:
    """A super-resolution model, warm and reusable.

    Its `card` says what it is. `exact` loads the same model in float32, for the case that a result is not finite. Any
    number of threads may call it, and `streams` is how many the model computes for at once.
    """

    def __init__(self, model: Model, *, exact: Callable[[], Model] | None = None, streams: int = 1) -> None:
        card = model.card
        if card.task != SUPER_RESOLUTION or card.scale is None:
            raise UsageError(f"{card.name} is a {card.task} model and cannot upscale; see `mezzotint models`")
        self.model, self.card, self.streams, self._model_scale = model, card, streams, card.scale
        self._exact, self._exchange = exact, threading.Lock()

    def __call__(self, image: Any, scale: float | None = None, *, tile: int | None = None) -> Any:
        """Upscale by `scale`, by default the model's own.

        | image | result |
        |---|---|
        | path of an image file, or a Pillow image | Pillow image, metadata in `info` |
        | array H W or H W C (C 1, 2, 3, 4: grey or RGB, alpha last), uint8 or uint16 over the full range | same type |
        | array H W or H W C, floating, 0 to 1 | same type, 0 to 1 |
        | array 1 C H W, floating, 0 to 1 | the bare network: 1 C sH sW float32, neither rounded nor clipped |

        `tile` is as in `picture`. Raises `UsageError`, `InputError`, `LimitError`, `ModelError`, `QualityError`.
        """
        if isinstance(image, np.ndarray):
            return self._array(image, scale, tile)
        source = read(image) if isinstance(image, str | Path) else from_pillow(image)
        result = self.picture(source, scale, tile=tile)
        if result.pixels.dtype == np.uint16 and (result.alpha is not None or result.pixels.shape[2] == 3):
            warnings.warn(
                "a Pillow image cannot hold 16-bit colour: rounded to 8 bits; give and take NumPy arrays, or use "
                "`Upscaler.picture`, to keep 16",
                stacklevel=2,
            )
        return to_pillow(result)

    def picture(
        self,
        picture: Picture,
        scale: float | None = None,
        *,
        tile: int | None = None,
        memory: int | None = None,
        in_rows: bool = False,
        between: _Between = lambda: None,
    ) -> Picture:
        """Upscale a `Picture`: depth, colour, transparency and metadata kept; `notes` say what a user should know.

        `tile` is the side of the tiles in input pixels; 0 never tiles; None tiles where the image is large. `memory` bounds
        the bytes used beside the input, by default one stream's share of what is free. The result depends on neither. With
        `in_rows` a large opaque picture may come as `Rows`, computed while it is written. `between` is called before every
        tile, and may end the work by what it raises. A grey picture goes through an RGB network as three equal channels.
        Raises `UsageError` (scale, tile), `LimitError` (memory), `ModelError`, `QualityError` (non-finite result).
        """
        wanted, notes = self._wanted(scale)
        size = _target(picture.height, wanted), _target(picture.width, wanted)
        pixels, alpha, metadata = picture.pixels, picture.alpha, picture.metadata.resized(size[1], size[0])
        memory = memory or self._memory()
        if in_rows and alpha is None and self._is_native(pixels, size) and size[0] * size[1] >= _ROWS_FROM:
            side = self._tile(pixels, memory, in_rows=True) if tile is None else tile
            if side:
                rows = Rows((*size, pixels.shape[2]), pixels.dtype, lambda: self._rows(pixels, side, between))
                return picture.replace(pixels=rows, metadata=metadata, notes=picture.notes + notes)
        check_fits(pixels, pixels.shape[2] + (alpha is not None), self._model_scale, size, memory)
        tile = self._tile(pixels, memory) if tile is None else tile
        if alpha is not None:
            pixels = fill_hidden(pixels, alpha)
            # The model for opacity as for colour, so that their edges lie at the same place and are equally sharp.
            alpha = self._alpha(alpha, size, tile, between)
        pixels = self._planes(pixels, size, tile, between)
        return picture.replace(pixels=pixels, alpha=alpha, metadata=metadata, notes=picture.notes + notes)

    def facts(self, scale: float | None = None) -> dict[str, str]:
        """What is written into upscaled files: how this picture came about."""
        facts = {"Software": f"mezzotint {__version__}", "Model": self.card.name}
        if self.card.weights_sha256:
            facts["Weights"] = f"sha256:{self.card.weights_sha256}"
        elif self.card.source:
            facts["File"] = f"sha256:{self.card.source['sha256']}"
        return {**facts, "Scale": f"{scale or self._model_scale:g}", "Precision": self.model.precision}

    def stamped(self, picture: Picture, scale: float | None = None) -> Picture:
        """The picture with IPTC's term for enhanced images, and `facts`, in its XMP."""
        return picture.replace(metadata=picture.metadata.stamped(ENHANCED, self.facts(scale)))

    def use_exact(self) -> None:
        """Go on in float32, as after a result that was not sound. Raises as `mezzotint.load`."""
        with self._exchange:
            if self._exact is not None:
                self.model, self._exact = self._exact(), None

    def _array(self, image: np.ndarray, scale: float | None, tile: int | None) -> np.ndarray:
        if image.ndim == 4 and np.issubdtype(image.dtype, np.floating):
            if scale not in (None, self._model_scale):
                raise UsageError(f"a bare 1 C H W array goes through the network alone: scale {self._model_scale}")
            if tile is None:
                tile = self._tile(image[0].transpose(1, 2, 0), self._memory())
            return self._tiled(image.astype(np.float32), self._finite, tile)
        planes = image[..., None] if image.ndim == 2 else image
        if planes.ndim != 3 or not 1 <= planes.shape[2] <= 4 or 0 in planes.shape:
            raise UsageError(f"an image is an array H W or H W C with 1 to 4 channels, not of shape {image.shape}")
        if planes.dtype not in (np.uint8, np.uint16) and not np.issubdtype(planes.dtype, np.floating):
            raise UsageError(f"an image array is uint8, uint16 or floating, not {planes.dtype}")
        colours = 1 if planes.shape[2] < 3 else 3
        alpha = planes[..., colours] if planes.shape[2] > colours else None
        result = self.picture(Picture(planes[..., :colours], alpha), scale, tile=tile)
        whole = result.pixels if result.alpha is None else np.concatenate([result.pixels, result.alpha[..., None]], 2)
        return whole[..., 0] if image.ndim == 2 else whole

    def _wanted(self, scale: float | None) -> tuple[float, tuple[str, ...]]:
        wanted = self._model_scale if scale is None else scale
        if not (math.isfinite(wanted) and 1 <= wanted <= LARGEST_SCALE):
            raise UsageError(f"the scale must be between 1 and {LARGEST_SCALE}, not {wanted}")
        if wanted > self._model_scale:
            return wanted, (
                f"{self.card.name} enlarges {self._model_scale} times; the rest up to {wanted:g} is bicubic interpolation",
            )
        return wanted, ()

    def _is_native(self, pixels: np.ndarray, size: tuple[int, int]) -> bool:
        return size == (pixels.shape[0] * self._model_scale, pixels.shape[1] * self._model_scale)

    def _planes(self, pixels: np.ndarray, size: tuple[int, int], tile: int, between: _Between) -> np.ndarray:
        """H W C -> h w C in the same type: through the model, then, where its scale is not the one wanted, to `size`."""
        kept, native = pixels.dtype, self._is_native(pixels, size)
        # Values are rounded once, at the end; so they stay floating where there is still something to do.
        function = self._function(pixels, kept if native else np.dtype(np.float32), between)
        result = self._tiled(pixels.transpose(2, 0, 1)[None], function, tile)[0]
        if not native:
            # One plane at a time, because interpolation works in float64.
            result = np.stack([to_type(imresize(plane, size=size), kept) for plane in result])
        return np.ascontiguousarray(result.transpose(1, 2, 0))

    def _rows(self, pixels: np.ndarray, tile: int, between: _Between) -> Iterator[np.ndarray]:
        """H W C -> bands h sW C in the same type, from top to bottom."""
        image, function = pixels.transpose(2, 0, 1)[None], self._function(pixels, pixels.dtype, between)
        for band in bands(function, image, self._model_scale, self._halo(tile), tile, self.card.alignment or 1):
            yield np.ascontiguousarray(band[0].transpose(1, 2, 0))

    def _function(self, pixels: np.ndarray, result: np.dtype, between: _Between) -> Callable[[np.ndarray], np.ndarray]:
        """What is done to each tile, 1 C H W of the type of `pixels` -> 1 C sH sW of type `result`."""
        in_bytes = pixels.dtype == result == np.uint8 and pixels.shape[2] == self.card.in_channels

        def enlarged(part: np.ndarray) -> np.ndarray:
            between()
            if in_bytes and hasattr(self.model, "bytes"):
                return self._bytes(part)
            return to_type(self._colours(to_unit(part)), result)

        return enlarged

    def _alpha(self, alpha: np.ndarray, size: tuple[int, int], tile: int, between: _Between) -> np.ndarray:
        if alpha.min() == alpha.max():
            return np.full(size, alpha.flat[0], alpha.dtype)
        s = self._model_scale
        large = self._planes(alpha[..., None], (alpha.shape[0] * s, alpha.shape[1] * s), tile, between)[..., 0]
        large = bounded_by_neighbours(large, alpha, s)
        return large if large.shape == size else cast(np.ndarray, imresize(large, size=size))

    def _tiled(self, image: np.ndarray, function: Callable[[np.ndarray], np.ndarray], tile: int) -> np.ndarray:
        return run_tiled(function, image, self._model_scale, self._halo(tile), tile or None, self.card.alignment or 1)

    def _halo(self, tile: int) -> int:
        if tile and self.card.halo is None:
            raise UsageError(
                f"{self.card.name} does not say how far around it looks, so tiles would show; use --tile 0"
            )
        return self.card.halo or 0

    def _tile(self, pixels: np.ndarray, memory: int, *, in_rows: bool = False) -> int:
        if self.card.halo is None:
            return 0
        working = getattr(self.model, "working", _WORKING)
        return tile_side(pixels, self._model_scale, self.card.halo, working, memory, in_rows=in_rows)

    def _memory(self) -> int:
        """Bytes that are free for one of those who may call at once; 0 where nobody knows."""
        return (hardware.memory() or (0, 0))[1] // self.streams

    def _colours(self, image: np.ndarray) -> np.ndarray:
        """Picture channels to network channels and back: 1 C H W -> 1 C sH sW."""
        channels = image.shape[1]
        if channels == self.card.in_channels:
            return self._finite(image)
        if self.card.in_channels == 1:
            return np.concatenate([self._finite(image[:, c : c + 1]) for c in range(channels)], axis=1)
        if channels == 1 and self.card.in_channels == 3:
            return self._finite(np.repeat(image, 3, axis=1)).mean(axis=1, keepdims=True)
        raise ModelError(f"{self.card.name} takes {self.card.in_channels} channels; pictures have 1 or 3")

    def _bytes(self, part: np.ndarray) -> np.ndarray:
        """1 C H W -> 1 C sH sW, uint8, by the runtime's own conversion."""
        result = self.model.bytes(np.ascontiguousarray(part.transpose(0, 2, 3, 1)))  # type: ignore[attr-defined]
        # As `fault` says, of bytes.
        if result is None or (not result.any() and part.mean() > 8):
            return to_type(self._finite(to_unit(part)), np.dtype(np.uint8))
        return result.transpose(0, 3, 1, 2)

    def _finite(self, image: np.ndarray) -> np.ndarray:
        """The network; once more in float32 if the result is not sound."""
        image, model = np.ascontiguousarray(image), self.model
        result = model(image)
        if wrong := fault(image, result):
            # Another thread may have done so before: what counts is which model has given this answer.
            self.use_exact()
            if self.model is not model:
                wrong = fault(image, result := self.model(image))
        if wrong:
            raise QualityError(f"{self.card.name} gave {wrong}, in float32 too; nothing was written")
        return result


def upscale(
    image: Any,
    scale: float | None = None,
    model: str | Path | None = None,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    tile: int | None = None,
) -> Any:
    """Upscale one image by `scale`, by default 4 or the named model's own; see `Upscaler.__call__` for what goes in and out.

    Without `model`, the best that ships for the scale. To upscale many images, load once: `mezzotint.load(name)`.
    Raises as `mezzotint.load` and `Upscaler.__call__`.
    """
    from mezzotint.pipelines import load

    if model is None:
        scale = 4 if scale is None else scale
        model, note = best_model(scale)
        if note:
            warnings.warn(note, stacklevel=2)
    upscaler = load(model, runtime, precision, threads)
    if not isinstance(upscaler, Upscaler):
        raise UsageError(f"{upscaler.card.name} is a {upscaler.card.task} model and cannot upscale")
    return upscaler(image, scale, tile=tile)


def best_model(scale: float) -> tuple[str, str]:
    """The shipped model to use for `scale` when none is named, and a note if it is no trained network.

    Trained before interpolating; then one that reaches the scale, as closely as may be; then `compact`, which is fast.
    """
    cards = [card for card in map(catalog.card, catalog.names()) if card.task == SUPER_RESOLUTION]

    def preference(card: Any) -> tuple:
        reaches = card.scale >= scale
        distance = card.scale - scale if reaches else scale - card.scale
        return card.network == "bicubic", not reaches, distance, not card.name.startswith("compact"), card.name

    best = min(cards, key=preference)
    note = "" if best.network != "bicubic" else f"no trained model is installed for scale {scale:g}: using {best.name}"
    return best.name, note


def _target(side: int, scale: float) -> int:
    """The side of the result: rounded half up, at least 1."""
    return max(1, math.floor(side * scale + 0.5))
