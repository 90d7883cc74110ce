"""A comparison to look at: the low-resolution crop, bicubic, one or two models, and the original, side by side.

The pictures shown are those where the first model differs most from bicubic, each at the place where it does: what the
model changes is seen there, good or bad. They are not chosen by how well it did.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from mezzotint import runtimes
from mezzotint.errors import UsageError
from mezzotint.evaluation.super_resolution import super_resolve
from mezzotint.image.grid import contact_sheet
from mezzotint.image.resize import imresize
from mezzotint.metrics.fidelity import psnr_y

__all__ = ["Panel"]

_PICTURES = 4
_SIDE = 128
# Longer names would have every crop enlarged to make room for them.
_LONGEST = 20
_GAP, _PAPER = 4, 255


@dataclass(frozen=True)
class _Crop:
    """The place of a picture where model and bicubic differ most; `lr` is whole, for the second model to run on."""

    name: str
    place: tuple[slice, slice]
    lr: np.ndarray
    bicubic: np.ndarray
    sr: np.ndarray
    hr: np.ndarray


class Panel:
    """Collects crops during an evaluation: `evaluate(..., on_images=panel.add)`, then `panel.sheet()`.

    `name` is the model's caption and `scale` its scale; `against` a second model of the same scale, which runs on the
    pictures shown alone, and `against_name` its caption, by default the name on its card. At most `pictures` are shown.
    Raises `UsageError` for another scale.
    """

    def __init__(
        self,
        name: str,
        scale: int,
        against: runtimes.Model | None = None,
        against_name: str | None = None,
        pictures: int = _PICTURES,
    ) -> None:
        if against is not None and against.card.scale != scale:
            raise UsageError(f"{against.card.name} does not enlarge {scale} times, as {name} does: show them apart")
        self.name, self.scale, self.pictures = name, scale, pictures
        self.against, self.against_name = against, against_name
        self._crops: list[tuple[float, int, _Crop]] = []
        self._seen = 0

    def add(self, name: str, lr: np.ndarray, sr: np.ndarray, hr: np.ndarray) -> None:
        """Look at one picture's lr, sr and hr, H W C uint8, and keep its crop if it is among the most changed so far."""
        bicubic = _bicubic(lr, self.scale)
        difference = np.abs(sr.astype(np.int16) - bicubic).mean(2)
        place, change = _most_changed(difference, self.scale)
        parts = (np.ascontiguousarray(image[place]) for image in (bicubic, sr, hr))
        self._seen += 1
        # Of equal ones the first stay.
        heapq.heappush(self._crops, (change, -self._seen, _Crop(name, place, lr, *parts)))
        if len(self._crops) > self.pictures:
            heapq.heappop(self._crops)

    def sheet(self) -> np.ndarray:
        """One row per picture, the most changed first: H W C uint8. Captions hold PSNR-Y of the crop shown.

        Raises `UsageError` if no picture was added, and what the second model raises.
        """
        if not self._crops:
            raise UsageError("a panel needs at least one picture")
        tiles: list[np.ndarray] = []
        captions: list[str] = []
        for _, _, crop in sorted(self._crops, reverse=True):
            made = [("bicubic", crop.bicubic), (self.name, crop.sr)]
            if self.against is not None:
                made.append(
                    (self.against_name or self.against.card.name, super_resolve(self.against, crop.lr)[crop.place])
                )
            tiles += [_nearest(crop, self.scale), *(image for _, image in made), crop.hr]
            scored = [f"{_short(name)} {_decibels(psnr_y(image, crop.hr))}" for name, image in made]
            captions += [_short(PurePosixPath(crop.name).stem), *scored, "original"]
        shape = tuple(max(tile.shape[axis] for tile in tiles) for axis in range(3))
        return contact_sheet(
            np.stack([_on_paper(tile, shape) for tile in tiles]), len(tiles) // len(self._crops), _GAP, captions
        )


def _nearest(crop: _Crop, scale: int) -> np.ndarray:
    """The crop's low-resolution pixels as squares."""
    rows, columns = (slice(part.start // scale, part.stop // scale) for part in crop.place)
    return crop.lr[rows, columns].repeat(scale, 0).repeat(scale, 1)


def _bicubic(lr: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's bicubic as the model of that name gives it: rounded once, at the end."""
    return np.floor(imresize(lr.astype(np.float64), scale).clip(0, 255) + 0.5).astype(np.uint8)


def _most_changed(difference: np.ndarray, scale: int) -> tuple[tuple[slice, slice], float]:
    """The square of `difference`, H W, with the largest mean, on the grid of the low resolution; and that mean."""
    height, width = (min(side, _SIDE // scale * scale) for side in difference.shape)
    # Sums over rectangles from the corner: any rectangle's sum takes four of them.
    total = np.zeros((difference.shape[0] + 1, difference.shape[1] + 1))
    total[1:, 1:] = difference.cumsum(0).cumsum(1)
    bands = total[height:] - total[:-height]
    sums = (bands[:, width:] - bands[:, :-width])[::scale, ::scale]
    y, x = (int(index) * scale for index in np.unravel_index(sums.argmax(), sums.shape))
    return (slice(y, y + height), slice(x, x + width)), float(sums.max()) / (height * width)


def _on_paper(tile: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A tile with white around it to fill `shape`, H W C; grey is repeated for each channel."""
    paper = np.full(shape, _PAPER, np.uint8)
    top, left = ((wanted - side) // 2 for wanted, side in zip(shape[:2], tile.shape[:2], strict=True))
    paper[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return paper


def _decibels(psnr: float) -> str:
    return "exact" if math.isinf(psnr) else f"{psnr:.2f} dB"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"...{name[3 - _LONGEST :]}"
