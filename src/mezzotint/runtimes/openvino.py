"""OpenVINO on the CPU: the default runtime. Starts in a third of a second and reads `.onnx` files of any input size."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint import onnx_files
from mezzotint.card import Card
from mezzotint.errors import ModelError, UsageError
from mezzotint.hardware import thread_limit


class OpenVINO:
    """`Model` on a compiled network; calls from several threads take turns, each uses all of the CPU anyway."""

    def __init__(self, compiled: Any, card: Card, precision: str) -> None:
        self.card, self.precision = card, precision
        self._compiled, self._turn = compiled, threading.Lock()

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run once; the inputs in the order of the file. A new size costs no compilation."""
        with self._turn:
            try:
                return self._compiled(list(inputs), share_inputs=True)[0]
            except RuntimeError as error:
                shapes = " and ".join(str(list(array.shape)) for array in inputs)
                raise ModelError(
                    f"{self.card.name} does not take an input of shape {shapes} ({_cause(error)})"
                ) from error

    def ports(self) -> tuple[list[tuple[str, list[int | None]]], list[tuple[str, list[int | None]]]]:
        """Type and shape of the inputs and of the outputs; None is any length."""
        inputs, outputs = (
            [(port.element_type.to_string(), _sides(port)) for port in ports]
            for ports in (self._compiled.inputs, self._compiled.outputs)
        )
        return inputs, outputs


def load(path: Path, card: Card, precision: str = "auto", threads: int | None = None) -> OpenVINO:
    """Compile an `.onnx` file. `precision="auto"` is bf16 where the CPU has it natively, else f32.

    `threads=None` is OpenVINO's choice, within a container's quota. Raises `ModelError` if the file is damaged.
    """
    onnx_files.check(path)
    if precision == "auto":
        precision = "bf16" if "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    if limit := threads or thread_limit():
        options["INFERENCE_NUM_THREADS"] = limit
    with _damage(path):
        compiled = core().compile_model(core().read_model(path), "CPU", options)
    effective = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    return OpenVINO(compiled, card, effective)


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
