"""One run in several processes, on one machine or many, as `torchrun` starts them. In a run of one process it is nothing.

Every process holds all networks and takes turns with the others on the items of the recipe's batch: process r of n computes
r, r + n, r + 2n, ... Losses are means over a batch, so their gradients, averaged over equal shares, are those of the whole
batch, whatever a method does to get at them: the result is that of one process, up to rounding. What decides the course of a
run (the clock, a signal, a loss that is not finite) is agreed on, so that all do the same; only the first process writes,
validates and speaks.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.overrides import TorchFunctionMode

from mezzotint.errors import LostProcessError, MezzotintError, UsageError
from mezzotint.training.checkpoint import read_state

# A process that dies is noticed at once, by its connections. This is for a machine that vanishes without a word; waiting for
# the first process to validate must fit in.
_TIMEOUT, _ASKING = timedelta(minutes=30), timedelta(seconds=5)


@dataclass(frozen=True)
class Team:
    """The processes of a run, seen from one of them; `Team()` is a process alone.

    Everything but the attributes must be called by all of them, in the same order. Raises `LostProcessError`.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1  # how many of them share this machine

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes, validates and speaks."""
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        """Which items of a batch are this process's: (rank, ranks)."""
        return self.rank, self.size

    def average_gradients(self, parameters: list[torch.Tensor]) -> None:
        """Replace each gradient by its mean over all processes, in one exchange."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.size == 1 or not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        flat = flat if flat.is_cuda else flat.cpu()
        _exchange(distributed.all_reduce, flat)
        means = torch.split(flat / self.size, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean(self, value: float) -> float:
        """The mean of all processes' values; not finite where one of them is not."""
        if self.size == 1:
            return value
        number = torch.tensor(value, dtype=torch.float64)
        _exchange(distributed.all_reduce, number)
        return float(number) / self.size

    def first(self, value: float) -> float:
        """The first process's value."""
        if self.size == 1:
            return value
        number = torch.tensor(value, dtype=torch.float64)
        _exchange(distributed.broadcast, number, src=0)
        return float(number)

    def largest(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.size == 1:
            return value
        number = torch.tensor(value)
        _exchange(distributed.all_reduce, number, op=distributed.ReduceOp.MAX)
        return int(number)

    def agree(self, value: int) -> bool:
        """Whether all processes have the same value."""
        return self.largest(value) == -self.largest(-value)

    def signalled(self, received: list[int]) -> bool:
        """Whether any process has received a signal; its number stands in every process's `received` then."""
        number = self.largest(received[0] if received else 0)
        if number and not received:
            received.append(number)
        return bool(number)

    def noise(self) -> AbstractContextManager[object]:
        """Within, `torch.rand` and `torch.randn` draw what one process would draw for the whole batch, and give this
        process the numbers of its items. Their first dimension is the batch.
        """
        return nullcontext() if self.size == 1 else _SharedNoise(self)


class _SharedNoise(TorchFunctionMode):
    """See `Team.noise`. Methods and losses draw from torch's global generator, which all processes seed alike."""

    def __init__(self, team: Team) -> None:
        super().__init__()
        self.team = team

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        if function in (torch.rand, torch.randn) and arguments:
            shape = arguments if isinstance(arguments[0], int) else tuple(arguments[0])
            if shape:
                whole = function(shape[0] * self.team.size, *shape[1:], **options)
                return whole[self.team.rank :: self.team.size].contiguous()
        return function(*arguments, **options)


def gather(*batches: int) -> Team:
    """Meet the other processes that `torchrun` has started; alone, at once.

    A process with CUDA gets the GPU of its local rank. Raises `UsageError` where batches of these sizes cannot be shared
    evenly, for losses are means over a share, and where there are fewer GPUs than processes.
    """
    if not _started_by_torchrun() or int(os.environ["WORLD_SIZE"]) == 1:
        return Team()
    team = Team(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))
    for batch in batches:
        if batch % team.size:
            raise UsageError(
                f"{team.size} processes cannot share a batch of {batch} evenly; set data.batch to a multiple"
            )
    backend = "gloo"
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        if team.local_size > count:
            raise UsageError(
                f"{team.local_size} processes but {count} GPUs, and each needs one; start torchrun with "
                f"--nproc-per-node {count}, or hide the GPUs (CUDA_VISIBLE_DEVICES=)"
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    _exchange(distributed.init_process_group, backend, timeout=_TIMEOUT)
    return team


def part(team: Team) -> None:
    """Leave when all have come here: torchrun ends the rest of a team as soon as one of it fails, were it saving its state.

    Not after an error: the others may be waiting for an exchange that will not come.
    """
    if team.size > 1:
        _exchange(distributed.barrier)
        distributed.destroy_process_group()


@contextmanager
def resumable(checkpoint: Path) -> Iterator[None]:
    """Say how to go on when a process is lost."""
    try:
        yield
    except LostProcessError as error:
        step = read_state(checkpoint)["step"] if checkpoint.exists() else None
        way = "nothing was saved yet" if step is None else f"add --resume to go on from step {step}"
        raise LostProcessError(f"{error}; {way}") from error


@contextmanager
def one_voice() -> Iterator[bool]:
    """Of the processes that fail with the same words let only one say them. Yields whether results are this one's to tell.

    That a process was lost is said only where nothing else was: the lost one may have told why before it ended.
    """
    if not _started_by_torchrun():
        yield True
        return
    try:
        yield os.environ["RANK"] == "0"
    except MezzotintError as error:
        # torchrun ends a team as soon as one of it fails; this one ends by itself, after it has said why.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not _first_to_say(error):
            raise SystemExit(error.exit_code) from error
        raise


def _started_by_torchrun() -> bool:
    return distributed.is_available() and distributed.is_torchelastic_launched()


def _first_to_say(error: MezzotintError) -> bool:
    """Ask torchrun's own store, which outlives its processes."""
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = distributed.TCPStore(address, port, is_master=False, timeout=_ASKING)  # type: ignore[attr-defined]
        anything = store.add(f"mezzotint/{start}/said", 1)
        again = store.add(f"mezzotint/{start}/said: {error}", 1)
    except RuntimeError:
        return True
    return (anything if isinstance(error, LostProcessError) else again) == 1


def _exchange(operation: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    try:
        operation(*arguments, **options)
    except RuntimeError as error:
        # "[file:line] Connection closed by peer. Advice" -> "Connection closed by peer"
        why = " ".join(str(error).split("] ", 1)[-1].split(". ")[0].split())[:200]
        raise LostProcessError(f"another process of the run has ended or cannot be reached ({why})") from error
