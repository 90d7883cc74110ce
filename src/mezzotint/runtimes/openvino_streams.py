"""A model in several threads at once: compiled once, each of its streams with infer requests of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from mezzotint.runtimes.openvino_parts import Parts


class Streams:
    """As many sets of infer requests as may run at once, in place of the parts that `prepared` gives.

    `requests(part, precision)` compiles and gives one request for each stream; it is asked when the first is needed, since
    most commands need one kind.
    """

    def __init__(
        self, prepared: Callable[[], Parts], requests: Callable[[Any, str], list[Any]], precision: str
    ) -> None:
        self._prepared, self._requests, self._precision = prepared, requests, precision
        self._free: SimpleQueue[Parts] | None = None
        self._first = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[Parts]:
        """A request in place of each part, for the caller alone; waits while all are in use."""
        with self._first:
            if self._free is None:
                self._free = self._compiled()
        free = self._free
        requests = free.get()
        try:
            yield requests
        finally:
            free.put(requests)

    def _compiled(self) -> SimpleQueue[Parts]:
        parts = self._prepared()
        tails = self._requests(parts.tail, self._precision)
        trunks = self._requests(parts.trunk, self._precision) if parts.trunk else [None] * len(tails)
        finishes = self._requests(parts.finish, "f32") if parts.finish else [None] * len(tails)
        free = SimpleQueue[Parts]()
        for trunk, tail, finish in zip(trunks, tails, finishes, strict=True):
            free.put(Parts(trunk, tail, finish, parts.halo, parts.block))
        return free
