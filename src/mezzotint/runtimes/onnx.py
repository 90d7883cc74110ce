"""ONNX Runtime in float32: on the GPU that its installed package is for (CUDA, CoreML, DirectML), else on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mezzotint import onnx_files
from mezzotint.card import Card
from mezzotint.errors import ModelError, UsageError, missing_extra
from mezzotint.hardware import thread_limit

# Where it computes, the first that the installed package has. TF32 would round float32 to 10 bits on NVIDIA's GPUs.
_PROVIDERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("CUDAExecutionProvider", {"use_tf32": "0"}),
    ("CoreMLExecutionProvider", {}),
    ("DmlExecutionProvider", {}),
    ("CPUExecutionProvider", {}),
)


class OnnxRuntime:
    """`Model` on an inference session; safe to call from several threads."""

    def __init__(self, session: Any, card: Card) -> None:
        self.card, self.precision = card, card.precision or "f32"
        self._session = session
        self._names = [entry.name for entry in session.get_inputs()]

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run once; the inputs in the order of the file."""
        try:
            return self._session.run(None, dict(zip(self._names, inputs, strict=True)))[0]
        except Exception as error:  # its exceptions have no common base
            shapes = " and ".join(str(list(array.shape)) for array in inputs)
            cause = " ".join(str(error).split())[:300]
            raise ModelError(f"{self.card.name} does not take an input of shape {shapes} ({cause})") from error


def load(path: Path, card: Card, precision: str = "auto", threads: int | None = None) -> OnnxRuntime:
    """Open an `.onnx` file. `threads=None` is all that the process may use.

    Raises `UsageError` (bf16, or onnxruntime is missing) and `ModelError` (damaged file).
    """
    if precision == "bf16":
        raise UsageError("the onnx runtime computes in f32 only; choose --precision f32, or --runtime openvino")
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise missing_extra("onnxruntime", "onnx") from error

    onnx_files.check(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or thread_limit() or 0  # 0: its own choice
    # Waiting threads that spin would take the CPU from whatever else the process does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors arrive as exceptions; nothing is printed besides
    try:
        available = onnxruntime.get_available_providers()
        providers = [entry for entry in _PROVIDERS if entry[0] in available]
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # its exceptions have no common base
        raise ModelError(f"{path} is damaged or beyond ONNX Runtime ({error})") from error
    return OnnxRuntime(session, card)
