"""Mistakes in pairs that people bring, found before training: a network learns a shift or swapped colours without complaint.

A spread sample of the pairs is compared with what MATLAB's bicubic makes of their high-resolution side. Means of 4 x 4
low-resolution pixels are compared wherever that is enough, so that another kernel, noise or compression is no mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from mezzotint.data.images import ImageSet, spread
from mezzotint.errors import InputError
from mezzotint.image.resize import imresize

# Nothing that a recipe could name.
__all__: list[str] = []

# So many pairs are looked at, of each the middle of so many low-resolution pixels: about a second in all.
_PAIRS, _SIDE = 24, 256
_BLOCK = 4
# In levels of 0 to 255. Flatter pictures tell nothing; greyer ones tell nothing about the order of colours.
_CONTRAST, _COLOUR = 4.0, 6.0
# Below this correlation two pictures do not show the same; blur and noise leave more than 0.9 of it.
_LIKENESS = 0.7
# Low-resolution pixels: what nearest-neighbour reduction by 2 shifts, and what no way of reducing does.
_SHIFT, _LARGE_SHIFT = 0.2, 0.5
# dB: more is MATLAB's bicubic, give or take how it was rounded.
_SAME_KERNEL = 50.0


@dataclass(frozen=True)
class _Look:
    """What one pair looks like. `like` and `shift` (down, right, in LR pixels) are None where the picture is too flat."""

    name: str
    psnr: float  # dB, of LR against MATLAB's bicubic
    like: bool | None = None
    shift: tuple[float, float] | None = None
    order: str | None = None  # of the channels in LR; None where the picture is too grey
    levels: str = ""  # how its brightness differs, if it does


def check_pairs(images: ImageSet, scale: int) -> list[str]:
    """One line for each thing that is odd about `images` and their `twins`, such as shifts; none if all is well.

    Raises `InputError` for what training must not begin with, where most pairs that can tell agree on it: pictures that do
    not belong together, colours in another order, a shift by more than half a low-resolution pixel.
    """
    assert images.twins is not None
    looks = [_look(images, index, scale) for index in spread(len(images), _PAIRS)]
    like = [look for look in looks if look.like]
    notes = [
        *_judge(
            "show different pictures", "match the names in HR and LR", looks,
            lambda look: None if look.like is None else not look.like,
        ),
        *_judge(
            "have their colours in another order", "save LR as red, green, blue",
            like, lambda look: None if look.order is None else look.order != "RGB",
            lambda look: look.order or "",
        ),
        *_judge(
            "are shifted by more than half a low-resolution pixel", "reduce HR again, centred", like,
            lambda look: _length(look) > _LARGE_SHIFT, _shift_in_words,
        ),
    ]  # fmt: skip
    slightly = [look for look in like if _SHIFT < _length(look) <= _LARGE_SHIFT]
    if 2 * len(slightly) > len(like):
        notes.append(f"{_some(slightly, like)} {_shift_in_words(slightly[0])}: results will be shifted back by as much")
    otherwise = [look for look in like if look.levels]
    if otherwise:
        notes.append(f"{_some(otherwise, like)} {otherwise[0].levels}: the network will learn to undo that too")
    psnr = float(np.median([look.psnr for look in looks]))
    if psnr < _SAME_KERNEL:
        notes.append(
            f"LR is not MATLAB's bicubic of HR (median PSNR {psnr:.1f} dB): the weights will be for pictures reduced like "
            "these, and their scores are not those of the papers"
        )
    return notes


def _judge(
    what: str, advice: str, looks: list[_Look],
    wrong: Callable[[_Look], bool | None], detail: Callable[[_Look], str] = lambda look: "",
) -> list[str]:  # fmt: skip
    """A line about the pairs that are `wrong`; an `InputError` if they are more than half of those that can tell."""
    told = [look for look in looks if wrong(look) is not None]
    found = [look for look in told if wrong(look)]
    if not found:
        return []
    example = detail(found[0])
    line = f"{_some(found, told)} {what}{f' ({example})' if example else ''}; {advice}"
    if 2 * len(found) > len(told):
        raise InputError(line)
    return [line]


def _some(found: list[_Look], looks: list[_Look]) -> str:
    return f"{len(found)} of {len(looks)} pairs looked at, first {found[0].name},"


def _length(look: _Look) -> float:
    return max(map(abs, look.shift)) if look.shift else 0.0


def _shift_in_words(look: _Look) -> str:
    down, right = look.shift or (0.0, 0.0)
    return f"lie {abs(down):.2f} pixels too {'low' if down > 0 else 'high'} and {abs(right):.2f} too far " + (
        "right" if right > 0 else "left"
    )


def _look(images: ImageSet, index: int, scale: int) -> _Look:
    """Compare the middle of one pair."""
    assert images.twins is not None
    lr, hr, name = images.twins[index], images[index], images.names[index]
    rows, columns = (min(side, _SIDE) for side in lr.shape[:2])
    y, x = (lr.shape[0] - rows) // 2, (lr.shape[1] - columns) // 2
    # One pixel more on each side would change the reduced borders by less than a level.
    ours = lr[y : y + rows, x : x + columns].astype(np.float64)
    large = hr[y * scale : (y + rows) * scale, x * scale : (x + columns) * scale]
    theirs = imresize(large, 1 / scale).astype(np.float64)
    margin = 2 if min(rows, columns) > 8 else 0
    inside = (slice(margin, rows - margin), slice(margin, columns - margin))
    psnr = float(10 * np.log10(255**2 / max(1e-5, float(np.square(ours - theirs)[inside].mean()))))
    # The mean of the channels is the same in whatever order they are.
    grey, reference = ours.mean(axis=2), theirs.mean(axis=2)
    if min(grey.std(), reference.std()) < _CONTRAST or min(rows, columns) < 4 * _BLOCK:
        return _Look(name, psnr)
    shift = _shift(grey, reference)
    likeness = max(
        _correlation(*_blocks(*_overlap(grey, reference, by))) for by in ((0, 0), (round(shift[0]), round(shift[1])))
    )
    if likeness < _LIKENESS:
        return _Look(name, psnr, like=False)
    a, b = _blocks(*_overlap(ours, theirs, (round(shift[0]), round(shift[1]))))
    return _Look(name, psnr, True, shift, _order(a, b), _levels(a, b))


def _shift(image: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """How far `image` lies below and to the right of `reference`, both H W, to a twentieth of a pixel.

    Phase correlation (Kuglin and Hines 1975), with the spectrum half whitened and its upper half left out, where noise and
    the kernel rule; around its peak on a finer grid by a matrix-product DFT (Guizar-Sicairos et al. 2008).
    """
    height, width = image.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    one, other = (np.fft.fft2((picture - picture.mean()) * window) for picture in (image, reference))
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    cross = np.where(np.hypot(fy, fx) < 0.25, one * other.conj(), 0)
    cross /= np.sqrt(np.abs(cross)) + 1e-9
    peak = np.unravel_index(np.argmax(np.fft.ifft2(cross).real), cross.shape)
    whole = [(int(at) + side // 2) % side - side // 2 for at, side in zip(peak, cross.shape, strict=True)]
    rows, columns = (np.linspace(at - 1, at + 1, 41) for at in whole)
    finer = (np.exp(2j * np.pi * rows[:, None] * fy.T) @ cross @ np.exp(2j * np.pi * fx[:, None] * columns)).real
    row, column = np.unravel_index(np.argmax(finer), finer.shape)
    return float(rows[row]), float(columns[column])


def _overlap(image: np.ndarray, reference: np.ndarray, shift: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The parts of both that show the same when `image` lies `shift` pixels below and to the right of `reference`."""
    for axis, by in enumerate(shift):
        side = image.shape[axis]
        image = np.take(image, range(max(0, by), side + min(0, by)), axis)
        reference = np.take(reference, range(max(0, -by), side + min(0, -by)), axis)
    return image, reference


def _blocks(*pictures: np.ndarray) -> list[np.ndarray]:
    """Means of blocks of 4 x 4 pixels."""
    means = []
    for picture in pictures:
        rows, columns = (max(1, side // _BLOCK) for side in picture.shape[:2])
        part = picture[: rows * _BLOCK, : columns * _BLOCK]
        means.append(part.reshape(rows, -1, columns, part.shape[1] // columns, *part.shape[2:]).mean(axis=(1, 3)))
    return means


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    deviation = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / deviation) if deviation > 0 else 0.0


def _order(lr: np.ndarray, reference: np.ndarray) -> str | None:
    """The order of the channels in `lr`, both H W C; None for pictures without much colour."""
    if lr.shape[2] != 3 or min(np.ptp(picture, axis=2).mean() for picture in (lr, reference)) < _COLOUR:
        return None
    errors = {order: np.square(lr - reference[..., order]).mean() for order in permutations(range(3))}
    best = min(errors, key=lambda order: errors[order])
    # Another order must explain the picture far better than the right one does.
    return "".join("RGB"[channel] for channel in best) if errors[best] < errors[0, 1, 2] / 4 else "RGB"


def _levels(lr: np.ndarray, reference: np.ndarray) -> str:
    """How the brightness of `lr` differs from that of `reference`, both H W C of 0 to 255; "" if it does not."""
    middle = (lr > _BLOCK) & (lr < 255 - _BLOCK) & (reference > _BLOCK) & (reference < 255 - _BLOCK)
    y, x = lr[middle], reference[middle]
    if len(y) < 16 or x.std() < _CONTRAST:
        return ""
    gain, offset = np.polyfit(x, y, 1)
    # log y = gamma log x, on a scale of 0 to 1, through white.
    log_y, log_x = np.log(y / 255), np.log(x / 255)
    gamma = float(log_x @ log_y / (log_x @ log_x))
    same, linear, power = (
        float(np.sqrt(np.square(y - guess).mean())) for guess in (x, gain * x + offset, 255 * (x / 255) ** gamma)
    )
    if same < 3 or min(linear, power) > same / 2:
        return ""
    if power < linear / 2:
        return f"have another gamma (LR = HR ^ {gamma:.2f})"
    for values, slope in (
        ("16 to 235 in LR, 0 to 255 in HR", 219 / 255),
        ("0 to 255 in LR, 16 to 235 in HR", 255 / 219),
    ):
        if abs(gain - slope) < 0.03 and abs(offset - (16 if slope < 1 else -16 * slope)) < 4:
            return f"have another range of values ({values})"
    return f"have another brightness (LR = {gain:.2f} HR {offset:+.0f})"
