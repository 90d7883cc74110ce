"""Films read frame by frame, so that memory does not grow with their length. Needs PyAV (the extra `video`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.errors import InputError, missing_extra
from mezzotint.image.decode import MAX_PIXELS, check_pixels
from mezzotint.image.picture import Picture, upright

# FFmpeg's names of containers that hold their streams themselves: a playlist would make it open other files and addresses.
_CONTAINERS = "mov,mp4,matroska,webm,avi,asf,flv,ogg,mpeg,mpegts"
# ITU-T H.273's numbers of matrices that swscale knows, its own numbers, which are nearly the same, and RGB as it is.
_MATRICES = {0: 1, 1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
_UNKNOWN, _FULL, _NARROW = 2, 2, 1
_WITH_ALPHA = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya")
_REPAIR = "what can be saved is saved by `ffmpeg -i IN -crf 10 OUT.mkv`"
# A display matrix's signs of a, b, c, d (x' = ax + cy, y' = bx + dy) -> the EXIF orientation that says the same.
_TURNS: dict[tuple[int, ...], int] = {
    (1, 0, 0, 1): 1, (-1, 0, 0, 1): 2, (-1, 0, 0, -1): 3, (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5, (0, 1, -1, 0): 6, (0, -1, -1, 0): 7, (0, -1, 1, 0): 8,
}  # fmt: skip


@dataclass(frozen=True)
class Colour:
    """What the numbers of a film mean: H.273's primaries, transfer and matrix, and whether they fill their range."""

    primaries: int
    transfer: int
    matrix: int
    full: bool

    def reformat(self, frame: Any, pixel_format: str) -> Any:
        """A PyAV frame in another pixel format, from RGB to these colours or back."""
        from av.video.reformatter import Interpolation as Flags

        flags = Flags.BICUBIC | Flags.ACCURATE_RND | Flags.FULL_CHR_H_INT | Flags.BITEXACT
        matrix, span = _MATRICES[self.matrix], _FULL if self.full else _NARROW
        to_rgb = pixel_format.startswith("rgb")
        given = {"src_colorspace": matrix, "src_color_range": span} if to_rgb else {}
        wanted = {"dst_color_range": _FULL} if to_rgb else {"dst_colorspace": matrix, "dst_color_range": span}
        return frame.reformat(format=pixel_format, interpolation=int(flags), **given, **wanted)


@dataclass(frozen=True)
class Film:
    """A film, surveyed: every frame has been decoded once, so `frames` meets no damage."""

    path: Path
    width: int
    height: int
    times: tuple[int, ...]  # of every frame, in units of `time_base` seconds, increasing
    time_base: Fraction
    rate: Fraction  # frames a second, on average
    deep: bool  # more than 8 bits
    turn: int  # EXIF orientation of the frames in the file
    aspect: Fraction | None  # width to height of a pixel, once upright
    colour: Colour
    notes: tuple[str, ...]

    def frames(self, start: int = 0) -> Iterator[Picture]:
        """The frames from number `start` on, RGB, uint8 or (`deep`) uint16, turned upright, one at a time.

        Raises `InputError` if the file has been changed since.
        """
        pixel_format = "rgb48le" if self.deep else "rgb24"
        with opened(self.path) as container:
            for index, frame in enumerate(container.decode(video_of(container, self.path))):
                if index >= start:
                    pixels = self.colour.reformat(frame, pixel_format).to_ndarray()
                    yield Picture(upright(pixels, self.turn), lossless=False)


def read_film(path: Path, *, max_pixels: int = MAX_PIXELS, between: Any = lambda: None) -> Film:
    """Survey a film. `max_pixels` bounds each frame; `between` is called after every one, and what it raises ends this.

    Raises `InputError` (no film, damage in any frame, an end that is missing, frames of several sizes), `LimitError`, and
    `UsageError` without PyAV.
    """
    with opened(path) as container:
        video = video_of(container, path)
        context = video.codec_context
        check_pixels(str(path), context.width, context.height, max_pixels)
        step = max(1, round(1 / (_rate(video) * video.time_base)))
        times: list[int] = []
        first: Any = None
        begin, end, packets, interlaced, untimed = float("inf"), float("-inf"), 0, False, 0
        for packet in container.demux():
            if packet.pts is not None:
                begin = min(begin, packet.pts * packet.time_base)
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream.index != video.index:
                continue
            packets += packet.size > 0
            for frame in packet.decode():
                between()
                first = first or frame
                if (frame.width, frame.height) != (first.width, first.height):
                    raise InputError(f"{path}: its frames differ in size from number {len(times) + 1} on")
                if frame.is_corrupt:
                    raise InputError(f"{path}: frame {len(times) + 1} is damaged; {_REPAIR}")
                time = frame.pts if frame.pts is not None else times[-1] + step if times else 0
                if frame.pts is None or (times and time <= times[-1]):
                    untimed += 1
                    time = max(time, times[-1] + 1) if times else time
                times.append(time)
                interlaced |= frame.interlaced_frame
        if first is None:
            raise InputError(f"{path} holds no frame that can be decoded")
        missing = float((container.duration or 0) / 1_000_000 - (end - begin))
        # A tenth of a second may be missing because containers round, and say how long the longest stream is.
        if missing > max(1, 0.02 * float(end - begin)) or ("mp4" in container.format.name and packets < video.frames):
            raise InputError(
                f"{path} ends early, after {len(times)} frames: it was not copied or written whole; {_REPAIR}"
            )
        turn, aspect = _turn(first), video.sample_aspect_ratio or None
        if turn > 4 and aspect:
            aspect = 1 / aspect
        notes = {
            "interlaced: deinterlace it first, or its lines will show": interlaced,
            "its opacity is left out": first.format.name.startswith(_WITH_ALPHA),
            f"{untimed} frames had no time of their own, or not a later one: given one": untimed,
            "it holds several videos: the first is taken": sum(map(_is_film, container.streams.video)) > 1,
        }
        height, width = (first.height, first.width) if turn < 5 else (first.width, first.height)
        return Film(
            path, width, height, tuple(times), video.time_base, _rate(video), first.format.components[0].bits > 8,
            turn, aspect, _colour(context, first, path), tuple(note for note, holds in notes.items() if holds),
        )  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An open container; what FFmpeg says of the file is an `InputError` with its name."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise missing_extra("PyAV", "video") from error

    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path}", options=options) as container:
            yield container
    except (av.FFmpegError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path} as a film: {why}; if it plays, {_REPAIR}") from error


def video_of(container: Any, path: Path) -> Any:
    """The stream to enlarge, set up to tell damage instead of hiding it, decoded on several cores."""
    for stream in filter(_is_film, container.streams.video):
        if stream.codec_context is None:
            raise InputError(f"{path}: the installed PyAV cannot decode its video")
        stream.codec_context.options = {"err_detect": "explode"}
        stream.thread_type = "AUTO"
        return stream
    raise InputError(f"{path} holds no video")


def _is_film(stream: Any) -> bool:
    """Not the cover of an album."""
    from av.stream import Disposition

    return not stream.disposition & Disposition.attached_pic


def _rate(video: Any) -> Fraction:
    return video.average_rate or video.guessed_rate or Fraction(25)


def _turn(frame: Any) -> int:
    """The EXIF orientation of a frame."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    a, b, _, c, d = np.frombuffer(bytes(matrix)[:20], np.int32)
    return _TURNS.get(tuple(int(np.sign(part)) for part in (a, b, c, d)), 1)


def _colour(context: Any, frame: Any, path: Path) -> Colour:
    """What a film says of its colours; where it says nothing, what players take for granted by its size."""
    large = frame.width >= 1280 or frame.height > 576
    usual = 1 if large else 5 if frame.height == 576 else 6
    matrix = context.colorspace if context.colorspace != _UNKNOWN else usual
    if matrix not in _MATRICES:
        raise InputError(f"{path}: colours by matrix {matrix} of ITU-T H.273 are not read; convert it to BT.709 first")
    known = [value if value != _UNKNOWN else other for value, other in (
        (context.color_primaries, usual), (context.color_trc, 1 if large else 6),
    )]  # fmt: skip
    # RGB has no matrix, and is to get one.
    full = context.color_range == _FULL or frame.format.name.startswith("yuvj")
    return Colour(known[0], known[1], matrix or 1, full and matrix != 0)
