"""One worker of a cluster: it holds a warm model, does some files at a time and says what became of each."""

from __future__ import annotations

import json
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint import __version__, hardware
from mezzotint.cli import _overlap
from mezzotint.cli._jobs import Job, clear_leftovers
from mezzotint.cli._signals import Interrupts
from mezzotint.cli._work import ModelFailed, Work
from mezzotint.errors import InputError, LimitError, MezzotintError, UsageError


@dataclass(frozen=True)
class Errand:
    """What a worker is sent out with, the same for all: the command's settings, and what it should find where it is."""

    load: Callable[[], Any]  # of the model
    settings: Mapping[str, Any]  # of `Work`
    cpus: int
    folder: str  # in which the command was typed: relative names start there
    token: str  # a file that the head has made where results go
    version: str = __version__


class Worker:
    """Jobs as text -> fates as text, through the same three steps as on one machine; neither raises for a bad file.

    `again` says whether these jobs may have been begun before, by a worker that died. Then a result that is there is
    that worker's, since the head had looked before any work, and it is replaced.
    """

    def __init__(self, errand: Errand, again: Callable[[], bool]) -> None:
        warnings.filterwarnings("ignore", module="PIL")
        with suppress(OSError):  # if all names are absolute, nothing is missing
            os.chdir(errand.folder)
        self.errand, self.again = errand, again()
        self.misfit = _misfit(errand)
        self.interrupts = Interrupts()
        settings = dict(errand.settings)
        settings["overwrite"] |= self.again
        settings["memory"] = settings["memory"] or _share_of_memory(errand.cpus)
        loading = ThreadPoolExecutor(1).submit(errand.load)
        self.work = Work(loading, **settings, stop=self.interrupts.stop, on_frame=lambda done, total: None)

    def __call__(self, row: Mapping[str, str]) -> list[dict[str, str]]:
        """{"jobs": `packed`} -> [{"fate": ...}]: a number and what is to be reported, or an error that ends the command."""
        numbered = unpacked(row["jobs"])
        fates = Fates({job: number for number, job in numbered})
        try:
            self._do(list(fates.numbers), fates)
        except MezzotintError as error:
            fates.lines.append({"ends": str(error), "exit_code": error.exit_code})
        return [{"fate": json.dumps(line)} for line in fates.lines]

    def _do(self, jobs: list[Job], fates: Fates) -> None:
        """Raises `MezzotintError` for what is wrong with this machine or the model."""
        if self.misfit:
            raise self.misfit
        _check_seen(jobs, self.errand.folder)
        if self.again:
            clear_leftovers(jobs)
        try:
            _overlap.run(jobs, self.work, fates, self.errand.cpus, self.interrupts)
        except ModelFailed as error:
            assert isinstance(error.__cause__, MezzotintError)
            raise error.__cause__ from None
        except Exception as error:
            # Whichever of several it was: those without a fate come again, one by one.
            if len(jobs) == 1:
                memory = isinstance(error, MemoryError)
                kind = LimitError if memory else MezzotintError
                reason = "not enough memory" if memory else f"{type(error).__name__}: {error}"
                fates.failed(jobs[0], kind(f"{jobs[0].source}: {reason}"), 0.0)


class Fates:
    """What `_overlap.run` reports to, in place of the report that is kept by the head."""

    def __init__(self, numbers: dict[Job, int]) -> None:
        self.numbers, self.lines = numbers, list[dict[str, Any]]()

    def add(self, job: Job, facts: dict[str, Any], seconds: float) -> None:
        self.lines.append({"number": self.numbers[job], "seconds": seconds, "facts": facts})

    def failed(self, job: Job, error: MezzotintError, seconds: float) -> None:
        fate = {"error": str(error), "exit_code": error.exit_code}
        self.lines.append({"number": self.numbers[job], "seconds": seconds, **fate})


def packed(numbered: Iterable[tuple[int, Job]]) -> str:
    """Jobs as ASCII, whatever bytes their names hold."""
    return json.dumps([(number, str(job.source), str(job.target), job.format) for number, job in numbered])


def unpacked(text: str) -> list[tuple[int, Job]]:
    """What `packed` packed."""
    return [(number, Job(Path(source), Path(target), named)) for number, source, target, named in json.loads(text)]


def _misfit(errand: Errand) -> MezzotintError | None:
    """What makes this machine's results differ from those of the others, or never be seen."""
    if __version__ != errand.version:
        return UsageError(f"{platform.node()} has mezzotint {__version__} and the head {errand.version}; install one")
    if not Path(errand.folder, errand.token).exists():
        return _unseen(Path(errand.folder, errand.token).parent)
    return None


def _check_seen(jobs: list[Job], folder: str) -> None:
    """Raises `InputError` where a folder is missing here, which the head has seen."""
    for place in sorted({Path(folder, path).parent for job in jobs for path in (job.source, job.target)}):
        if not place.is_dir():
            raise _unseen(place)


def _unseen(folder: Path) -> InputError:
    return InputError(
        f"{platform.node()}, a node of the cluster, does not see the head's {folder}: pictures and results must lie on "
        "storage that every node has under the same path"
    )


def _share_of_memory(cpus: int) -> int | None:
    """Bytes for one of the workers that fill this machine; None where nobody knows."""
    known = hardware.memory()
    return known and int(known[1] * min(1.0, cpus / hardware.free_threads()))
