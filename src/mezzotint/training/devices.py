"""Which device to train on, and in which precision."""

from __future__ import annotations

import torch

from mezzotint.hardware import cpu_gains_by_bfloat16


def choose_device() -> torch.device:
    """CUDA where there is one, else Apple's GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type to compute in: bfloat16, or None for plain float32. "auto" takes bfloat16 where hardware gains by it.

    Emulated bfloat16 is more than ten times slower than float32 on a CPU without the instructions.
    """
    if precision == "f32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native or (device.type == "cpu" and cpu_gains_by_bfloat16()) else None
