"""ONNX files of others as models like ours: what they take and give is found by running them, in a process of its own.

Such a process, because a stranger's file may crash a runtime, keep it busy for ever or take all memory: then that process
ends, and this one says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.errors import InputError, MezzotintError, ModelError

if TYPE_CHECKING:
    from mezzotint.runtimes import Model

_LARGEST_SCALE = 16
_SECONDS = 60
_MEMORY = 4 << 30  # and eight times the file
# How far around a pixel such a network is taken to look. Deep ones look further, but what lies there hardly matters.
_OVERLAP = 32
# Multiples that networks want their input's sides to be of, and a side to try them with.
_MULTIPLES, _LEAST_SIDE = (1, 2, 4, 8, 16, 32, 64), 16
_TYPES = {"f32": np.float32, "f16": np.float16}
# What a network may take values 0 to 1 as: (factor, offset).
_RANGES = {"0 to 1": (1.0, 0.0), "0 to 255": (255.0, 0.0), "-1 to 1": (2.0, -1.0)}


class Foreign:
    """`Model` around another: values, types, layout, batch and sides as the file wants them, by what `card` found."""

    def __init__(self, model: Model, card: Card) -> None:
        self.card, self.precision, self.model = card, model.precision, model
        facts = card.arguments
        self._type, self._range = _TYPES[facts["type"]], _RANGES[facts["range"]]
        self._batch, self._fixed, self._channels_last = facts["batch"], facts["sides"], facts["channels_last"]

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """1 C H W, 0 to 1 -> 1 C sH sW. A file for one size of input is run on windows of it that overlap."""
        (lr,) = inputs
        height, width = lr.shape[2:]
        multiple, scale = self.card.alignment or 1, self.card.scale or 1
        rows, columns = self._fixed or (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        filled = np.pad(lr, ((0, 0), (0, 0), (0, max(0, rows - height)), (0, max(0, columns - width))), "edge")
        if filled.shape[2:] == (rows, columns):
            return np.ascontiguousarray(self._run(filled)[:, :, : height * scale, : width * scale])
        sr = np.empty((1, self.card.out_channels, filled.shape[2] * scale, filled.shape[3] * scale), np.float32)
        for top, upper in _windows(filled.shape[2], rows):
            for left, inner in _windows(filled.shape[3], columns):
                part = self._run(filled[:, :, top : top + rows, left : left + columns])
                part = part[:, :, (upper - top) * scale :, (inner - left) * scale :]
                sr[:, :, upper * scale : (top + rows) * scale, inner * scale : (left + columns) * scale] = part
        return sr[:, :, : height * scale, : width * scale]

    def _run(self, lr: np.ndarray) -> np.ndarray:
        """The network on sides that it takes, its answer checked."""
        sr = self.bare(lr)
        expected = (1, self.card.out_channels, *(side * (self.card.scale or 1) for side in lr.shape[2:]))
        if sr.shape != expected:
            raise ModelError(f"{self.card.name} returned the shape {sr.shape} where {expected} was due")
        return sr

    def bare(self, lr: np.ndarray) -> np.ndarray:
        """The network on sides that it takes, whatever it answers."""
        factor, offset = self._range
        values = np.repeat(lr * np.float32(factor) + np.float32(offset), self._batch, axis=0).astype(self._type)
        if self._channels_last:
            values = values.transpose(0, 2, 3, 1)
        result = self.model(np.ascontiguousarray(values))[:1].astype(np.float32)
        if self._channels_last and result.ndim == 4:
            result = result.transpose(0, 3, 1, 2)
        return (result - np.float32(offset)) / np.float32(factor)


def _windows(side: int, window: int) -> list[tuple[int, int]]:
    """Where windows of one length begin that cover a side, and from where on each is used: past half of what overlaps."""
    overlap = min(_OVERLAP, window // 4)
    starts = [*range(0, side - window, window - 2 * overlap), side - window]
    return [(start, start + overlap if start else 0) for start in starts]


def card(path: str | Path) -> Card:
    """What an `.onnx` file of others is: name, scale, channels, and in `arguments` how it wants its input.

    Raises `InputError`, and `ModelError` if it is damaged or no upscaler of pictures with 1 or 3 channels.
    """
    path = Path(path)
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return _card(path, facts.st_mtime_ns, facts.st_size)


@cache
def _card(path: Path, changed: int, size: int) -> Card:
    """The same, found once for each state of a file."""
    # -P: what lies in the working folder must not be taken for a module.
    command = [sys.executable, "-P", "-m", "mezzotint.runtimes.foreign", str(path), str(_MEMORY + 8 * size)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS, errors="replace")
        found = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path} takes longer than {_SECONDS} s for a picture of a few pixels") from None
    except (IndexError, ValueError):
        raise ModelError(f"{path} ended the process that ran it, by damage or for want of memory") from None
    if "error" in found:
        raise ModelError(f"{path} is not used: {found['error']}")
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Card(
        name=path.stem,
        task=SUPER_RESOLUTION,
        network="onnx",
        description="ONNX file of others",
        in_channels=found["channels"],
        out_channels=found["channels"],
        scale=found["scale"],
        halo=None if found["sides"] else _OVERLAP,
        alignment=found["multiple"],
        arguments={key: found[key] for key in ("type", "range", "batch", "sides", "channels_last")},
        source={"file": path.name, "sha256": sha256},
    )


def _found(path: Path) -> dict[str, Any]:
    """In the process of its own: the facts. Raises `ModelError` with the reason alone."""
    from mezzotint.runtimes import openvino

    model = openvino.load(path, Card(path.stem, SUPER_RESOLUTION, "onnx", scale=1), "f32", threads=2)
    facts = _shape(*model.ports())
    reason = ""
    for multiple in _MULTIPLES:
        try:
            return _tried(model, {**facts, "multiple": multiple})
        except ModelError as error:
            # The first reason is about the plainest input.
            reason = reason or str(error)
        if facts["sides"]:
            break
    raise ModelError(reason)


def _shape(inputs: list[tuple[str, list[int | None]]], outputs: list[tuple[str, list[int | None]]]) -> dict[str, Any]:
    """Type, batch, channels, layout and fixed sides by what the file says of its one input."""
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"it has {len(inputs)} inputs and {len(outputs)} outputs; an upscaler has one of each")
    kind, shape = inputs[0]
    if kind not in _TYPES:
        raise ModelError(f"it takes {kind}; float32 and float16 can be given")
    if len(shape) != 4:
        raise ModelError(f"its input has {len(shape)} dimensions; a picture has 4: batch, channels, height, width")
    batch, channels, *sides = shape
    channels_last = channels not in (1, 3) and sides[1] in (1, 3)
    if channels_last:
        channels, sides = sides[1], [channels, sides[0]]
    if channels not in (1, 3, None):
        raise ModelError(f"it takes {channels} channels; pictures have 1 or 3")
    if None in sides and sides != [None, None]:
        raise ModelError(f"one side of its input is fixed and the other not: {shape}")
    return {
        "type": kind,
        "batch": batch or 1,
        "channels": channels or 3,
        "sides": None if sides[0] is None else sides,
        "channels_last": channels_last,
    }


def _tried(model: Model, facts: dict[str, Any]) -> dict[str, Any]:
    """The facts with scale and range, if the network enlarges two sizes by the same whole number."""
    multiple = facts["multiple"]
    least = -(-_LEAST_SIDE // multiple)
    sizes = [(least * multiple, (least + 1) * multiple), ((least + 3) * multiple, least * multiple)]
    pictures = [_picture(size, facts["channels"]) for size in ([facts["sides"]] if facts["sides"] else sizes)]
    scales = set()
    for picture in pictures:
        height, width = picture.shape[2:]
        *_, rows, columns = _answer(model, picture, facts, "0 to 1").shape
        scale = rows // height
        if not 1 <= scale <= _LARGEST_SCALE or (rows, columns) != (height * scale, width * scale):
            raise ModelError(f"it makes {rows} x {columns} of {height} x {width}, which is no upscaling by 1 to 16")
        scales.add(scale)
    if len(scales) > 1:
        raise ModelError(f"it enlarges {' and '.join(map(str, sorted(scales)))} times, as the size may be")
    errors = {name: _error(_answer(model, pictures[0], facts, name), pictures[0], scale) for name in _RANGES}
    best = min(errors, key=lambda name: errors[name])
    # Networks that are indifferent are taken as they usually are.
    usual = errors["0 to 1"] < max(0.01, 2 * errors[best]) or not errors[best] < 0.1
    return {**facts, "scale": scale, "range": "0 to 1" if usual else best}


def _answer(model: Model, picture: np.ndarray, facts: dict[str, Any], values: str) -> np.ndarray:
    """The network's answer to a picture, 1 C H W, 0 to 1, if it has as many channels and is finite."""
    trial = Card("it", SUPER_RESOLUTION, "onnx", scale=1)
    result = Foreign(model, trial.replace(arguments={**facts, "range": values})).bare(picture)
    if result.ndim != 4 or result.shape[1] != facts["channels"]:
        raise ModelError(f"it makes the shape {list(result.shape)} of a picture of {facts['channels']} channels")
    if values == "0 to 1" and not np.isfinite(result).all():
        raise ModelError("its answer is not finite: weights or a division are bad")
    return result


def _picture(size: tuple[int, int] | list[int], channels: int) -> np.ndarray:
    """Waves of values 0.1 to 0.9, 1 C H W: smooth, so that enlarging them changes little."""
    rows, columns = (np.arange(side, dtype=np.float32)[:, None] / 4 for side in size)
    waves = [np.sin(rows + phase) * np.sin(columns.T + 2 * phase) for phase in range(channels)]
    return (0.5 + 0.4 * np.stack(waves)[None]).astype(np.float32)


def _error(sr: np.ndarray, lr: np.ndarray, scale: int) -> float:
    """Mean distance of the answer, made small again, from the picture."""
    _, channels, height, width = lr.shape
    small = sr.reshape(1, channels, height, scale, width, scale).mean((3, 5))
    error = float(np.abs(small - lr).mean())
    return error if np.isfinite(error) else float("inf")


def _main(path: str, memory: str) -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = _found(Path(path))
    except MezzotintError as error:
        answer = {"error": str(error)}
    except MemoryError:
        answer = {"error": "it needs too much memory for a picture of a few pixels"}
    # Whatever a runtime prints later, even while it ends, must not follow the answer.
    print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
