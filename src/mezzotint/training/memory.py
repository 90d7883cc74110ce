"""Memory that a training step frees and the next one takes again."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM, _MAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_MIB = 2**20


@contextmanager
def kept() -> Iterator[None]:
    """Within, the C library keeps what is freed instead of handing it back to the system, as far as it is glibc.

    Every step frees all that its backward pass needed. Handed back, it comes again page by page, each zeroed at its first
    touch: thousands of page faults a step, a tenth of the time where pages are dear, as in virtual machines. The peak is
    the same. At the end all that is free goes back.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    libc.mallopt(_MAP, 32 * _MIB)  # the most that it takes
    libc.mallopt(_TRIM, 2**31 - 1)
    try:
        yield
    finally:
        # Where its own adaptation ends, which has been off since.
        libc.mallopt(_TRIM, 64 * _MIB)
        libc.malloc_trim(0)
