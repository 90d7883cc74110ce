"""Parts of a film joined, with the sound of the original, into one file; nothing is encoded anew."""

from __future__ import annotations

import heapq
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from mezzotint.files import atomic_write
from mezzotint.image.film import Film, opened, video_of
from mezzotint.image.film_writer import BITEXACT, Encoding, told

_MUXERS = {"MP4": "mp4", "MOV": "mov", "MKV": "matroska"}


def join(
    parts: Sequence[Path],
    target: Path,
    film: Film,
    how: Encoding,
    format_name: str,
    comment: str | None,
    *,
    overwrite: bool,
    between: Callable[[], None] = lambda: None,
) -> tuple[str, ...]:
    """Write `target` from `parts` and from the original's sound, subtitles, chapters and metadata. Returns notes.

    What the container cannot hold is left out and noted. `comment` is added to the original's; None leaves out all
    metadata. Raises `OutputError`, `InputError`.
    """
    with (
        atomic_write(target, overwrite=overwrite) as stream,
        _begun(stream, film, how, format_name, comment) as (source, container, copied, notes),
    ):
        original = video_of(source, film.path).index
        others = [source.streams[index] for index in copied if index != original]
        sound = _copied(source, others, copied) if others else iter(())
        for _, _, packet in heapq.merge(_encoded(parts, copied[original]), sound, key=lambda item: item[:2]):
            between()
            container.mux_one(packet)
    return notes


def check_join(film: Film, how: Encoding, format_name: str) -> None:
    """See, before any work, that such a film can be begun. Raises as `join`."""
    with _begun(io.BytesIO(), film, how, format_name, ""):
        pass


@contextmanager
def _begun(
    stream: BinaryIO, film: Film, how: Encoding, format_name: str, comment: str | None
) -> Iterator[tuple[Any, Any, dict[int, Any], tuple[str, ...]]]:
    """The original, the new container with its header written, its streams by those of the original, and notes."""
    import av

    notes = []
    with opened(film.path) as source, told(how), av.open(stream, "w", format=_MUXERS[format_name]) as container:
        container.flags |= BITEXACT
        original = video_of(source, film.path)
        copied: dict[int, Any] = {original.index: how.add_to(container)}
        for other in source.streams:
            if other.index == original.index or other.type not in ("audio", "subtitle"):
                continue
            context = getattr(other, "codec_context", None)
            name = "unknown" if context is None else context.codec.canonical_name
            # PCM in MP4 needs to know where its loudspeakers stand, and few players take it.
            if name not in container.supported_codecs or (format_name == "MP4" and name.startswith("pcm_")):
                notes.append(f"{format_name} holds no {other.type} as {name}: left out; -o X.mkv keeps it")
                continue
            copied[other.index] = container.add_stream_from_template(other)
            copied[other.index].time_base = other.time_base
        if comment is not None:
            # Matroska's names are in capitals.
            before = [source.metadata[key] for key in source.metadata if key.lower() == "comment"]
            kept = {key: value for key, value in _described(source.metadata).items() if key.lower() != "comment"}
            container.metadata.update({**kept, "comment": "\n".join([*before, comment])})
            container.set_chapters(source.chapters())
            for index, new in copied.items():
                new.metadata.update(_described(source.streams[index].metadata))
        for index, new in copied.items():
            with suppress(AttributeError, TypeError):
                new.disposition = source.streams[index].disposition
        container.start_encoding()
        yield source, container, copied, tuple(notes)


def _encoded(parts: Iterable[Path], video: Any) -> Iterator[tuple[Fraction, int, Any]]:
    """(time in seconds, 0, packet) of every part; the muxer takes the times over into its own unit."""
    import av

    for part in parts:
        with av.open(f"file:{part}") as container:
            for packet in container.demux(video=0):
                if packet.size and packet.pts is not None:
                    when = packet.pts * packet.time_base
                    packet.stream = video
                    yield when, 0, packet


def _copied(source: Any, streams: list[Any], copied: dict[int, Any]) -> Iterator[tuple[Fraction, int, Any]]:
    """(time in seconds, 1, packet) of the streams that are kept; never going back, as a merge needs it."""
    latest = Fraction(-(2**63))
    for packet in source.demux(streams):
        if packet.size and packet.dts is not None:
            latest = max(latest, packet.dts * packet.time_base)
            packet.stream = copied[packet.stream.index]
            yield latest, 1, packet


def _described(metadata: dict[str, str]) -> dict[str, str]:
    """What a film or a stream says of itself, but not how long it is and what encoded it."""
    gone = (
        "duration",
        "bps",
        "number_of",
        "encoder",
        "rotate",
        "vendor_id",
        "_statistics",
        "major_brand",
        "minor_version",
        "compatible",
    )
    return {key: value for key, value in metadata.items() if not key.lower().startswith(gone)}
