"""The one atomic writer: a file is either complete or not there, and what stood there before survives every failure."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mezzotint.errors import OutputError


@contextmanager
def atomic_write(path: str | Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` for binary writing; on success it is synced and becomes `path` in one step.

    On any exception, a full disk or a signal the temporary file is removed and `path` stays what it was; a kill that
    cannot be caught leaves at most a hidden `.part` file. With `overwrite=False` an existing `path` is never replaced,
    not even one that appears while we write. Raises `OutputError`.
    """
    path = Path(path)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as stream:
            with suppress(OSError):  # some network drives know no locks
                _hold(stream)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(_usual_mode(path))
        if overwrite:
            temporary.replace(path)
        else:
            # A hard link fails when the name exists; rename would silently replace it.
            os.link(temporary, path)
    except FileExistsError as error:
        raise OutputError(f"{path} exists; use --overwrite to replace it") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; what was there is untouched") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def remove_leftovers(folder: Path, names: Collection[str]) -> None:
    """Remove the hidden files that killed writers of `folder`/`names` left behind; those being written now stay."""
    shortened = {name[:100] for name in names}
    with suppress(OSError):
        for entry in folder.glob(".*.part"):
            if entry.name[1:].removesuffix(".part").rpartition(".")[0] in shortened:
                with suppress(OSError), entry.open("rb") as stream:
                    _hold(stream)
                    entry.unlink()


def _hold(stream: BinaryIO) -> None:
    """Lock an open file until it is closed, by its holder's death at the latest. Raises `OSError` if another holds it."""
    try:
        import fcntl
    except ImportError:  # Windows lets nobody remove an open file
        return
    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_bytes(path: str | Path, data: bytes, *, overwrite: bool = True) -> None:
    """Write `data` to `path` atomically. Raises `OutputError`."""
    with atomic_write(path, overwrite=overwrite) as stream:
        stream.write(data)


def check_place(path: str | Path) -> None:
    """See, before long work, that a file can be written into the folder of `path`. Raises `OutputError`."""
    try:
        tempfile.TemporaryFile(dir=Path(path).parent).close()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def make_folder(path: str | Path) -> Path:
    """Create a folder and its parents if need be. Raises `OutputError`."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create folder {path}: {error.strerror or error}") from error
    return path


def _usual_mode(path: Path) -> int:
    """The mode `path` has, or would get from a plain `open`; temporary files are private until then."""
    with suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
