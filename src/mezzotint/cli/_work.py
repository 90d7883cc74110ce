"""What `mezzotint upscale` does to one file: read it, enlarge what it holds, write the result."""

from __future__ import annotations

import io
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mezzotint import hardware
from mezzotint.cli._jobs import PIPE, Job, from_stdin, kept_format
from mezzotint.errors import InputError, LimitError, MezzotintError, OutputError, UsageError
from mezzotint.image.film import Film
from mezzotint.image.formats import check_size
from mezzotint.image.io import LARGEST_FILE, Picture, decode, encode, file_bytes, write

if TYPE_CHECKING:
    from mezzotint.image.frames import Animation
    from mezzotint.pipelines.upscale import Upscaler

    # Of an upscaler for one picture at a time, and the first of many: the one to use for several at a time.
    InStreams = Callable[[Upscaler, Picture], Upscaler]

# Formats that are written while their rows are computed.
_IN_ROWS = ("PNG", "TIFF")
_HOLD_FRAMES = ("GIF", "WebP", "AVIF")


class ModelFailed(Exception):
    """An error of the model, not of one picture: it ends the command."""


@dataclass(frozen=True)
class Work:
    """The settings of a command, and the three steps, each of which may run in a thread of its own.

    `loading` is the model, on its way; `stop` is asked between tiles and frames and may raise; `on_frame` hears how many of
    all frames of a film are done; `share` is among how many at a time the memory is shared out, of which `turns` lets as
    many into the network as it takes.
    """

    loading: Future[Any]
    scale: float
    tile: int | None
    memory: int | None
    first_frame: bool
    max_pixels: int
    quality: int | None
    overwrite: bool
    strip: bool
    stop: Callable[[], None]
    on_frame: Callable[[int, int], None]
    share: int = 1
    turns: AbstractContextManager[Any] = field(default_factory=nullcontext)

    def in_streams(self, choose: InStreams, picture: Picture, workers: int) -> Work | None:
        """The same for pictures like this one that are done side by side, `workers` being read or written; None if one
        after the other is best.
        """
        try:
            upscaler = choose(self._upscaler(), picture)
        except MezzotintError as error:
            raise ModelFailed(error) from error
        if upscaler.streams == 1:
            return None
        loaded: Future[Any] = Future()
        loaded.set_result(upscaler)
        turns = threading.Semaphore(upscaler.streams)
        return replace(self, loading=loaded, share=upscaler.streams + workers, turns=turns)

    def read(self, job: Job) -> Picture | Animation | Film:
        """Decode a file, and refuse what its result could not be. Raises `InputError`, `LimitError`, `UsageError`."""
        if job.is_film:
            return self._read_film(job)
        from mezzotint.image.frames import read_animation

        name = "standard input" if job.source == PIPE else str(job.source)
        data = _from_stdin() if job.source == PIPE else file_bytes(job.source)
        found = None if self.first_frame else read_animation(data, name, max_pixels=self.max_pixels)
        if found is not None:
            named = self._format(job, found)
            if named not in _HOLD_FRAMES and not (named == "PNG" and _is_apng(job, found)):
                raise InputError(
                    f"{name} holds {len(found.durations)} frames and {named} one: --format gif, webp, avif or apng "
                    "keeps them, --frames first takes the first"
                )
        source = found or decode(data, name, max_pixels=self.max_pixels, first_frame=self.first_frame)
        check_size(self._format(job, source), round(source.width * self.scale), round(source.height * self.scale))
        return source

    def enlarge(self, job: Job, source: Picture | Animation | Film) -> Picture:
        """The enlarged picture with its provenance; of what moves the first frame. Raises as `Upscaler.picture`."""
        upscaler = self._upscaler()
        picture = source if isinstance(source, Picture) else next(source.frames())
        in_rows = isinstance(source, Picture) and self._format(job, source) in _IN_ROWS
        memory = (self.memory or (hardware.memory() or (0, 0))[1]) // self.share
        result = upscaler.picture(
            picture, self.scale, tile=self.tile, memory=memory, in_rows=in_rows, between=self.stop
        )
        return (
            result.replace(metadata=result.metadata.stripped()) if self.strip else upscaler.stamped(result, self.scale)
        )

    def write(self, job: Job, source: Picture | Animation | Film, result: Picture) -> dict[str, Any]:
        """Write what there is, and say what there is to report. Raises `OutputError`."""
        upscaler = self._upscaler()
        runtime = type(getattr(upscaler.model, "model", upscaler.model)).__module__.rpartition(".")[2]
        facts: dict[str, Any] = {"runtime": runtime, "precision": upscaler.model.precision}
        if isinstance(source, Film):
            facts |= self._write_film(job, source, result, upscaler)
            return {"status": "ok", **facts, "warnings": [*result.notes, *facts["warnings"]]}
        named = self._format(job, source)
        if isinstance(source, Picture):
            notes = self._write_picture(job, named, result)
        else:
            notes = (*source.notes, *self._write_frames(job, named, source, result, upscaler))
            facts["frames"] = len(source.durations)
        size = {"width": result.width, "height": result.height}
        return {"status": "ok", **facts, **size, "warnings": [*result.notes, *notes]}

    def enlarge_and_write(self, job: Job, source: Picture) -> dict[str, Any]:
        """Both, one after the other. Raises as they do."""
        with self.turns:
            self.stop()
            result = self.enlarge(job, source)
        self.stop()
        return self.write(job, source, result)

    def _read_film(self, job: Job) -> Film:
        from mezzotint.image.film import read_film
        from mezzotint.image.film_writer import encoding

        if self.first_frame:
            raise UsageError(f"{job.source} is a film: --frames first is for pictures")
        film = read_film(job.source, max_pixels=self.max_pixels, between=self.stop)
        encoding(film, round(film.width * self.scale), round(film.height * self.scale), self.quality)
        return film

    def _write_film(self, job: Job, film: Film, first: Picture, upscaler: Upscaler) -> dict[str, Any]:
        from mezzotint.pipelines.film import enlarge_film

        return enlarge_film(
            upscaler,
            film,
            first,
            job.target,
            job.format,
            self.scale,
            tile=self.tile,
            memory=self.memory,
            quality=self.quality,
            overwrite=self.overwrite,
            strip=self.strip,
            between=self.stop,
            on_frame=self.on_frame,
        )

    def _upscaler(self) -> Upscaler:
        try:
            upscaler: Upscaler = self.loading.result()
            return upscaler
        except MezzotintError as error:
            raise ModelFailed(error) from error

    def _format(self, job: Job, source: Picture | Animation) -> str:
        return job.format or kept_format(source.format, animated=not isinstance(source, Picture))

    def _write_picture(self, job: Job, named: str, result: Picture) -> tuple[str, ...]:
        if job.target != PIPE:
            return write(result, job.target, named, quality=self.quality, overwrite=self.overwrite)
        whole = io.BytesIO()
        notes = encode(result, whole, named, self.quality)
        _to_stdout(whole.getvalue())
        return notes

    def _write_frames(
        self, job: Job, named: str, source: Animation, first: Picture, upscaler: Upscaler
    ) -> tuple[str, ...]:
        from mezzotint.image.animation import write_frames
        from mezzotint.pipelines.animation import Enlarged

        frames = Enlarged(upscaler, source, first, self.scale, self.tile, self.stop)
        comment = (
            "" if self.strip else "\n".join(f"{key}: {value}" for key, value in upscaler.facts(self.scale).items())
        )
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "stdout" if job.target == PIPE else job.target
            notes = write_frames(
                frames,
                target,
                source.durations,
                format_name=named,
                plays=source.plays,
                transparent=source.transparent,
                palette_of=frames.some() if named == "GIF" else (),
                metadata=first.metadata,
                comment=comment,
                lossless=source.lossless,
                quality=self.quality,
                overwrite=self.overwrite,
            )
            if job.target == PIPE:
                _to_stdout(target.read_bytes())
        return notes


def _is_apng(job: Job, source: Animation) -> bool:
    """A .png that was asked for is a still picture, unless what came in was one that moves."""
    return source.format == "PNG" or job.target.suffix.lower() == ".apng"


def _from_stdin() -> bytes:
    data = from_stdin(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise LimitError(f"standard input is larger than {LARGEST_FILE >> 30} GiB")
    return data


def _to_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror or error}") from error
