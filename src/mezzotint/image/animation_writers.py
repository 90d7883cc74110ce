"""The containers of animations. GIF and APNG are put together here, because Pillow would hold all their frames at once.

After the GIF89a specification (CompuServe, 1990) and PNG, third edition (W3C, 2025): section 11.3.5 (acTL, fcTL, fdAT).
Frames are H W C uint8, all of one shape, durations in ms.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from mezzotint.image import png16
from mezzotint.image.encode import QUALITY, png_chunks
from mezzotint.image.formats import FORMATS

if TYPE_CHECKING:
    from mezzotint.image.metadata import Metadata

_CLEAR = 255  # the colour of a GIF's palette that is see-through, where there is one
_LONGEST_MS = 65_535


def write_gif(
    stream: BinaryIO,
    frames: Iterator[np.ndarray],
    durations: Sequence[int],
    plays: int,
    samples: Sequence[np.ndarray],
    comment: str,
) -> None:
    """A GIF in the 256 colours (255 and a clear one, where there is opacity) that suit `samples` best; not dithered."""
    from PIL import GifImagePlugin

    height, width, channels = samples[0].shape
    palette = _palette([sample[..., :3] for sample in samples], 255 if channels == 4 else 256)
    colours = bytes(palette.getpalette() or ()).ljust(768, b"\0")
    stream.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + colours)
    if plays != 1:
        # It counts repetitions, 0 for no end of them.
        stream.write(b"!\xff\x0bNETSCAPE2.0\3\1" + struct.pack("<H", min(max(0, plays - 1), 65_535)) + b"\0")
    if comment:
        text = comment.encode()
        parts = [text[start : start + 255] for start in range(0, len(text), 255)]
        stream.write(b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0")
    # Hundredths of a second; what is rounded off one frame is added to the next.
    ends = [round(end / 10) for end in accumulate(durations)]
    times = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    before: np.ndarray | None = None
    for frame, time in _merged(frames, times):
        indices = frame[..., 0]
        if channels > 1:
            indices = np.asarray(_still(frame[..., :3]).quantize(palette=palette, dither=Image.Dither.NONE))
        if channels == 4:
            # Opacity that comes and goes: whole frames, each cleared away before the next.
            indices = np.where(frame[..., 3] < 128, _CLEAR, indices).astype(np.uint8)
            box, options = (0, 0, height, width), {"disposal": 2, "transparency": _CLEAR}
        else:
            box, options = _changed(indices, before), {"disposal": 1}
        before = indices
        top, left, bottom, right = box
        part = Image.fromarray(np.ascontiguousarray(indices[top:bottom, left:right]))
        part.putpalette(colours)
        time = min(time, 65_535)
        stream.write(b"".join(GifImagePlugin.getdata(part, (left, top), duration=time * 10, **options)))
    stream.write(b";")


def write_apng(
    stream: BinaryIO, frames: Iterator[np.ndarray], durations: Sequence[int], plays: int, metadata: Metadata
) -> None:
    """An APNG, lossless; of each frame only what differs from the one before is stored."""
    importlib.import_module("PIL.PngImagePlugin")
    before, count, sequence, place = None, 0, 0, 0
    for frame, duration in _merged(frames, durations):
        if before is None:
            head = next(bytes(chunk) for kind, chunk in png16.chunks(_png(frame)) if kind == b"IHDR")
            stream.write(png16.SIGNATURE)
            png16.write_chunk(stream, b"IHDR", head)
            place = stream.tell()
            png16.write_chunk(stream, b"acTL", bytes(8))
            for kind, body in png_chunks(metadata):
                png16.write_chunk(stream, kind, body)
        top, left, bottom, right = _changed(frame, before)
        control = (sequence, right - left, bottom - top, left, top, min(duration, _LONGEST_MS), 1000, 0, 0)
        png16.write_chunk(stream, b"fcTL", struct.pack(">IIIIIHHBB", *control))
        sequence += 1
        for kind, view in png16.chunks(_png(np.ascontiguousarray(frame[top:bottom, left:right]))):
            if kind == b"IDAT" and before is None:
                png16.write_chunk(stream, kind, bytes(view))
            elif kind == b"IDAT":
                png16.write_chunk(stream, b"fdAT", struct.pack(">I", sequence) + bytes(view))
                sequence += 1
        before, count = frame, count + 1
    png16.write_chunk(stream, b"IEND", b"")
    stream.seek(place)
    png16.write_chunk(stream, b"acTL", struct.pack(">II", count, plays))


def write_by_pillow(
    stream: BinaryIO,
    name: str,
    frames: Iterator[np.ndarray],
    durations: Sequence[int],
    plays: int,
    metadata: Metadata,
    lossless: bool,
    quality: int | None,
) -> None:
    """An animated WebP or AVIF, whose encoders keep only what they have compressed."""
    importlib.import_module(f"PIL.{FORMATS[name].plugin.partition('.')[0]}")
    options = metadata.pillow_info()
    options.pop("dpi", None)
    if name == "WebP":
        options |= {"lossless": lossless, "method": 4, "loop": plays}
        options["quality"] = 75 if lossless else quality or QUALITY["WebP"]
    else:
        options |= {"quality": quality or QUALITY["AVIF"], "subsampling": "4:4:4"}
    whole = io.BytesIO()
    reel = _Reel(frames, len(durations))
    reel.save(whole, format=name, save_all=True, duration=list(durations), **options)
    data = whole.getbuffer()
    if name == "WebP" and reel.mode == "RGBA" and bytes(data[12:16]) == b"VP8X":
        # The encoder crops frames to what shows, and where that is all opaque it does not announce opacity (flag 16).
        data[20] |= 16
    stream.write(data)


class _Reel(Image.Image):
    """What Pillow's encoders take for an open animated file: it makes each frame when they come to it."""

    def __init__(self, frames: Iterator[np.ndarray], count: int) -> None:
        super().__init__()
        self._frames, self.n_frames, self.is_animated, self._place = frames, count, True, -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Forwards only; back to the start is where encoders want to be left, and nothing is read there."""
        if frame >= self.n_frames:
            raise EOFError
        while self._place < frame:
            image = _still(next(self._frames)).convert("RGBA" if self.mode == "RGBA" else None)
            # Grey frames go as RGB: AVIF's encoder would look at all frames to find that they are grey.
            image = image.convert("RGB") if image.mode == "L" else image
            self._mode, self._size, self.im = image.mode, image.size, image.im
            self._place += 1

    def tell(self) -> int:
        """The number of the frame that is there."""
        return self._place


def _still(frame: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(frame[..., 0] if frame.shape[2] == 1 else frame))


def _png(frame: np.ndarray) -> bytes:
    whole = io.BytesIO()
    _still(frame).save(whole, format="PNG")
    return whole.getvalue()


def _palette(samples: list[np.ndarray], count: int) -> Image.Image:
    """The colours themselves if they are few, all greys for grey, else `count` colours that stand for all."""
    strip = _still(np.concatenate(samples))
    found = strip.convert("RGB").getcolors(count)
    if strip.mode == "RGB" and found is None:
        return strip.quantize(count)
    colours = [np.full(3, level, np.uint8) for level in range(256)]
    if strip.mode == "RGB":
        colours = [np.array(colour, np.uint8) for _, colour in found or ()]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate(colours).tobytes())
    return palette


def _merged(frames: Iterator[np.ndarray], times: Sequence[int]) -> Iterator[tuple[np.ndarray, int]]:
    """Frames and times, those that are alike as one."""
    last, total = next(frames), times[0]
    for frame, time in zip(frames, times[1:], strict=True):
        if np.array_equal(frame, last):
            total += time
            continue
        yield last, total
        last, total = frame, time
    yield last, total


def _changed(now: np.ndarray, before: np.ndarray | None) -> tuple[int, int, int, int]:
    """The rectangle (top, left, bottom, right) outside of which nothing differs; at least one pixel."""
    if before is None:
        return 0, 0, now.shape[0], now.shape[1]
    different = now != before
    different = different.any(axis=2) if different.ndim == 3 else different
    rows, columns = np.flatnonzero(different.any(axis=1)), np.flatnonzero(different.any(axis=0))
    if not len(rows):
        return 0, 0, 1, 1
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
