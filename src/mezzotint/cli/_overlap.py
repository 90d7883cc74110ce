"""Files through three steps at once, so that the network never waits for a disk, a decoder or an encoder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any

from mezzotint.errors import LimitError, MezzotintError
from mezzotint.image.picture import Picture
from mezzotint.image.rows import Rows

if TYPE_CHECKING:
    from mezzotint.cli._jobs import Job
    from mezzotint.cli._report import Report
    from mezzotint.cli._signals import Interrupts
    from mezzotint.cli._work import InStreams, Work
    from mezzotint.cli._worker import Fates

# Results of more pixels are written before the next is begun, so that two of them are never held at once.
_LARGE = 64_000_000
# Results of up to so many pixels may be made side by side. Larger ones keep threads busy by themselves, and with a thread or
# two each would take long to be interrupted.
_SMALL = 1 << 22
# How many files are under way bounds the threads; a pool starts them as they are needed.
_MOST_THREADS = 1_000


def run(
    jobs: list[Job],
    work: Work,
    report: Report | Fates,
    workers: int,
    interrupts: Interrupts,
    in_streams: InStreams | None = None,
) -> None:
    """Do all jobs, `workers` being decoded ahead of the one in the network and as many encoded behind it.

    With `in_streams` still pictures that are small are done side by side, as many as it finds best, each by a thread of its
    own; other things alone. Reported in the order of the jobs. A failure is noted and the next job comes. On any other
    exception, such as that of a signal, writing that has begun is finished and reported, and nothing else is begun.
    """
    readers, line = ThreadPoolExecutor(_MOST_THREADS), _Line(report, interrupts)
    together: Work | None = None

    def ahead() -> int:
        return together.share - 1 if together else workers

    try:
        for job, source in _ahead(jobs, work, readers, ahead):
            picture = line.tried(job, source.result)
            if picture is None:
                continue
            small = isinstance(picture, Picture) and picture.width * picture.height * work.scale**2 <= _SMALL
            if small and in_streams is not None:
                together, in_streams = work.in_streams(in_streams, picture, workers), None
            if small and together is not None:
                line.settle(together.share - 1)
                line.begin(job, together.enlarge_and_write, job, picture, alone=work.enlarge_and_write)
                continue
            if together is not None:
                line.settle(0)
            result = line.tried(job, work.enlarge, job, picture)
            if result is None:
                continue
            line.settle(workers - 1)
            line.begin(job, work.write, job, picture, result)
            # Rows, and all frames but the first, are computed while they are written.
            moving = not isinstance(picture, Picture) or isinstance(result.pixels, Rows)
            if moving or result.width * result.height > _LARGE:
                line.settle(0)
        line.settle(0)
    finally:
        readers.shutdown(wait=True, cancel_futures=True)
        line.end()


def _ahead(
    jobs: list[Job], work: Work, readers: ThreadPoolExecutor, most: Callable[[], int]
) -> Iterator[tuple[Job, Future[Any]]]:
    """Each job with what is or will be read of it, while the next ones are being read."""
    waiting: deque[tuple[Job, Future[Any]]] = deque()
    for job in jobs:
        waiting.append((job, readers.submit(work.read, job)))
        if len(waiting) > most():
            yield waiting.popleft()
    yield from waiting


class _Crowded(Exception):
    """Memory was lacking beside other files; `alone` does the same once more."""

    def __init__(self, alone: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self.alone = alone


class _Line:
    """Files under way, in their order, each until it is reported what became of it."""

    def __init__(self, report: Report | Fates, interrupts: Interrupts) -> None:
        self._report, self._interrupts, self._threads = report, interrupts, ThreadPoolExecutor(_MOST_THREADS)
        self._under_way: deque[tuple[Job, Future[dict[str, Any]]]] = deque()
        self._seconds: dict[Job, float] = {}

    def tried(self, job: Job, step: Callable[..., Any], *arguments: Any) -> Any:
        """What a step that is taken here and now returns; None where it failed, which is noted."""
        while True:
            alone = not self._under_way
            try:
                return self._timed(job, step, *arguments)
            except MezzotintError as error:
                if alone or not isinstance(error, LimitError):
                    failed: Future[dict[str, Any]] = Future()
                    failed.set_exception(error)
                    self._under_way.append((job, failed))
                    self._tell()
                    return None
            # What is being written may hold the memory that was lacking.
            self.settle(0)

    def begin(
        self, job: Job, step: Callable[..., Any], *arguments: Any, alone: Callable[..., Any] | None = None
    ) -> None:
        """Take the last step of a job in a thread; where memory was lacking, then `alone` in its place."""
        first = partial(self._timed, job, step, *arguments)
        again = alone and partial(self._timed, job, alone, *arguments)
        with self._interrupts.shield():
            self._under_way.append((job, self._threads.submit(_in_turn, first, again)))

    def settle(self, most: int) -> None:
        """Wait until at most `most` files are not done, and report all that no other is waited for."""
        while True:
            self._tell()
            busy = [future for _, future in self._under_way if not future.done()]
            if len(busy) <= most:
                return
            wait(busy, return_when=FIRST_COMPLETED)

    def _tell(self) -> None:
        """Report the first ones that are done."""
        while self._under_way and self._under_way[0][1].done():
            job, future = self._under_way[0]
            error, facts = None, {}
            try:
                try:
                    facts = future.result()
                except _Crowded as crowded:
                    wait([future for _, future in self._under_way])
                    facts = crowded.alone()
            except MezzotintError as caught:
                error = caught
            with self._interrupts.shield():
                self._under_way.popleft()
                seconds = self._seconds.pop(job, 0.0)
                if error is None:
                    self._report.add(job, facts, seconds)
                else:
                    self._report.failed(job, error, seconds)

    def end(self) -> None:
        """Wait for what has begun, and report what of it was finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while self._under_way:
            job, future = self._under_way.popleft()
            if not future.cancelled() and future.exception() is None:
                self._report.add(job, future.result(), self._seconds.pop(job, 0.0))

    def _timed(self, job: Job, step: Callable[..., Any], *arguments: Any) -> Any:
        """Of one job no two steps are taken at the same time."""
        start = time.perf_counter()
        try:
            return step(*arguments)
        finally:
            self._seconds[job] = self._seconds.get(job, 0.0) + time.perf_counter() - start


def _in_turn(first: Callable[[], Any], alone: Callable[[], Any] | None) -> Any:
    try:
        return first()
    except LimitError as error:
        if alone is None:
            raise
        raise _Crowded(alone) from error
