"""Animations: frames -> a GIF, an animated WebP or AVIF, or an APNG, each written as it comes; or an MP4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mezzotint.errors import LimitError, UsageError
from mezzotint.files import atomic_write
from mezzotint.image import animation_writers
from mezzotint.image.encode import check_quality, refusals_told
from mezzotint.image.formats import check_size
from mezzotint.image.metadata import Metadata
from mezzotint.image.picture import Picture
from mezzotint.image.video import encode_mp4, encoder

# A .png is a still picture to everyone, though it could hold frames.
ANIMATED = {".gif": "GIF", ".webp": "WebP", ".apng": "PNG", ".avif": "AVIF", ".mp4": "MP4"}
# Of generated films: browsers play frames that are shorter than this five times as slowly; half a minute is a slide show.
_SHORTEST, _LONGEST = 20, 30_000
# Of a film: H.264's levels end there, and what plays it.
_LARGEST_SIDE = 4096
# A palette for all frames is found from this many of them.
MOST_FOR_PALETTE = 32


def write_frames(
    frames: Iterable[Picture],
    path: str | Path,
    durations: Sequence[int],
    *,
    format_name: str | None = None,
    plays: int = 0,
    transparent: bool = False,
    palette_of: Sequence[Picture] = (),
    metadata: Metadata | None = None,
    comment: str = "",
    lossless: bool = True,
    quality: int | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write frames of one size, `durations` in ms, as they come; the file is complete or not there. Returns notes.

    The format is that of the suffix unless named. A GIF has 256 colours, the same for all frames because others would
    flicker, found from the frames `palette_of`; its opacity is all or nothing; it carries `comment` in place of
    `metadata`. `transparent` says whether frames have alpha. Frames that are alike are stored once, for the sum of
    their times. Raises `UsageError`, `LimitError` (sides), `OutputError`, and whatever `frames` raises.
    """
    check_quality(quality)
    name = format_name or _format_of(path)
    if name == "MP4":
        raise UsageError(f"{path}: frames as they come go into a GIF, WebP, AVIF or APNG")
    iterator = iter(frames)
    first = next(iterator)
    check_size(name, first.width, first.height)

    def planes() -> Iterator[np.ndarray]:
        yield _planes(first, transparent)
        for frame in iterator:
            yield _planes(frame, transparent)

    metadata, notes = metadata or Metadata(), []
    with atomic_write(path, overwrite=overwrite) as stream, refusals_told(name):
        if name == "GIF":
            samples = [_planes(frame, transparent) for frame in palette_of or [first]]
            animation_writers.write_gif(stream, planes(), durations, plays, samples, comment)
            notes.append("GIF holds 256 colours: reduced to them; --format webp keeps all")
            if metadata.icc or metadata.exif:
                notes.append("GIF holds no EXIF and no colour profile: left out")
        elif name == "PNG":
            animation_writers.write_apng(stream, planes(), durations, plays, metadata)
        else:
            lossless = lossless and quality is None
            animation_writers.write_by_pillow(stream, name, planes(), durations, plays, metadata, lossless, quality)
    if name == "AVIF" and plays:
        notes.append(f"AVIF here plays for ever, not {plays} times")
    if name != "PNG" and metadata.needs_png:
        notes.append(f"its gamma or colour space, stated as in PNG, goes with no {name}: --format apng keeps it")
    return tuple(notes)


def check_animation(path: str | Path, duration: int) -> None:
    """Refuse, before any work, a suffix or a frame duration in ms that no generated film has, or a film without PyAV.

    Raises `UsageError`.
    """
    _format_of(path)
    if not _SHORTEST <= duration <= _LONGEST:
        raise UsageError(f"a frame lasts {_SHORTEST} to {_LONGEST} ms, not {duration}")
    if Path(path).suffix.lower() == ".gif" and duration % 10:
        raise UsageError(f"a GIF counts hundredths of a second: give a duration in whole tens of ms, not {duration}")
    if Path(path).suffix.lower() == ".mp4":
        encoder()


def write_animation(
    frames: np.ndarray,
    path: str | Path,
    duration: int,
    metadata: Metadata | None = None,
    comment: str = "",
    *,
    overwrite: bool = False,
) -> None:
    """Write `frames`, N H W C uint8 (C of 1 or 3), each shown for `duration` ms, for ever; see `write_frames`.

    An MP4 (`video.encode_mp4`) carries `comment`, is lossy, and needs PyAV.
    """
    if frames.ndim != 4 or 0 in frames.shape or frames.dtype != np.uint8:
        raise UsageError(f"an animation is made of N H W C uint8 frames, not {frames.shape} {frames.dtype}")
    check_animation(path, duration)
    if _format_of(path) == "MP4":
        if max(frames.shape[1:3]) > _LARGEST_SIDE:
            raise LimitError(
                f"a film has sides of at most {_LARGEST_SIDE} pixels, not {frames.shape[2]}x{frames.shape[1]}"
            )
        film = encode_mp4(frames, duration, comment)
        with atomic_write(path, overwrite=overwrite) as stream:
            stream.write(film)
        return
    pictures, times = [Picture(frame) for frame in frames], [duration] * len(frames)
    samples = pictures[:: -(-len(pictures) // MOST_FOR_PALETTE)]
    write_frames(pictures, path, times, palette_of=samples, metadata=metadata, comment=comment, overwrite=overwrite)


def _format_of(path: str | Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in ANIMATED:
        raise UsageError(f"{path}: an animation is one of {', '.join(ANIMATED)}")
    return ANIMATED[suffix]


def _planes(frame: Picture, transparent: bool) -> np.ndarray:
    """H W C uint8 with 1, 3 or 4 channels, the same number for all frames of an animation."""
    if not transparent:
        return frame.pixels
    colours = np.broadcast_to(frame.pixels, (*frame.pixels.shape[:2], 3))
    alpha = np.full(colours.shape[:2], 255, np.uint8) if frame.alpha is None else frame.alpha
    return np.concatenate([colours, alpha[..., None]], axis=2)
