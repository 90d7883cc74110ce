"""Animations: frames -> a GIF, an animated WebP or an APNG that plays for ever, or an MP4."""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.errors import LimitError, OutputError, UsageError
from mezzotint.files import atomic_write
from mezzotint.image.encode import xmp_text
from mezzotint.image.formats import FORMATS, check_size
from mezzotint.image.metadata import Metadata
from mezzotint.image.picture import Picture, to_pillow
from mezzotint.image.video import encode_mp4, encoder

# A .png is a still picture to everyone, though it could hold frames.
ANIMATED = {".gif": "GIF", ".webp": "WebP", ".apng": "PNG", ".mp4": "MP4"}
# Browsers play frames that are shorter than this five times as slowly; half a minute is a slide show.
_SHORTEST, _LONGEST = 20, 30_000
# Of a film: H.264's levels end there, and what plays it.
_LARGEST_SIDE = 4096
# A palette for all frames is found from this many of them.
_MOST_FOR_PALETTE = 32


def check_animation(path: str | Path, duration: int) -> None:
    """Refuse, before any work, a suffix or a frame duration in ms that no animation has, or a film without PyAV.

    Raises `UsageError`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ANIMATED:
        raise UsageError(f"{path}: an animation is one of {', '.join(ANIMATED)}")
    if not _SHORTEST <= duration <= _LONGEST:
        raise UsageError(f"a frame lasts {_SHORTEST} to {_LONGEST} ms, not {duration}")
    if suffix == ".gif" and duration % 10:
        raise UsageError(f"a GIF counts hundredths of a second: give a duration in whole tens of ms, not {duration}")
    if suffix == ".mp4":
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
    """Write `frames`, N H W C uint8 (C of 1 or 3), each shown for `duration` ms, complete or not at all.

    WebP and APNG are lossless and carry `metadata`; a GIF carries `comment` in its place, is exact for grey and cut down
    to 256 colours, the same for all frames, for RGB. Frames that are alike are stored once, for the sum of their times. An
    MP4 (`video.encode_mp4`) carries `comment` too, is lossy, and needs PyAV.
    Raises `UsageError`, `LimitError` (sides), `OutputError`.
    """
    if frames.ndim != 4 or 0 in frames.shape or frames.dtype != np.uint8:
        raise UsageError(f"an animation is made of N H W C uint8 frames, not {frames.shape} {frames.dtype}")
    check_animation(path, duration)
    name = ANIMATED[Path(path).suffix.lower()]
    if name == "MP4":
        if max(frames.shape[1:3]) > _LARGEST_SIDE:
            raise LimitError(
                f"a film has sides of at most {_LARGEST_SIDE} pixels, not {frames.shape[2]}x{frames.shape[1]}"
            )
        film = encode_mp4(frames, duration, comment)
        with atomic_write(path, overwrite=overwrite) as stream:
            stream.write(film)
        return
    check_size(name, frames.shape[2], frames.shape[1])
    importlib.import_module(f"PIL.{FORMATS[name].plugin.partition('.')[0]}")
    images = [to_pillow(Picture(frame)) for frame in frames]
    options: dict[str, Any] = {}
    if name == "GIF":
        options["comment"] = comment.encode()
        if frames.shape[3] == 3:
            images = _with_one_palette(images)
    elif metadata is not None and metadata.xmp is not None:
        options |= {"xmp": metadata.xmp} if name == "WebP" else {"pnginfo": _png_note(metadata.xmp)}
    if name == "WebP":
        options |= {"lossless": True, "quality": 75, "method": 4}
    # Through memory: given a real file, Pillow takes a write cut short by a full disk for a success.
    whole = io.BytesIO()
    try:
        images[0].save(
            whole, format=name, save_all=True, append_images=images[1:], duration=duration, loop=0, **options
        )
    except (OSError, ValueError, TypeError, KeyError, SyntaxError, RuntimeError) as error:
        raise OutputError(f"cannot encode the animation as {name} ({error})") from error
    with atomic_write(path, overwrite=overwrite) as stream:
        stream.write(whole.getbuffer())


def _with_one_palette(images: list[Any]) -> list[Any]:
    """The images in 256 colours common to all: colours of each frame's own, or dithered ones, would flicker."""
    from PIL import Image

    chosen = images[:: -(-len(images) // _MOST_FOR_PALETTE)]
    width, height = images[0].size
    strip = Image.new("RGB", (width, height * len(chosen)))
    for index, image in enumerate(chosen):
        strip.paste(image, (0, index * height))
    palette = strip.quantize(256)
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]


def _png_note(xmp: bytes) -> Any:
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add(b"iTXt", xmp_text(xmp))
    return note
