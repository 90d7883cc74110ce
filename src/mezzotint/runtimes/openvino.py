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
            return self._compiled(list(inputs), share_inputs=True)[0]


def load(path: Path, card: Card, precision: str = "auto", threads: int | None = None) -> OpenVINO:
    """Compile an `.onnx` file. `precision="auto"` is bf16 where the CPU has it natively, else f32.

    `threads=None` is OpenVINO's choice, within a container's quota. Raises `ModelError` if the file is damaged.
    """
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
    with _damage(path):
        network = core().read_model(path)
    return {
        "inputs": {port.any_name: _port(port) for port in network.inputs},
        "outputs": {port.any_name: _port(port) for port in network.outputs},
        "operations": dict(sorted(Counter(operation.get_type_name() for operation in network.get_ops()).items())),
    }


def _port(port: Any) -> str:
    """Such as "f32 [?,3,?,?]"."""
    sides = (str(side.get_length()) if side.is_static else "?" for side in port.partial_shape)
    return f"{port.element_type.to_string()} [{','.join(sides)}]"


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """OpenVINO's exceptions as ours."""
    try:
        yield
    except RuntimeError as error:
        # Its messages run over many lines; the last one that says anything is the cause.
        causes = [line.strip() for line in str(error).splitlines() if line.strip()] or ["unknown"]
        raise ModelError(f"{path} is damaged or beyond OpenVINO ({causes[-1]})") from error


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
