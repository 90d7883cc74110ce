"""PyTorch: the network as it was trained, from `.safetensors`; on a GPU where torch finds one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mezzotint.card import Card
from mezzotint.hardware import cpu_gains_by_bfloat16
from mezzotint.models import weights


class PyTorch:
    """`Model` on a network in evaluation mode."""

    def __init__(self, network: nn.Module, card: Card, precision: str, device: torch.device) -> None:
        self.card, self.precision = card, precision
        self._network, self._device = network, device

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run once, without gradients."""
        tensors = [_to(self._device, array) for array in inputs]
        autocast = torch.autocast(self._device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()
        with torch.inference_mode(), autocast, _exact_float32(self._device):
            output = self._network(*tensors)
        return output.float().contiguous().cpu().numpy()


def load(path: Path, card: Card, precision: str = "auto", threads: int | None = None) -> PyTorch:
    """Load a `.safetensors` file. `precision="auto"` is bf16 where the device gains by it, else f32.

    `threads` is a setting of the whole process in torch; None leaves it. Raises as `weights.load`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision == "auto":
        on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if on_gpu or (device.type == "cpu" and cpu_gains_by_bfloat16()) else "f32"
    if threads:
        torch.set_num_threads(threads)
    network, card = weights.load(path)
    network = weights.deployed(network).to(device)
    # How convolutions run fastest, on CPUs and GPUs.
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PyTorch(network, card, precision, device)


def _to(device: torch.device, array: np.ndarray) -> torch.Tensor:
    # Copied, since torch warns about arrays that it could write to but must not.
    tensor = torch.tensor(np.ascontiguousarray(array)).to(device)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _exact_float32(device: torch.device) -> AbstractContextManager[None]:
    """Keeps cuDNN from rounding float32 to the 10 bits of TF32, torch's default for convolutions on GPUs."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)
