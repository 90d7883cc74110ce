"""`--streams`: how many small pictures are in the network at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mezzotint import hardware
from mezzotint.errors import UsageError

if TYPE_CHECKING:
    from mezzotint.cli._jobs import Job
    from mezzotint.cli._work import InStreams
    from mezzotint.image.picture import Picture
    from mezzotint.pipelines.upscale import Upscaler

# Names of runtimes that have several.
RUNTIMES = ("auto", "openvino")
_MOST = 256


def asked(text: str, runtime: str) -> int | None:
    """The number; None for "auto". Raises `UsageError`."""
    if text == "auto":
        return None
    if not (text.isdecimal() and 1 <= int(text) <= _MOST):
        raise UsageError(f"--streams takes 'auto' or a number from 1 to {_MOST}, not '{text}'")
    if int(text) > 1 and runtime not in RUNTIMES:
        raise UsageError(f"--streams is for the openvino runtime; {runtime} enlarges one picture at a time")
    return int(text)


def chooser(
    load: Callable[..., Any], jobs: list[Job], number: int | None, threads: int | None, *, able: bool
) -> InStreams | None:
    """What finds the upscaler for several pictures at once; None if one after the other is best, or the model is not
    `able` to do otherwise. `load` is `pipelines.load` of the model.
    """
    from mezzotint.advisor.streams import FEWEST, fastest

    pictures = sum(not job.is_film for job in jobs)
    if number is not None:
        return (lambda one, first: load(streams=number)) if min(number, pictures) > 1 else None
    if pictures < FEWEST or not able:
        return None

    def found(one: Upscaler, first: Picture) -> Upscaler:
        size = first.height, first.width
        return fastest(one, lambda count: load(streams=count), size, pictures, threads or hardware.free_threads())

    return found
