"""16-bit TIFF read, grey and colour, with or without opacity: Pillow would silently reduce colour to 8 bits.

After TIFF revision 6.0 (Adobe, 1992): sections 2 (directories), 7 (strips), 14 (differencing), 15 (tiles), 18
(ExtraSamples). The file is given another directory that calls the same samples a grey picture as many times as wide; so
every compression that Pillow and libtiff undo is read, and all levels are kept. Damage raises `ValueError`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mezzotint.image.metadata import Metadata
from mezzotint.image.tiff_directory import Directory, first, with_directory

if TYPE_CHECKING:
    from PIL import TiffImagePlugin

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _ORIENTATION = 256, 257, 258, 259, 262, 273, 274
_SAMPLES, _LENGTHS, _PLANES, _PREDICTOR, _EXTRA, _FORMAT = 277, 279, 284, 317, 338, 339
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS = 322, 323, 324, 325
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_MOST_PAGES = 1_000


@dataclass(frozen=True)
class Layout:
    """How a 16-bit file keeps its samples."""

    width: int
    height: int
    samples: int
    colours: int
    orientation: int
    pages: int
    directory: Directory


def layout(data: bytes) -> Layout | None:
    """What the first picture of a TIFF file is, if it is grey or RGB of 16-bit integers; None if it is anything else."""
    directory = first(data)
    bits, formats = (directory.numbers(data, tag) or [default] for tag, default in ((_BITS, 1), (_FORMAT, 1)))
    samples = directory.number(data, _SAMPLES, 1)
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(directory.number(data, _PHOTOMETRIC, -1), 0)
    if set(bits) != {16} or set(formats) != {1} or not 1 <= colours <= samples <= 8:
        return None
    pages, last, seen = 1, directory, {0}
    while last.following not in seen and pages < _MOST_PAGES:
        seen.add(last.following)
        pages, last = pages + 1, last.after(data)
    turn, width, height = (directory.number(data, tag, 0) for tag in (_ORIENTATION, _WIDTH, _HEIGHT))
    return Layout(width, height, samples, colours, turn if 1 <= turn <= 8 else 1, pages, directory)


def read(data: bytes, head: Layout) -> tuple[np.ndarray, np.ndarray | None, Metadata]:
    """Pixels H W C and alpha H W (or None), uint16, not yet turned upright, and the metadata. Raises `ValueError`."""
    _check_ends(data, head)
    apart = head.directory.number(data, _PLANES, 1) == 2
    count = head.samples
    if apart:
        images = [_as_grey(data, head, 1, plane) for plane in range(count)]
        planes = np.stack([_samples(image, data, head, 1) for image in images], axis=2)
    else:
        images = [_as_grey(data, head, count, None)]
        planes = _samples(images[0], data, head, count).reshape(head.height, head.width, count)
    pixels = planes[..., : head.colours]
    if head.directory.number(data, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO:
        pixels = 65_535 - pixels
    alpha = None
    extra = head.directory.number(data, _EXTRA, 2)
    if count > head.colours and extra != 0:
        alpha = np.ascontiguousarray(planes[..., head.colours])
        if extra == 1:
            pixels = _unmultiplied(pixels, alpha)
    return np.ascontiguousarray(pixels), alpha, Metadata.of_pillow(images[0])


def _check_ends(data: bytes, head: Layout) -> None:
    """What a truncated file lacks must not be read out of what we append to it."""
    places, lengths = (
        head.directory.numbers(data, strips) or head.directory.numbers(data, tiles)
        for strips, tiles in ((_OFFSETS, _TILE_OFFSETS), (_LENGTHS, _TILE_LENGTHS))
    )
    plain = head.directory.number(data, _COMPRESSION, 1) == 1
    if (
        len(places) != len(lengths)
        or any(place + length > len(data) for place, length in zip(places, lengths, strict=True))
        or (plain and sum(lengths) < head.width * head.height * head.samples * 2)
    ):
        raise ValueError("its pixels are truncated")


def _as_grey(data: bytes, head: Layout, samples: int, plane: int | None) -> TiffImagePlugin.TiffImageFile:
    """Pillow's image of the same samples as grey: `samples` side by side, or one `plane` alone."""
    from PIL import TiffImagePlugin

    changed = {_BITS: [16], _PHOTOMETRIC: [_BLACK_IS_ZERO], _SAMPLES: [1], _PLANES: [1], _PREDICTOR: [1]}
    changed[_WIDTH] = [head.width * samples]
    if sides := head.directory.numbers(data, _TILE_WIDTH):
        changed[_TILE_WIDTH] = [side * samples for side in sides]
    if plane is not None:
        for tag in (_OFFSETS, _LENGTHS, _TILE_OFFSETS, _TILE_LENGTHS):
            if listed := head.directory.numbers(data, tag):
                share = len(listed) // head.samples
                changed[tag] = listed[plane * share : (plane + 1) * share]
    whole = with_directory(data, head.directory, changed, (_EXTRA, _FORMAT, _ORIENTATION))
    return TiffImagePlugin.TiffImageFile(io.BytesIO(whole))


def _samples(image: Any, data: bytes, head: Layout, samples: int) -> np.ndarray:
    """Rows of uint16, H x W * samples, differences summed up again where the file holds differences."""
    found = np.asarray(image)
    if found.dtype.kind != "u" or found.dtype.itemsize != 2:
        raise ValueError("its samples are not 16-bit integers")
    found = found.astype(np.uint16)
    predictor = head.directory.number(data, _PREDICTOR, 1)
    if predictor == 1:
        return found
    if predictor != 2:
        raise ValueError(f"its predictor {predictor} is for other than whole numbers")
    # Each row of a strip or tile starts anew.
    side = head.directory.number(data, _TILE_WIDTH, head.width) * samples
    for start in range(0, found.shape[1], side):
        part = found[:, start : start + side]
        part[:] = part.reshape(len(part), -1, samples).cumsum(axis=1, dtype=np.uint16).reshape(part.shape)
    return found


def _unmultiplied(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by opacity, divided by it; under full transparency they stay as they are."""
    opacity = np.maximum(alpha, 1)[..., None].astype(np.uint64)
    divided = (pixels.astype(np.uint64) * 65_535 + opacity // 2) // opacity
    return np.where(alpha[..., None] > 0, np.minimum(divided, 65_535), pixels).astype(np.uint16)
