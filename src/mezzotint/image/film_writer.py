"""The frames of a film encoded, a part at a time; `image/film_join.py` makes one of the parts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from mezzotint.errors import LimitError, MezzotintError, OutputError
from mezzotint.image.encode import check_quality
from mezzotint.image.film import Colour, Film
from mezzotint.image.picture import Picture, to_eight_bits
from mezzotint.image.video import encoder

# FFmpeg's flag to leave out what is random or a date: equal films are equal bytes.
BITEXACT = 0x400
# Sides and area. H.264's highest level has 139,264 macroblocks; MPEG-4 part 2 has 13 bits for a side.
_LARGEST = {"libx264": (16_384, 139_264 * 256), "libopenh264": (4096, 4096 * 2304), "mpeg4": (8191, 8191**2)}
# What H.264's level 5.2, which devices decode, has.
_PLAYED = 4096 * 2304


@dataclass(frozen=True)
class Encoding:
    """How the frames of one film are encoded: equal frames give equal bytes with one PyAV.

    No B-frames: so frames are stored in the order of their times, and parts follow one another as they are.
    """

    codec: str
    crf: int  # x264's constant quality, 0 (lossless) to 51
    width: int
    height: int
    deep: bool
    time_base: Fraction
    rate: Fraction
    aspect: Fraction | None
    colour: Colour

    def add_to(self, container: Any) -> Any:
        """The stream of such frames in a new PyAV container."""
        stream = container.add_stream(self.codec, rate=self.rate.limit_denominator(65_535))
        stream.height, stream.width = self.height, self.width
        stream.pix_fmt = self._pixel_format
        stream.time_base = self.time_base
        context = stream.codec_context
        if self.codec == "libx264":
            # Looking further ahead costs memory: forty frames of 7680x4320 are 2 GB.
            stream.options = {"crf": str(self.crf), "bf": "0", "preset": "veryfast", "rc-lookahead": "8"}
        else:
            context.bit_rate = max(1_000_000, round(self.width * self.height * self.rate / 4))
        context.time_base, context.max_b_frames = self.time_base, 0
        # What several threads write depends on how many there are.
        context.thread_count = 1
        context.color_primaries, context.color_trc = self.colour.primaries, self.colour.transfer
        context.colorspace, context.color_range = self.colour.matrix, 2 if self.colour.full else 1
        if self.aspect:
            context.sample_aspect_ratio = self.aspect
        return stream

    def frame(self, picture: Picture, time: int) -> Any:
        """A picture as a PyAV frame; an odd side gets one more row or column, a copy of the last."""
        import av

        pixels = picture.pixels if self.deep or picture.pixels.dtype == np.uint8 else to_eight_bits(picture.pixels)
        padding = (0, self.height - picture.height), (0, self.width - picture.width), (0, 0)
        pixels = np.ascontiguousarray(np.pad(pixels, padding, mode="edge"))
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le" if self.deep else "rgb24")
        frame = self.colour.reformat(frame, self._pixel_format)
        frame.pts, frame.time_base = time, self.time_base
        return frame

    @property
    def _pixel_format(self) -> str:
        return "yuv420p10le" if self.deep else "yuv420p"


def encoding(film: Film, width: int, height: int, quality: int | None) -> tuple[Encoding, tuple[str, ...]]:
    """How an enlarged film of `width` x `height` is to be encoded, and notes. `quality` 1 to 100, by default 95.

    Raises `UsageError` without PyAV or an encoder, `LimitError` (sides).
    """
    check_quality(quality)
    codec = encoder()
    # 4:2:0 keeps the colour of every two by two pixels: no less than the original had, once it is twice as large.
    even = width + width % 2, height + height % 2
    side, area = _LARGEST[codec]
    if max(even) > side or math.prod(even) > area:
        raise LimitError(
            f"{film.path}: {codec} encodes at most {side:,} pixels a side and {area / 1e6:.0f} million in all, and the "
            f"result would be {even[0]:,} x {even[1]:,}; use a smaller scale"
        )
    crf = min(51, max(0, round(16 + (95 - (quality or 95)) * 0.4)))
    notes = (f"an odd side, {width}x{height}: one more row or column, a copy of the last",) * (even != (width, height))
    if math.prod(even) > _PLAYED:
        notes += (f"{even[0]}x{even[1]} is more than many devices play (4096x2304)",)
    if film.deep and codec != "libx264":
        notes += (f"{codec} encodes 8 bits: the film had more",)
    parts = (codec, crf, *even, film.deep and codec == "libx264", film.time_base, film.rate, film.aspect, film.colour)
    return Encoding(*parts), notes


def write_part(stream: BinaryIO, how: Encoding, frames: Iterable[tuple[Picture, int]]) -> None:
    """Encode frames with their times. Raises `OutputError`, and whatever `frames` raises."""
    import av

    with told(how), av.open(stream, "w", format="nut") as container:
        container.flags |= BITEXACT
        video = how.add_to(container)
        for picture, time in frames:
            container.mux(video.encode(how.frame(picture, time)))
        container.mux(video.encode())


@contextmanager
def told(how: Encoding) -> Iterator[None]:
    """Turn what FFmpeg refuses into an `OutputError`."""
    try:
        yield
    except MezzotintError:
        raise
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno == 28:  # a full disk is no fault of the encoder
            raise
        raise OutputError(f"cannot write the film with {how.codec} ({error})") from error
