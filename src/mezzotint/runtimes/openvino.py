"""OpenVINO on the CPU: the default runtime. Starts in a third of a second and reads `.onnx` files of any input size."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint import onnx_files
from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.errors import ModelError, UsageError
from mezzotint.hardware import cpu_hides_matrix_units, thread_limit
from mezzotint.image.tiling import Box, tiles
from mezzotint.runtimes.openvino_bytes import for_bytes, shuffled
from mezzotint.runtimes.openvino_parts import Parts, enlarges, handed_on_in_bf16, taken_apart
from mezzotint.runtimes.openvino_streams import Streams

# Side of the tiles that a tail is run in, low-resolution pixels: few enough for its tensors to stay in the cache.
_TAIL_TILE = 96
# Side of the largest tile worth it and bytes per pixel in bf16, measured with 64 channels: with a trunk, where more channels
# take more bytes, and without.
_TRUNK_TILE, _TILE = (1_100, 800), (384, 5_000)


class OpenVINO:
    """`Model` on compiled parts. As many calls at once as there are streams, each with its share of the threads; further
    ones wait for their turn. `requests` is as in `Streams`.
    """

    def __init__(self, parts: Parts, card: Card, precision: str, requests: Callable[[Any, str], list[Any]]) -> None:
        # Of an int8 model, the rest computes in `precision`.
        self.card, self.precision, self._rest = card, card.precision or precision, precision
        self._parts = parts
        self._for_floats = Streams(lambda: parts, requests, precision)
        self._for_bytes = Streams(lambda: for_bytes(parts), requests, precision)

    @property
    def working(self) -> tuple[int, int]:
        """Side of the largest tile worth it, in input pixels, and the bytes that each of its pixels takes meanwhile.

        With a trunk of its own, tiles may be large: what grows with them are a few tensors of low resolution.
        """
        side, bytes_each = _TILE
        if self._parts.trunk is not None:
            side, bytes_each = _TRUNK_TILE
            channels = self._parts.trunk.output(0).get_partial_shape()[1]
            bytes_each = bytes_each * (channels.get_length() if channels.is_static else 64) // 64
        return side, bytes_each * (1 if self._rest == "bf16" else 2)

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run once; the inputs in the order of the file. A new size costs no compilation."""
        with self._for_floats.one() as requests:
            if len(inputs) > 1 or self._parts.trunk is self._parts.finish is None:
                try:
                    return requests.tail.infer(list(inputs), share_inputs=True)[0].copy()
                except RuntimeError as error:
                    shapes = " and ".join(str(list(array.shape)) for array in inputs)
                    raise ModelError(
                        f"{self.card.name} does not take an input of shape {shapes} ({_cause(error)})"
                    ) from error
            return _run(requests, inputs[0])[0]

    def ports(self) -> tuple[list[tuple[str, list[int | None]]], list[tuple[str, list[int | None]]]]:
        """Type and shape of the inputs and of the outputs; None is any length."""
        model = self._parts.tail
        inputs, outputs = (
            [(port.element_type.to_string(), _sides(port)) for port in ports] for ports in (model.inputs, model.outputs)
        )
        return inputs, outputs

    def bytes(self, lr: np.ndarray) -> np.ndarray | None:
        """The same for 8 bits: B H W C uint8, 0 to 255 -> B sH sW C uint8, clipped and rounded to the nearest; None if
        anything in the network's answer is not a number.
        """
        with self._for_bytes.one() as requests:
            sr, totals = _run(requests, lr)
        return sr if np.isfinite(totals).all() else None


def _run(requests: Parts, lr: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """sr, and all other outputs of the last part, one for each tile. `lr` is B C H W or, in bytes, B H W C."""
    rows = 1 if lr.dtype == np.uint8 else 2
    height, width = lr.shape[rows : rows + 2]
    features = lr
    if requests.trunk is not None:
        features = requests.trunk.infer([lr], share_inputs=True, share_outputs=True)[0]
    sr, others = None, []
    for core, padded in tiles(height, width, _TAIL_TILE if requests.trunk else max(height, width), requests.halo):
        whole = (padded.bottom - padded.top, padded.right - padded.left) == (height, width)
        last = requests.tail
        last.infer([_tensor(features if whole else _window(features, padded))], share_inputs=True, share_outputs=True)
        if requests.finish is not None:
            residual, last = last.get_output_tensor(0), requests.finish
            last.infer([residual, lr if whole else _window(lr, padded)], share_inputs=True, share_outputs=True)
        answer, *rest = (output.data for output in last.output_tensors)
        others += [float(value) for value in rest]
        block = requests.block
        if whole and block == 1:
            return answer.copy(), others
        finer = answer.shape[rows] // (padded.bottom - padded.top)
        scale = finer * block
        if sr is None:
            shape = list(answer.shape)
            shape[rows : rows + 2] = height * scale, width * scale
            shape[-1] //= block**2
            sr = np.empty(shape, answer.dtype)
        inner = Box(core.top - padded.top, core.left - padded.left, core.bottom - padded.top, core.right - padded.left)
        if block > 1:
            shuffled(_window(answer, inner, finer), block, sr, core.top * scale, core.left * scale)
        else:
            _window(sr, core, scale)[...] = _window(answer, inner, scale)
    assert sr is not None
    return sr, others


def _tensor(array: np.ndarray) -> Any:
    """Features as a tail takes them: what numpy calls float16 are bfloat16."""
    if array.dtype != np.float16:
        return array
    import openvino

    array = np.ascontiguousarray(array)
    return openvino.Tensor(array, array.shape, openvino.Type.bf16)


def _window(array: np.ndarray, box: Box, scale: int = 1) -> np.ndarray:
    """The pixels of `box`, in low-resolution pixels, of B C H W or, in bytes, B H W C; a view."""
    window = slice(box.top * scale, box.bottom * scale), slice(box.left * scale, box.right * scale)
    return array[:, *window] if array.dtype == np.uint8 else array[:, :, *window]


def load(path: Path, card: Card, precision: str = "auto", threads: int | None = None, streams: int = 1) -> OpenVINO:
    """Open an `.onnx` file. `precision="auto"` is bf16 where the CPU gains by it, else f32, and int8 the same for
    what an int8 file has not in int8.

    `threads=None` is OpenVINO's choice, within a container's quota; `streams` that many calls at once share them. Raises
    `ModelError` if the file is damaged.
    """
    onnx_files.check(path)
    if precision in ("auto", "int8"):
        native = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if native and not cpu_hides_matrix_units() else "f32"
    options = _options(threads, streams)

    def requests(model: Any, precision: str) -> list[Any]:
        with _damage(path):
            compiled = core().compile_model(model, "CPU", options | {"INFERENCE_PRECISION_HINT": precision})
            return [compiled.create_infer_request() for _ in range(streams)]

    with _damage(path):
        model = core().read_model(path)
        # Files of others come in all forms; ours are pictures in, pictures out.
        ours = card.task == SUPER_RESOLUTION and card.network != "onnx"
        if ours and not enlarges(model):
            raise ModelError(f"{path} does not turn one picture into another, as its card says")
        parts = taken_apart(model) if ours else Parts(None, model, None, 0)
    if precision == "bf16":
        parts = handed_on_in_bf16(parts)
    return OpenVINO(parts, card, precision, requests)


def _options(threads: int | None, streams: int) -> dict[str, Any]:
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if streams > 1:
        options["NUM_STREAMS"] = streams
    if limit := threads or thread_limit():
        options["INFERENCE_NUM_THREADS"] = limit
        if limit < (os.cpu_count() or 1):
            # OpenVINO binds threads to cores from the first one on, so that two processes with a part of the machine each
            # would share the same cores while others are idle.
            options["ENABLE_CPU_PINNING"] = False
    return options


def describe(path: Path) -> dict[str, Any]:
    """Inputs, outputs and counts of operations of an `.onnx` file. Raises `ModelError` if it is damaged."""
    onnx_files.check(path)
    with _damage(path):
        network = core().read_model(path)
    return {
        "inputs": {port.any_name: _port(port) for port in network.inputs},
        "outputs": {port.any_name: _port(port) for port in network.outputs},
        "operations": dict(sorted(Counter(operation.get_type_name() for operation in network.get_ops()).items())),
    }


def _port(port: Any) -> str:
    """Such as "f32 [?,3,?,?]"."""
    sides = ("?" if side is None else str(side) for side in _sides(port))
    return f"{port.element_type.to_string()} [{','.join(sides)}]"


def _sides(port: Any) -> list[int | None]:
    return [side.get_length() if side.is_static else None for side in port.partial_shape]


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """OpenVINO's exceptions as ours."""
    try:
        yield
    except RuntimeError as error:
        raise ModelError(f"{path} is damaged or beyond OpenVINO ({_cause(error)})") from error


def _cause(error: RuntimeError) -> str:
    """Its messages run over many lines; the last one that says anything is the cause."""
    causes = [line.strip() for line in str(error).splitlines() if line.strip()] or ["unknown"]
    return causes[-1][:300]


@cache
def core() -> Any:
    """OpenVINO itself, loaded once per process and without its telemetry. Raises `UsageError` if not installed."""
    # Importing OpenVINO reports the fact to a web service and writes to the home folder, unless this package is missing;
    # hidden for the time of the import, it also starts 60 ms sooner.
    hidden = "openvino_telemetry"
    sys.modules.setdefault(hidden, None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise UsageError("this needs openvino: pip install openvino, or choose another --runtime") from error
    finally:
        if sys.modules.get(hidden) is None:
            sys.modules.pop(hidden, None)
    return openvino.Core()
