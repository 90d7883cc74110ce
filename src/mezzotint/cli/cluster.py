"""`mezzotint cluster`: commands on several machines."""

from __future__ import annotations

import inspect
from functools import partial
from importlib.util import find_spec
from typing import Any

import typer

from mezzotint.cli import upscale as local
from mezzotint.errors import UsageError, missing_extra

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)

# Options of `mezzotint upscale` that mean nothing here, or something else.
_OF_ONE_MACHINE = ("shard", "threads", "workers", "streams")


@app.callback()
def _cluster() -> None:
    """Work on several machines, by Ray."""


def upscale(
    context: typer.Context,
    address: str | None = typer.Option(
        None,
        envvar="RAY_ADDRESS",
        help="'auto' on a node of a cluster, or HOST:PORT of its head; by default this machine.",
    ),
    workers: int | None = typer.Option(None, help="Processes, each with a model; as many as fit by default.", min=1),
    cpus_per_worker: int = typer.Option(1, help="CPUs of each, which are its threads too.", min=1),
    gpus_per_worker: float = typer.Option(
        0, help="GPUs of each, such as 1 or 0.5; needs --runtime onnx or pytorch.", min=0
    ),
    **options: Any,
) -> None:
    """Do what `mezzotint upscale` does on the nodes of a Ray cluster, which see the pictures under the same path.

    Results, report and exit code are those of `mezzotint upscale`. A worker or a node that dies is replaced, and what it
    was doing is done again.
    """
    if find_spec("ray") is None:
        raise missing_extra("ray", "cluster")
    from mezzotint.cli import _ray

    if "-" in options["inputs"] or str(options["output"]) == "-":
        raise UsageError("standard input and output are for one machine: use mezzotint upscale")
    if gpus_per_worker and options["runtime"] not in ("onnx", "pytorch"):
        raise UsageError("--gpus-per-worker needs a runtime that uses GPUs: --runtime onnx or pytorch")
    if address and address.startswith("ray://"):
        raise UsageError("start this on a node of the cluster, with --address auto, and not by Ray's client")
    context.obj = partial(_ray.run, _ray.Cluster(address, workers, cpus_per_worker, gpus_per_worker))
    with _ray.quiet():
        local.upscale(context, **options, shard=None, threads=cpus_per_worker, workers=1, streams="1")


def _with_options_of_upscale() -> inspect.Signature:
    """Ours, and of `mezzotint upscale` what has no other meaning here; for `typer`, which reads signatures."""
    ours = inspect.signature(upscale, eval_str=True)
    theirs = inspect.signature(local.upscale, eval_str=True)
    taken = {*ours.parameters, *_OF_ONE_MACHINE}
    added = [parameter for name, parameter in theirs.parameters.items() if name not in taken]
    kept = [parameter for name, parameter in ours.parameters.items() if name != "options"]
    return ours.replace(parameters=[*kept, *added])


upscale.__signature__ = _with_options_of_upscale()  # type: ignore[attr-defined]
app.command()(upscale)
