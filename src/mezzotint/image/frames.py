"""Animated GIF, PNG, WebP and AVIF read frame by frame, so that memory does not grow with their length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mezzotint.errors import InputError
from mezzotint.image import png16
from mezzotint.image.decode import (
    MAX_PIXELS,
    avif_colour,
    check_pixels,
    is_lossless,
    only_our_errors,
    open_image,
)
from mezzotint.image.formats import sniff
from mezzotint.image.metadata import Metadata, of_png, without_prefix
from mezzotint.image.picture import Picture, from_pillow, upright


@dataclass(frozen=True)
class Animation:
    """An animated file, surveyed: every frame has been decoded once, so `frames` meets no damage."""

    data: bytes
    format: str
    width: int
    height: int
    durations: tuple[int, ...]  # ms, one a frame
    plays: int  # how often it is to be shown; 0: for ever
    transparent: bool  # whether any pixel of any frame is not opaque
    lossless: bool
    turn: int  # EXIF orientation of the frames in the file
    metadata: Metadata  # of the whole
    notes: tuple[str, ...]

    def frames(self) -> Iterator[Picture]:
        """The frames, RGB of 8 bits, composited and turned upright, one at a time; with opacity if any has it."""
        for pixels, alpha, _ in _frames(open_image(self.data, self.format), self.turn):
            if self.transparent and alpha is None:
                alpha = np.full(pixels.shape[:2], 255, np.uint8)
            yield Picture(pixels, alpha if self.transparent else None, self.format, self.lossless, self.metadata)


def moves(data: bytes) -> bool:
    """Whether the file holds more than one frame, by its headers alone; False for what cannot be told."""
    found = sniff(data[:64])
    if found == "PNG":
        return b"acTL" in data[: max(0, data.find(b"IDAT"))]
    if found == "WebP":
        return data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & 2)
    if found == "AVIF":
        return b"avis" in data[8:64]
    if found != "GIF":
        return False
    try:
        return bool(open_image(data, "GIF").is_animated)
    except Exception:
        return False


def read_animation(data: bytes, name: str = "animation", *, max_pixels: int = MAX_PIXELS) -> Animation | None:
    """Survey an animated file; None if it shows one frame. `max_pixels` bounds each frame, before it is decoded.

    `name` stands in the messages. Raises `InputError` for damage in any frame, `LimitError`.
    """
    found = sniff(data[:64])
    if found is None or not moves(data):
        return None
    with only_our_errors(name, found):
        image = open_image(data, found)
        check_pixels(name, image.width, image.height, max_pixels)
        metadata = _metadata(data, found, image)
        turn, plays = metadata.orientation, _plays(found, image.info.get("loop"))
        durations, transparent, height, width = [], False, 0, 0
        for pixels, alpha, duration in _frames(image, turn, name, max_pixels):
            transparent |= alpha is not None and bool((alpha < 255).any())
            durations.append(duration)
            height, width = pixels.shape[:2]
        if len(durations) < 2:
            return None
        lossless = is_lossless(data, found, image)
        notes: tuple[str, ...] = ()
        if found == "PNG" and png16.header(data).depth == 16:
            notes = ("an animation of 16 bits: read with 8 bits a channel",)
        if found == "GIF" and not data.rstrip(b"\0\r\n").endswith(b";"):
            notes = (f"its end is missing: {len(durations)} frames were found",)
        return Animation(
            data, found, width, height, tuple(durations), plays, transparent, lossless, turn, metadata.upright(), notes
        )


def _frames(
    image: Any, turn: int, name: str = "", max_pixels: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray | None, int]]:
    """Pixels H W 3, alpha H W or None, and duration in ms of every frame."""
    width, height = image.size
    # An APNG's first image may be one for programs that know no animations.
    for index in range(int(bool(image.info.get("default_image"))), getattr(image, "n_frames", 1)):
        image.seek(index)
        if max_pixels is not None:
            # A GIF's later frames may claim more than its first.
            check_pixels(name, image.width, image.height, max_pixels)
        image.load()
        # The turn is made below, for all frames alike.
        image.info.pop("exif", None)
        picture = from_pillow(image)
        if picture.height < height or picture.width < width:
            raise InputError("its frames differ in size")
        # Some frames may be grey and others not.
        pixels = np.broadcast_to(picture.pixels[:height, :width], (height, width, 3))
        alpha = None if picture.alpha is None else upright(picture.alpha[:height, :width], turn)
        yield upright(pixels, turn), alpha, max(0, round(image.info.get("duration") or 0))


def _metadata(data: bytes, found: str, image: Any) -> Metadata:
    metadata = Metadata.of_pillow(image)
    if found == "PNG":
        chunks = list(png16.chunks(data))
        exif = metadata.exif or next((without_prefix(bytes(body)) for kind, body in chunks if kind == b"eXIf"), None)
        metadata = metadata.replace(exif=exif, **of_png(chunks))
    elif found == "AVIF" and not metadata.icc:
        metadata = metadata.replace(png_colour=avif_colour(data))
    return metadata


def _plays(found: str, loop: int | None) -> int:
    """How often to show it, 0 for ever: GIF counts repetitions, and without a count there are none."""
    if found == "GIF":
        return 1 if loop is None else loop and loop + 1
    return loop or 0
