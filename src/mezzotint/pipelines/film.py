"""Films through a super-resolution model, in parts that outlive an interruption."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mezzotint.files import atomic_write, make_folder, remove_leftovers, write_bytes
from mezzotint.image.film import Film
from mezzotint.image.film_join import check_join, join
from mezzotint.image.film_writer import Encoding, encoding, write_part
from mezzotint.image.picture import Picture
from mezzotint.pipelines.upscale import Upscaler

# Frames of a part: what is lost by an interruption at most, and how far a player may have to go back for a whole frame.
PART = 64

Item = TypeVar("Item")


def enlarge_film(
    upscaler: Upscaler,
    film: Film,
    first: Picture,
    target: Path,
    format_name: str,
    scale: float,
    *,
    tile: int | None = None,
    memory: int | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    strip: bool = False,
    between: Callable[[], None] = lambda: None,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write `film` enlarged to `target`; `first` is its first frame, enlarged. Returns width, height, frames and warnings.

    Parts of `PART` frames lie in a hidden folder beside `target` until all are done. A later call with the same film,
    model and settings keeps those that it finds there; the bytes are those of a call that was not interrupted. `between` is
    called before every frame; what it raises ends the work. `on_frame` hears how many of all frames are done.
    Raises as `Upscaler.picture`, `film_writer.encoding` and `film_join.join`.
    """
    how, notes = encoding(film, first.width, first.height, quality)
    check_join(film, how, format_name)
    work = target.with_name(f".{target.name[:100]}.parts")
    parts = [work / f"{index:06}.nut" for index in range(-(-len(film.times) // PART))]
    settings = _settings(upscaler, film, scale, how)
    kept, exact_from = _kept(work, settings, parts)
    if exact_from is not None and kept >= exact_from:
        upscaler.use_exact()
    began = precision = upscaler.model.precision
    pictures = ahead(_enlarged(upscaler, film, kept * PART, None if kept else first, scale, tile, memory, between))

    def frames(start: int) -> Iterator[tuple[Picture, int]]:
        """The frames of a part with their times."""
        nonlocal precision
        for number, (picture, after) in enumerate(islice(pictures, PART), start):
            precision = after
            yield picture, film.times[number]
            on_frame(number + 1, len(film.times))

    with closing(pictures):
        for index in range(kept, len(parts)):
            with atomic_write(parts[index]) as stream:
                write_part(stream, how, frames(index * PART))
                if precision != began:
                    # The next part begins as this one has ended, after an interruption too.
                    _save(work, settings, index + 1)
                    began = precision
    facts = "\n".join(f"{key}: {value}" for key, value in upscaler.facts(scale).items())
    notes += join(parts, target, film, how, format_name, None if strip else facts, overwrite=overwrite, between=between)
    shutil.rmtree(work, ignore_errors=True)
    return {"width": how.width, "height": how.height, "frames": len(film.times), "warnings": [*film.notes, *notes]}


def ahead(items: Iterable[Item], most: int = 2) -> Generator[Item, None, None]:
    """The same items in order, up to `most` of them computed in a thread before they are asked for."""
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1)
    try:
        waiting = deque(pool.submit(next, iterator, end) for _ in range(most))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if hasattr(iterator, "close"):
            iterator.close()


def _enlarged(
    upscaler: Upscaler,
    film: Film,
    start: int,
    first: Picture | None,
    scale: float,
    tile: int | None,
    memory: int | None,
    between: Callable[[], None],
) -> Iterator[tuple[Picture, str]]:
    """Frames from `start` on, enlarged, and the model's precision after each; equal ones in a row are done once.

    `first` is the result for the first of them, if it is there already.
    """
    before, result = None, first
    with closing(ahead(film.frames(start))) as frames:
        for frame in frames:
            between()
            same = before is not None and np.array_equal(frame.pixels, before)
            if result is None or not (same or (before is None and first is not None)):
                result = upscaler.picture(frame, scale, tile=tile, memory=memory)
            before = frame.pixels
            yield result, upscaler.model.precision


def _settings(upscaler: Upscaler, film: Film, scale: float, how: Encoding) -> dict[str, Any]:
    """All that the bytes of a part depend on."""
    status = film.path.stat()
    source = {"path": str(film.path.resolve()), "bytes": status.st_size, "modified": status.st_mtime_ns}
    facts = {**upscaler.facts(scale), "runtime": type(upscaler.model).__module__, "PyAV": version("av")}
    # As it will be read back.
    settings: dict[str, Any] = json.loads(
        json.dumps({"source": source, "facts": facts, "encoding": asdict(how), "frames": PART}, default=str)
    )
    return settings


def _kept(work: Path, settings: dict[str, Any], parts: list[Path]) -> tuple[int, int | None]:
    """How many parts of the same work are there, and from which on float32 is to be used.

    The folder is made, and emptied of what belongs to other work.
    """
    make_folder(work)
    state = None
    with suppress(OSError, ValueError):
        state = json.loads((work / "work.json").read_bytes())
    if not isinstance(state, dict) or state.get("settings") != settings:
        for file in work.iterdir():
            with suppress(OSError):
                file.unlink()
        _save(work, settings, None)
        return 0, None
    remove_leftovers(work, {part.name for part in parts})
    missing = (index for index, part in enumerate(parts) if not part.is_file())
    return next(missing, len(parts)), state.get("exact_from")


def _save(work: Path, settings: dict[str, Any], exact_from: int | None) -> None:
    body = json.dumps({"settings": settings, "exact_from": exact_from}, indent=1)
    write_bytes(work / "work.json", body.encode() + b"\n")
