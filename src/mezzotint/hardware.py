"""What this machine offers: threads, native bfloat16, memory. Standard library only."""

from __future__ import annotations

import math
import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path


def free_threads() -> int:
    """How many threads this process may use: the CPUs it may run on, or fewer where a container's quota says so."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        # "max 100000" or microseconds of CPU time per period; a runtime that starts more threads than that stalls.
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cpus = min(cpus, max(1, math.ceil(int(quota) / int(period))))
    return cpus


def thread_limit() -> int | None:
    """`free_threads` if it is less than the whole machine; None if all is ours and a runtime knows best how to use it
    (one thread per core beats one per hyperthread).
    """
    free = free_threads()
    return free if free < (os.cpu_count() or 1) else None


@cache
def cpu_flags() -> frozenset[str]:
    """The CPU's features as Linux names them (`avx2`, `amx_bf16`, ...); empty on other systems."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("flags", "Features"):
                return frozenset(value.split())
    return frozenset()


def cpu_gains_by_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively (AMX or AVX512-BF16 on x86, BF16 on Arm), and faster than float32.

    Emulated bfloat16 is more than ten times slower.
    """
    return bool({"amx_bf16", "avx512_bf16", "bf16"} & cpu_flags()) and not cpu_hides_matrix_units()


def cpu_hides_matrix_units() -> bool:
    """Whether this is a Xeon with AMX (Sapphire Rapids or later, known by AVX512-FP16) that a virtual machine hides.

    Its AVX512-BF16 is 0.6 times as fast as float32 (measured: training, and upscaling by SRResNet).
    """
    return "Intel" in cpu_name() and "avx512_fp16" in cpu_flags() and "amx_bf16" not in cpu_flags()


def cpu_name() -> str:
    """The CPU's marketing name, or its architecture."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory() -> tuple[int, int] | None:
    """Bytes of memory this process may use: (in all, free now), a container's limit included; None where unknown."""
    with suppress(OSError, ValueError, KeyError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
        total, free = sizes["MemTotal"], sizes["MemAvailable"]
        with suppress(OSError, ValueError):
            group = Path("/sys/fs/cgroup")
            limit = int((group / "memory.max").read_text(encoding="ascii"))
            used = int((group / "memory.current").read_text(encoding="ascii"))
            total, free = min(total, limit), min(free, max(0, limit - used))
        return total, free
    return None
