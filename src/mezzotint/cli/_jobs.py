"""Which files become which: inputs expanded, outputs named, and every clash found before any work."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mezzotint.errors import InputError, OutputError, UsageError
from mezzotint.files import make_folder
from mezzotint.image.formats import FORMATS, SUFFIXES, by_name, by_suffix, sniff


@dataclass(frozen=True)
class Job:
    """One picture to make."""

    source: Path
    target: Path
    format: str  # of the target


def plan(
    inputs: Iterable[str], output: Path | None, format_name: str, suffix: str, *, recursive: bool = False
) -> list[Job]:
    """Files, folders (their pictures in sorted order) and glob patterns -> jobs.

    Without `output` a result lies beside its input, `suffix` added to its name. `output` is a file for a single input if
    it has an image suffix and is no folder; else a folder, in which input folders are mirrored. `format_name` is "keep" or
    one of the formats. Raises `UsageError` (two results of one name, a result that is an input, options that do not fit),
    `InputError` (a folder without pictures).
    """
    format_name = "keep" if format_name.lower() == "keep" else by_name(format_name).name
    sources = list(_sources(inputs, recursive))
    as_file = output is not None and output.suffix.lower() in SUFFIXES and not output.is_dir()
    if as_file and len(sources) > 1:
        raise UsageError(f"{output} is one file and there are {len(sources)} inputs; give a folder to -o")
    jobs = []
    for source, place, from_folder in sources:
        if output is not None and as_file:
            target, named = output, by_suffix(output).name
            if format_name not in ("keep", named):
                raise UsageError(f"{output} asks for {named} and --format for {format_name}")
        elif output is None and from_folder:
            raise UsageError(f"say with -o in which folder the pictures of {source.parent} are to be put")
        else:
            named, extension = _format_of(source, format_name)
            name = source.stem + (suffix if output is None else "") + extension
            target = source.with_name(name) if output is None else (output / place).with_name(name)
        jobs.append(Job(source, target, named))
    _refuse_clashes(jobs)
    return jobs


def check_targets(jobs: Iterable[Job], *, overwrite: bool) -> None:
    """See that every result can be written where it should, creating folders. Raises `UsageError`, `OutputError`."""
    folders = set()
    for job in jobs:
        if job.target.is_dir():
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


def _sources(inputs: Iterable[str], recursive: bool) -> Iterable[tuple[Path, Path, bool]]:
    """(file, its place below an output folder, whether a folder was named), each file once.

    A missing file is passed on: it fails by itself.
    """
    seen = set()
    for text in inputs:
        path = Path(text)
        names = [path]
        if not path.exists() and glob.has_magic(text):
            names = [Path(name) for name in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 (absolute patterns)
            names = [name for name in names if name.is_dir() or name.suffix.lower() in SUFFIXES]
            if not names:
                raise InputError(f"no picture matches {text}")
        for name in names:
            is_folder = name.is_dir()
            for file in _pictures(name, recursive) if is_folder else [name]:
                identity = file.resolve()
                if identity not in seen:
                    seen.add(identity)
                    yield file, file.relative_to(name) if is_folder else Path(file.name), is_folder


def _pictures(folder: Path, recursive: bool) -> list[Path]:
    files = folder.rglob("*") if recursive else folder.iterdir()
    found = sorted(
        file for file in files if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    )
    if not found:
        hint = "" if recursive else "; --recursive looks into its sub-folders too"
        raise InputError(f"no pictures in the folder {folder}{hint}")
    return found


def _format_of(source: Path, format_name: str) -> tuple[str, str]:
    """Format and suffix of a result that is to be named after its source."""
    if format_name == "keep":
        try:
            with source.open("rb") as stream:
                format_name = sniff(stream.read(64)) or ""
        except OSError:
            format_name = ""
        # Not readable: it will fail with a better message than we could give here.
        format_name = format_name or SUFFIXES.get(source.suffix.lower(), "PNG")
        # 256 colours cannot hold what a model adds; HEIC is read only.
        format_name = "PNG" if format_name in ("GIF", "HEIC") else format_name
    suffixes = FORMATS[format_name].suffixes
    return format_name, source.suffix if source.suffix.lower() in suffixes else suffixes[0]


def _refuse_clashes(jobs: list[Job]) -> None:
    sources = {_identity(job.source): job.source for job in jobs}
    targets: dict[object, Job] = {}
    for job in jobs:
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
