"""Files done by the workers of a Ray cluster, and reported by this process, the head, as they are finished."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mezzotint import hardware
from mezzotint.cli._jobs import Job, clear_leftovers
from mezzotint.cli._report import warn
from mezzotint.cli._worker import Errand, Worker, packed
from mezzotint.errors import LostProcessError, MezzotintError, UsageError

if TYPE_CHECKING:
    from mezzotint.cli._report import Report
    from mezzotint.cli._signals import Interrupts

# Files in one task, so that one is decoded while another is enlarged; few tasks would be shared out unevenly.
_MOST_FILES, _LEAST_TASKS = 16, 8
# How often a file may kill its worker; a node that goes away may take an innocent one with it.
_RETRIES = 2
# Rows are a few hundred bytes; Ray would set aside a third of the memory.
_OBJECT_STORE = 100 << 20


@dataclass(frozen=True)
class Cluster:
    """Where work is to be done, and by how many."""

    address: str | None
    workers: int | None
    cpus: int
    gpus: float


def run(
    cluster: Cluster,
    jobs: list[Job],
    load: Callable[[], Any],
    settings: Mapping[str, Any],
    report: Report,
    interrupts: Interrupts,
) -> None:
    """Do all jobs and report them as they are finished, in the end in their order. Arguments as in `_worker.Errand`.

    Raises `UsageError`, `InputError`, `ModelError` (a node that lacks what it needs), `LostProcessError` (Ray failed).
    """
    if not jobs:
        return
    already, order = len(report.rows), {str(job.source): number for number, job in enumerate(jobs)}
    waiting = dict(enumerate(jobs))
    try:
        with _connected(cluster) as most, _token(jobs[0].target.parent) as token:
            errand = Errand(load, settings, cluster.cpus, str(Path.cwd()), token)
            workers = cluster.workers or most
            several = max(1, min(_MOST_FILES, len(jobs) // (workers * _LEAST_TASKS)))
            # A file that kills its worker every time takes along what that was to do next: those once more, each alone.
            for size, queue, again in ((several, 2, _restarted), (1, 1, _always)):
                tasks = shared_out(waiting, size)
                for fate in _stream(cluster, tasks, min(workers, len(tasks)), queue, errand, again):
                    with interrupts.shield():
                        _tell(report, waiting.pop(fate.get("number", -1), None), fate)
                if not waiting:
                    break
            for job in waiting.values():
                reason = "its worker died every time, perhaps of a lack of memory: give --memory, or fewer --workers"
                report.failed(job, LostProcessError(f"{job.source}: {reason}"), 0.0)
    finally:
        clear_leftovers(waiting.values())
        report.rows[already:] = sorted(report.rows[already:], key=lambda row: order[row["input"]])
    precisions = sorted({row["precision"] for row in report.rows if "precision" in row})
    if len(precisions) > 1:
        warn(f"the nodes computed in {' and '.join(precisions)}; --precision f32 gives the same bytes on all")


def shared_out(numbered: Mapping[int, Job], size: int) -> list[str]:
    """The jobs as texts of at most `size` each, in their order."""
    items = list(numbered.items())
    return [packed(items[start : start + size]) for start in range(0, len(items), size)]


def _stream(
    cluster: Cluster, tasks: list[str], workers: int, queue: int, errand: Errand, again: Callable[[], bool]
) -> Iterator[dict[str, Any]]:
    """What the workers, each with up to `queue` tasks, say as they say it; nothing of a task that kills them every time."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1
    # Rows from here, one to a block: no task has to read them, which would wait for ever for a CPU that workers hold.
    rows = ray.data.from_items([{"jobs": task} for task in tasks], override_num_blocks=len(tasks))
    fates = rows.flat_map(
        Worker,
        fn_constructor_args=(errand, again),
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=queue),
        num_cpus=cluster.cpus,
        num_gpus=cluster.gpus or None,
        # By default without end. Its place will be another from Ray 2.64 on.
        max_task_retries=_RETRIES,
    )
    try:
        for batch in fates.iter_batches(batch_size=None, prefetch_batches=0):
            yield from map(json.loads, batch["fate"])
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise LostProcessError(f"the workers of the Ray cluster failed: {reason}; --debug shows more") from error


def _tell(report: Report, job: Job | None, fate: Mapping[str, Any]) -> None:
    """Report a fate, once: a task that is repeated repeats what it says. Raises what ends the command."""
    if "ends" in fate:
        raise error_of(fate["ends"], fate["exit_code"])
    if job is not None and "error" in fate:
        report.failed(job, error_of(fate["error"], fate["exit_code"]), fate["seconds"])
    elif job is not None:
        report.add(job, fate["facts"], fate["seconds"])


def error_of(message: str, exit_code: int) -> MezzotintError:
    """An error of a worker, here."""
    error = MezzotintError(message)
    error.exit_code = exit_code
    return error


def _restarted() -> bool:
    """Whether a worker, which asks, takes the place of one that died."""
    import ray

    return bool(ray.get_runtime_context().was_current_actor_reconstructed)


def _always() -> bool:
    return True


@contextmanager
def _connected(cluster: Cluster) -> Iterator[int]:
    """Join the cluster, or start one on this machine; how many workers fit into it.

    Raises `UsageError`, `LostProcessError`.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if cluster.address:
        # Of which each takes most of a minute; twenty by default.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
    import ray.data

    warnings.filterwarnings("ignore", category=ray.util.annotations.RayDeprecationWarning)
    # What its daemons say of deaths would come among our own lines on standard output, whatever `log_to_driver` says.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.CRITICAL)
    try:
        with _signals_kept():
            if cluster.address is None:
                cpus = (cluster.workers or max(1, hardware.free_threads() // cluster.cpus)) * cluster.cpus
                ray.init("local", num_cpus=cpus, object_store_memory=_OBJECT_STORE, include_dashboard=False, **quiet)
            else:
                ray.init(cluster.address, **quiet)
        most = sum(fitting(node["Resources"], cluster) for node in ray.nodes() if node["Alive"])
        if not most:
            need = f"{cluster.cpus} CPUs" + (f" and {cluster.gpus:g} GPUs" if cluster.gpus else "")
            raise UsageError(f"no node has the {need} that one worker asks for")
        yield most
    except ConnectionError as error:
        raise LostProcessError(f"no Ray cluster answers at {cluster.address}: {error}") from error
    finally:
        ray.shutdown()


def fitting(resources: Mapping[str, float], cluster: Cluster) -> int:
    """How many workers one node holds."""
    by_cpus = resources.get("CPU", 0) // cluster.cpus
    return int(min(by_cpus, resources.get("GPU", 0) // cluster.gpus) if cluster.gpus else by_cpus)


@contextmanager
def quiet() -> Iterator[None]:
    """Let nobody but Python write to standard error: Ray's native parts speak there of what they then put right."""
    try:
        shown = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):  # replaced by something that is no file
        shown = False
    if not shown:
        yield
        return
    ours, kept, nowhere = sys.stderr, os.dup(2), os.open(os.devnull, os.O_WRONLY)
    sys.stderr = os.fdopen(kept, "w", buffering=1, encoding=ours.encoding, errors=ours.errors)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        sys.stderr.close()
        sys.stderr = ours


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray sets a handler of its own, which would end the command without its report."""
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if in_main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _token(folder: Path) -> Iterator[str]:
    """A new file, by which a worker knows that it sees the folder itself, and not one of the same name."""
    with tempfile.NamedTemporaryFile(prefix=".mezzotint-", dir=folder) as file:
        yield file.name
