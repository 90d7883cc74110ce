"""Files one after another through three steps, so that the network never waits for a disk, a decoder or an encoder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mezzotint.errors import LimitError, MezzotintError
from mezzotint.image.picture import Picture
from mezzotint.image.rows import Rows

if TYPE_CHECKING:
    from mezzotint.cli._jobs import Job
    from mezzotint.cli._report import Report
    from mezzotint.cli._signals import Interrupts
    from mezzotint.cli._work import Work
    from mezzotint.cli._worker import Fates

# Results of more pixels are written before the next is begun, so that two of them are never held at once.
_LARGE = 64_000_000


def run(jobs: list[Job], work: Work, report: Report | Fates, workers: int, interrupts: Interrupts) -> None:
    """Do all jobs, `workers` being decoded ahead of the one in the network and as many encoded behind it.

    Reported in the order of the jobs. A failure is noted and the next job comes. On any other exception, such as that of
    a signal, writing that has begun is finished and reported, and nothing else is begun.
    """
    readers, writers = ThreadPoolExecutor(workers), ThreadPoolExecutor(workers)
    behind: deque[tuple[Job, float, Future[dict[str, Any]]]] = deque()

    def settle(most: int) -> None:
        """Report what is written, in order, until at most `most` are still being written."""
        while behind and (len(behind) > most or behind[0][2].done()):
            job, seconds, future = behind[0]
            start = time.perf_counter()
            error, facts = None, {}
            try:
                facts = future.result()
            except MezzotintError as caught:
                error = caught
            seconds += time.perf_counter() - start
            with interrupts.shield():
                behind.popleft()
                if error is None:
                    report.add(job, facts, seconds)
                else:
                    report.failed(job, error, seconds)

    try:
        for job, source in _ahead(jobs, work, readers, workers):
            start = time.perf_counter()
            try:
                picture = source.result()
                try:
                    result = work.enlarge(job, picture)
                except LimitError:
                    if not behind:
                        raise
                    # What is being written may hold the memory that was lacking.
                    settle(0)
                    result = work.enlarge(job, picture)
            except MezzotintError as error:
                settle(0)
                with interrupts.shield():
                    report.failed(job, error, time.perf_counter() - start)
                continue
            future = writers.submit(work.write, job, picture, result)
            behind.append((job, time.perf_counter() - start, future))
            # Rows, and all frames but the first, are computed while they are written.
            moving = not isinstance(picture, Picture) or isinstance(result.pixels, Rows)
            settle(0 if moving or result.width * result.height > _LARGE else workers)
        settle(0)
    finally:
        readers.shutdown(wait=True, cancel_futures=True)
        writers.shutdown(wait=True, cancel_futures=True)
        while behind:
            job, seconds, future = behind.popleft()
            if not future.cancelled() and future.exception() is None:
                report.add(job, future.result(), seconds)


def _ahead(jobs: list[Job], work: Work, readers: ThreadPoolExecutor, workers: int) -> Iterator[tuple[Job, Future[Any]]]:
    """Each job with what is or will be read of it, while the next ones are being read."""
    waiting: deque[tuple[Job, Future[Any]]] = deque()
    for job in jobs:
        waiting.append((job, readers.submit(work.read, job)))
        if len(waiting) > workers:
            yield waiting.popleft()
    yield from waiting
