"""Contact sheets: many pictures of one size on one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mezzotint.errors import UsageError
from mezzotint.image.alpha import on_white

_PAPER = 255
_MARGIN = 2  # between a picture, its caption, and the neighbouring captions


def contact_sheet(
    images: np.ndarray, columns: int | None = None, gap: int = 2, captions: Sequence[str] | None = None
) -> np.ndarray:
    """Lay out `images`, N H W C uint8, row by row on white: H W C uint8, C of 1 or 3. Of 2 or 4 the last is opacity.

    `columns` defaults to a square sheet. `gap` pixels lie between the pictures and none around them, so one picture
    is its own sheet. `captions`, one for each picture, are set beneath them in Pillow's own font, which knows Latin
    letters; small pictures are then enlarged by the least whole factor that gives the captions room. Raises
    `UsageError`.
    """
    if images.ndim != 4 or 0 in images.shape or images.dtype != np.uint8:
        raise UsageError(f"a sheet is made of N H W C uint8 pictures, not {images.shape} {images.dtype}")
    if images.shape[3] in (2, 4):
        images = on_white(images[..., :-1], images[..., -1:])
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else min(columns, count)
    if columns < 1 or gap < 0:
        raise UsageError(f"a sheet needs at least 1 column and no negative gap, not {columns} and {gap}")
    texts = _texts(captions, count)
    if texts:
        factor = math.ceil((max(text.shape[1] for text in texts) + _MARGIN) / width)
        images = images.repeat(factor, axis=1).repeat(factor, axis=2)
        height, width = height * factor, width * factor
    below = max((text.shape[0] + _MARGIN for text in texts), default=0)
    rows = math.ceil(count / columns)
    shape = (rows * (height + below + gap) - gap, columns * (width + gap) - gap, channels)
    sheet = np.full(shape, _PAPER, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * (height + below + gap), index % columns * (width + gap)
        sheet[y : y + height, x : x + width] = image
        if texts:
            text = texts[index]
            left, top = x + (width - text.shape[1]) // 2, y + height + _MARGIN
            sheet[top : top + text.shape[0], left : left + text.shape[1]] = text[..., None]
    return sheet


def _texts(captions: Sequence[str] | None, count: int) -> list[np.ndarray]:
    """Each caption as a picture H W uint8, all of one height, black on white."""
    if captions is None:
        return []
    if len(captions) != count:
        raise UsageError(f"{len(captions)} captions do not fit {count} pictures")
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default()
    # One box for all, so that lines stand level whatever letters they have.
    _, top, _, bottom = (round(edge) for edge in font.getbbox("".join(captions) or " "))

    def draw(caption: str) -> np.ndarray:
        text = Image.new("L", (max(1, math.ceil(font.getlength(caption))), max(1, bottom - top)), _PAPER)
        ImageDraw.Draw(text).text((0, -top), caption, fill=0, font=font)
        return np.asarray(text)

    drawn = {caption: draw(caption) for caption in set(captions)}
    return [drawn[caption] for caption in captions]
