"""Which device to train on, in which precision, with how many threads."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import torch


def choose_device() -> torch.device:
    """CUDA where there is one, else Apple's GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type to compute in: bfloat16, or None for plain float32. "auto" takes bfloat16 where hardware has it.

    Emulated bfloat16 is twenty times slower than float32 on a CPU without the instructions.
    """
    if precision == "f32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native or (device.type == "cpu" and cpu_has_bfloat16()) else None


@cache
def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively (AMX or AVX512-BF16 on x86, BF16 on Arm); Linux tells, others: no."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return False
    return bool({"amx_bf16", "avx512_bf16", "bf16"} & set(flags))


def free_threads() -> int:
    """How many threads this process may use: the CPUs it is allowed to run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
