"""Which files become which: inputs expanded, outputs named, and every clash found before any work."""

from __future__ import annotations

import codecs
import glob
import itertools
import os
import stat
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mezzotint.errors import InputError, OutputError, UsageError
from mezzotint.files import make_folder, remove_leftovers
from mezzotint.image.formats import FILM_SUFFIXES, FILMS, FORMATS, SUFFIXES, WRITTEN_FILMS, by_name, by_suffix, sniff
from mezzotint.image.frames import moves

# A source: standard input; a target: standard output.
PIPE = Path("-")
_READ = SUFFIXES.keys() | FILM_SUFFIXES.keys()


@dataclass(frozen=True)
class Job:
    """One picture or film to make."""

    source: Path
    target: Path
    format: str  # of the target; empty: as `kept_format` says once the source has been read

    @property
    def is_film(self) -> bool:
        """Whether it needs PyAV."""
        return self.format in FILMS


def plan(
    inputs: Iterable[str],
    output: Path | None,
    format_name: str,
    suffix: str,
    *,
    recursive: bool = False,
    first_frame: bool = False,
) -> list[Job]:
    """Files, folders (their pictures and films in sorted order), glob patterns, lists of these (`@FILE`) and `-` -> jobs.

    Without `output` a result lies beside its input, `suffix` added to its name. `output` is a file for a single input if
    it has the suffix of a format and is no folder; else a folder, in which input folders, and relative paths of lists, are
    mirrored; `-` is standard output. `format_name` is "keep" or one of the formats; one for pictures leaves films what they
    are. With `first_frame` an animation becomes a still picture. Raises `UsageError` (two results of one name, a result that
    is an input, options that do not fit), `InputError` (a folder without pictures, a list that cannot be read).
    """
    asked = format_name.lower()
    format_name = asked.upper() if asked.upper() in FILMS else asked if asked == "keep" else by_name(format_name).name
    sources = list(_sources(inputs, recursive))
    as_file = output is not None and (output == PIPE or (output.suffix.lower() in _READ and not _is_folder(output)))
    if output is not None and not as_file:
        # What an earlier run of the same command has made is no input of this one.
        sources = [source for source in sources if not _made_earlier(source, output.resolve())]
    if as_file and len(sources) > 1:
        raise UsageError(f"{output} is one file and there are {len(sources)} inputs; give a folder to -o")
    jobs = []
    for source, place, from_folder in sources:
        if source == PIPE and not as_file:
            raise UsageError(
                "say with -o to which file the picture from standard input is to go; -o - is standard output"
            )
        film = source.suffix.lower() in FILM_SUFFIXES
        if film:
            _check_film(source, output if as_file else None)
        elif format_name in FILMS:
            raise UsageError(f"{source} is a picture and --format {asked} is for films")
        if output == PIPE:
            target, named = PIPE, "" if format_name == "keep" else format_name
        elif output is not None and as_file:
            target, named = output, WRITTEN_FILMS[output.suffix.lower()] if film else by_suffix(output).name
            if format_name not in ("keep", named) and film == (format_name in FILMS):
                raise UsageError(f"{output} asks for {named} and --format for {format_name}")
        elif output is None and from_folder:
            raise UsageError(f"say with -o in which folder the pictures of {source.parent} are to be put")
        else:
            if film:
                named, extension = _film_format_of(source, format_name)
            else:
                named, extension = _format_of(source, format_name, first_frame)
                extension = ".apng" if asked == "apng" else extension
            name = source.stem + (suffix if output is None else "") + extension
            target = source.with_name(name) if output is None else (output / place).with_name(name)
        jobs.append(Job(source, target, named))
    _refuse_clashes(jobs)
    return jobs


def kept_format(found: str, *, animated: bool) -> str:
    """The format of the result for a source of the format `found`, where none was asked for."""
    # A GIF's 256 colours cannot hold what a model adds, but what moves is to move; HEIC is read only.
    return "PNG" if found == "HEIC" or (found == "GIF" and not animated) else found


def check_targets(jobs: Iterable[Job], *, overwrite: bool) -> None:
    """See that every result can be written where it should, creating folders. Raises `UsageError`, `OutputError`."""
    folders = set()
    for job in jobs:
        if job.target == PIPE:
            continue
        if _is_folder(job.target):
            raise UsageError(f"{job.target} is a folder; a result cannot take its name")
        if not overwrite and os.path.lexists(job.target):
            raise UsageError(f"{job.target} exists; use --overwrite to replace it or --skip-existing to leave it out")
        folders.add(job.target.parent)
    for folder in sorted(folders):
        make_folder(folder)
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise OutputError(f"cannot write into {folder}: {error.strerror or error}") from error


def _is_folder(target: Path) -> bool:
    """Whether there is a folder of this name. Raises `OutputError` for a name that no file can have."""
    try:
        return stat.S_ISDIR(target.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}") from error


def clear_leftovers(jobs: Iterable[Job]) -> None:
    """Remove what killed writers of these results left behind."""
    names = defaultdict(set)
    for job in jobs:
        if job.target != PIPE:
            names[job.target.parent].add(job.target.name)
    for folder, awaited in names.items():
        remove_leftovers(folder, awaited)


def _sources(inputs: Iterable[str], recursive: bool) -> Iterable[tuple[Path, Path, bool]]:
    """(file, its place below an output folder, whether a folder was named), each file once.

    A missing file is passed on: it fails by itself.
    """
    seen = set()
    for text in inputs:
        for file, place, in_folder in _matches(text, recursive):
            identity = file if file == PIPE else file.resolve()
            if identity not in seen:
                seen.add(identity)
                yield file, place, in_folder


def _made_earlier(source: tuple[Path, Path, bool], output: Path) -> bool:
    """Whether a file from a named folder lies in the folder `output`, which is one of those inside the named one."""
    file, place, from_folder = source
    return from_folder and output in (folder.resolve() for folder in file.parents[: len(place.parts) - 1])


def _matches(text: str, recursive: bool) -> Iterable[tuple[Path, Path, bool]]:
    """What one argument stands for."""
    path = Path(text)
    if not text:
        raise UsageError("an input is an empty name; the current folder is .")
    # In place of `Path.exists`, which raises where a name is too long for a file to have.
    if text.startswith("@") and not os.path.lexists(path):
        for line in _lines(text[1:]):
            listed = Path(line)
            inside = not listed.is_absolute() and ".." not in listed.parts
            yield listed, listed if inside else Path(listed.name), False
    elif not os.path.lexists(path) and glob.has_magic(text):
        fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
        found = [Path(name) for name in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 (absolute patterns)
        found = [name for name in found if name.is_dir() or name.suffix.lower() in _READ]
        if not found:
            raise InputError(f"no picture matches {text}")
        for name in found:
            # A pattern that ends in ** finds folders and also what is in them.
            if not name.is_dir():
                yield name, name.relative_to(fixed), False
            elif not text.endswith("**"):
                yield from ((file, file.relative_to(name), True) for file in _pictures(name, recursive))
    elif os.path.isdir(path):  # noqa: PTH112 (neither raises this)
        yield from ((file, file.relative_to(path), True) for file in _pictures(path, recursive))
    else:
        yield path, Path(path.name), False


def from_stdin(most: int = -1) -> bytes:
    """What standard input holds, `most` bytes of it at most. Raises `InputError`."""
    if sys.stdin is None:
        raise InputError("standard input is closed")
    try:
        return sys.stdin.buffer.read(most)
    except OSError as error:
        raise InputError(f"cannot read standard input: {error.strerror or error}") from error


def _lines(name: str) -> list[str]:
    """The file names in a list, one a line, or ended by zeros, as `find` prints them: from the current folder on. `-` is
    standard input.
    """
    try:
        data = from_stdin() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the list {name}: {getattr(error, 'strerror', None) or error}") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"the list {name} is written in UTF-16; write it in UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    found = [os.fsdecode(line) for line in lines if line.strip()]
    if not found:
        raise InputError(f"the list {name} names no file")
    return found


def _pictures(folder: Path, recursive: bool) -> list[Path]:
    files = folder.rglob("*") if recursive else folder.iterdir()
    found = sorted(
        file for file in files if file.suffix.lower() in _READ and file.is_file() and not file.name.startswith(".")
    )
    if not found:
        hint = "" if recursive else "; --recursive looks into its sub-folders too"
        raise InputError(f"no pictures in the folder {folder}{hint}")
    return found


def _format_of(source: Path, format_name: str, first_frame: bool) -> tuple[str, str]:
    """Format and suffix of a result that is to be named after its source."""
    if format_name == "keep":
        found = None
        with suppress(OSError):
            with source.open("rb") as stream:
                found = sniff(stream.read(64))
            # Only a GIF's result is named otherwise if it moves.
            animated = found == "GIF" and not first_frame and moves(source.read_bytes())
        # Not readable: it will fail with a better message than we could give here.
        format_name = kept_format(found, animated=animated) if found else SUFFIXES.get(source.suffix.lower(), "PNG")
        format_name = format_name if FORMATS[format_name].written else "PNG"
    suffixes = FORMATS[format_name].suffixes
    return format_name, source.suffix if source.suffix.lower() in suffixes else suffixes[0]


def _check_film(source: Path, output: Path | None) -> None:
    """Refuse a file that cannot hold a film. Raises `UsageError`."""
    if output is not None and output.suffix.lower() not in WRITTEN_FILMS:
        where = "standard output" if output == PIPE else output
        raise UsageError(f"{source} is a film, and {where} is none: films are written as {' '.join(WRITTEN_FILMS)}")


def _film_format_of(source: Path, format_name: str) -> tuple[str, str]:
    """Format and suffix of a film that is to be named after its source."""
    named = format_name if format_name in FILMS else FILM_SUFFIXES[source.suffix.lower()]
    return named, source.suffix if source.suffix.lower() in FILMS[named] else FILMS[named][0]


def _refuse_clashes(jobs: list[Job]) -> None:
    sources = {_identity(job.source): job.source for job in jobs if job.source != PIPE}
    targets: dict[object, Job] = {}
    for job in jobs:
        if job.target == PIPE:
            continue
        identity = _identity(job.target)
        if identity in sources:
            raise UsageError(f"the result {job.target} would replace the input {sources[identity]}; give another -o")
        if identity in targets:
            other = targets[identity].source
            raise UsageError(f"{other} and {job.source} would both become {job.target}; upscale them into two folders")
        targets[identity] = job


def _identity(path: Path) -> object:
    """Equal for two paths of one file: through symbolic links, hard links and `..`."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except OSError:
        return os.path.normcase(path.resolve())
