"""Ctrl-C and SIGTERM end a command in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mezzotint.errors import InterruptedRun


@contextmanager
def interruptible(state: str) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `KeyboardInterrupt` inside, and into `InterruptedRun` (exit 130, 143) on the way out.

    `state` says in the message what is left behind. Inside, `finally` and context managers run as for any exception.
    """
    received = signal.SIGINT

    def on_terminate(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = signal.SIGTERM
        raise KeyboardInterrupt

    # Python takes signals in the main thread only; elsewhere whoever owns that thread decides.
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, on_terminate) if in_main else None
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRun(f"interrupted; {state}", int(received)) from error
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)
