"""Ctrl-C and SIGTERM end a command in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mezzotint.errors import InterruptedRun


class Interrupts:
    """The signal that came, if any, and whether it has to wait."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._shielded = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler. A second signal is not put off: somebody means it."""
        again, self.received = self.received is not None, number
        if again or not self._shielded:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Raise what ends the work of a thread, once a signal has come; only the main thread is interrupted by itself."""
        if self.received is not None:
            raise InterruptedRun("interrupted", self.received)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Put a signal off to the end of the block.

        An exception out of a handler can strike between any two instructions, such as between the printing of a line and
        that of its end.
        """
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
            if self.received is not None:
                raise KeyboardInterrupt


@contextmanager
def interruptible(state: str) -> Iterator[Interrupts]:
    """Turn SIGINT and SIGTERM into `KeyboardInterrupt` inside, and into `InterruptedRun` (exit 130, 143) on the way out.

    `state` says in the message what is left behind. Inside, `finally` and context managers run as for any exception.
    """
    interrupts = Interrupts()
    # Python takes signals in the main thread only; elsewhere whoever owns that thread decides.
    in_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if in_main else ()
    before = {number: signal.signal(number, interrupts.on_signal) for number in numbers}
    try:
        yield interrupts
    except KeyboardInterrupt as error:
        raise InterruptedRun(f"interrupted; {state}", interrupts.received or signal.SIGINT) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
