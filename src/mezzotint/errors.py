"""The errors mezzotint raises on purpose, each with the exit code its command ends with.

A message is one line that says what is wrong, with which file, why, and what to do. Anything else that escapes is a bug.
"""

from __future__ import annotations


class MezzotintError(Exception):
    """Base of every error meant for a person; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(MezzotintError):
    """A wrong option, a wrong recipe, a missing extra, an existing output without `--overwrite`."""

    exit_code = 2


class InputError(MezzotintError):
    """An input that is missing, broken, or not what its command reads."""

    exit_code = 3


class TooSmallError(InputError):
    """An image, or each of a whole data set, has a side that is too short."""


class LimitError(MezzotintError):
    """Too many pixels, too much memory, too much time, or more than an output format can hold."""

    exit_code = 4


class ModelError(MezzotintError):
    """A model file that is damaged, dangerous, or not one of ours."""

    exit_code = 5


class NoCardError(ModelError):
    """A model file of others, which carries no card of ours."""


class OutputError(MezzotintError):
    """An output that could not be written; what stood there before is untouched."""

    exit_code = 6


class QualityError(MezzotintError):
    """A result that failed a quality gate, such as non-finite pixels; it was not written."""

    exit_code = 7


class DivergedError(MezzotintError):
    """Training whose losses or gradients stay non-finite."""

    exit_code = 8


class LostProcessError(MezzotintError):
    """A run in several processes, one of which has ended or cannot be reached; it can be resumed."""


class InterruptedRun(MezzotintError):
    """Work ended by a signal after its state was saved; exits with 128 + the signal's number (130, 143)."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def missing_extra(package: str, extra: str) -> UsageError:
    """The error for a command that needs an optional dependency: says exactly what to type."""
    return UsageError(f"this needs {package}, which is not installed: pip install 'mezzotint[{extra}]'")
