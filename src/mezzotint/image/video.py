"""Films: frames -> an MP4 that every browser and player shows. Needs PyAV (the extra `video`), which brings FFmpeg."""

from __future__ import annotations

import io
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np

from mezzotint.errors import OutputError, UsageError, missing_extra

# In this order: H.264 twice, then MPEG-4 part 2, which every FFmpeg has and few browsers play.
_ENCODERS = ("libx264", "libopenh264", "mpeg4")
# x264's constant quality, 0 (lossless) to 51: at 16 a person sees no difference.
_QUALITY = "16"
# ITU-R BT.709 in H.264's numbers of primaries, transfer and matrix, and its narrow range, 16 to 235.
_BT709, _NARROW = 1, 1


def encoder() -> str:
    """The best encoder that the installed PyAV has. Raises `UsageError` without PyAV, or without any of them."""
    try:
        from av.codec import Codec
    except ModuleNotFoundError as error:
        raise missing_extra("PyAV", "video") from error

    for name in _ENCODERS:
        with suppress(ValueError):
            Codec(name, "w")
            return name
    raise UsageError(
        f"the installed PyAV can encode none of {', '.join(_ENCODERS)}; take one from PyPI, or write a .gif"
    )


def encode_mp4(frames: np.ndarray, duration: int, comment: str = "") -> bytes:
    """`frames`, N H W C uint8 (C of 1 or 3), each shown for `duration` ms, as an MP4 file with `comment` in it.

    H.264 in YCbCr 4:2:0 of BT.709, what players take a film for: brightness is kept nearly to the step, colour at half the
    resolution. An odd side gets one more row or column, a copy of the last. Equal frames give equal bytes with one PyAV.
    Raises `UsageError` as `encoder`, and `OutputError`.
    """
    name = encoder()
    import av

    padding = (0, frames.shape[1] % 2), (0, frames.shape[2] % 2)
    frames = np.pad(frames, ((0, 0), *padding, (0, 0)), mode="edge")
    frames = np.broadcast_to(frames, (*frames.shape[:3], 3))
    whole = io.BytesIO()
    try:
        with av.open(whole, "w", format="mp4") as container:
            container.metadata["comment"] = comment
            stream: Any = container.add_stream(name, rate=Fraction(1000, duration))
            stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
            stream.options = {"crf": _QUALITY} if name == "libx264" else {}
            context = stream.codec_context
            if name == "mpeg4":
                context.bit_rate = max(1_000_000, frames[0].size * 8)
            # What several threads write depends on how many there are.
            context.thread_count = 1
            context.color_primaries = context.color_trc = context.colorspace = _BT709
            context.color_range = _NARROW
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise OutputError(f"cannot encode the film as MP4 with {name} ({error})") from error
    return whole.getvalue()
