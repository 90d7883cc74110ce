"""Mistakes in pairs, provoked one by one, and none found where there is none."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from mezzotint.data.images import ImageSet
from mezzotint.data.pair_checks import check_pairs
from mezzotint.errors import InputError
from mezzotint.image.resize import imresize

SCALE = 4


def picture(seed, height=260, width=284):
    """Coloured patches of several sizes, H W 3 uint8, like a photograph's 1/f."""
    random, total = np.random.default_rng(seed), np.zeros((height, width, 3))
    for cells, strength in ((3, 45), (8, 25), (24, 18), (80, 12)):
        grey, colour = random.normal(size=(cells, cells, 1)), random.normal(size=(cells, cells, 3))
        total += strength * imresize(grey + 0.7 * colour, size=(height, width))
    return (128 + total).clip(20, 235).astype(np.uint8)


PICTURES = [picture(seed) for seed in range(6)]


def rounded(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def notes(make, wrong=range(6), scale=SCALE):
    """What is found when the twins number `wrong` are made by make(lr, hr, number), the others MATLAB-exactly."""
    images, images.twins = (hr := ImageSet(1 << 30)), ImageSet(1 << 30)
    for number, whole in enumerate(PICTURES):
        whole = whole[: whole.shape[0] // scale * scale, : whole.shape[1] // scale * scale]
        lr = imresize(whole, 1 / scale)
        hr.append(whole, f"HR/{number}.png")
        images.twins.append(
            np.ascontiguousarray(make(lr, whole, number)) if number in wrong else lr, f"HR/{number}.png"
        )
    return check_pairs(images, scale)


def jpeg(lr, quality):
    stream = io.BytesIO()
    Image.fromarray(lr).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_sound_pairs_are_passed_without_a_word(scale):
    assert notes(lambda lr, hr, n: lr, scale=scale) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda lr, hr, n: np.asarray(Image.fromarray(hr).resize(lr.shape[1::-1], Image.Resampling.BOX)),
        lambda lr, hr, n: np.asarray(Image.fromarray(hr).resize(lr.shape[1::-1], Image.Resampling.LANCZOS)),
        lambda lr, hr, n: jpeg(lr, 30),
        lambda lr, hr, n: rounded(lr + np.random.default_rng(n).normal(0, 12, lr.shape)),
    ],
    ids=["area", "lanczos", "jpeg", "noise"],
)
def test_another_way_of_reducing_is_told_and_no_mistake(make):
    (note,) = notes(make)
    assert note.startswith("LR is not MATLAB's bicubic of HR (median PSNR ")


@pytest.mark.parametrize("shift", [(1, 0), (0, -2), (5, 3)])
def test_a_shift_by_whole_pixels_ends_it(shift):
    with pytest.raises(
        InputError, match=r"^6 of 6 pairs looked at, first HR/0\.png, are shifted by more than half"
    ) as told:
        notes(lambda lr, hr, n: np.roll(lr, shift, (0, 1)))
    down, low, right, left = re.search(
        r"lie (\S+) pixels too (\w+) and (\S+) too far (\w+)\)", str(told.value)
    ).groups()
    measured = float(down) * (1 if low == "low" else -1), float(right) * (1 if left == "right" else -1)
    assert measured == pytest.approx(shift, abs=0.11) and "reduce HR again" in str(told.value)


def test_shifts_of_less_than_a_pixel_are_measured():
    with pytest.raises(InputError, match=r"0\.7\d pixels too low"):
        notes(lambda lr, hr, n: imresize(np.roll(hr, 3, 0), 1 / SCALE))
    # Taking every fourth pixel shifts by 3/8 of a pixel: too little to end it.
    shifted, kernel = notes(lambda lr, hr, n: hr[::SCALE, ::SCALE])
    assert "6 of 6" in shifted and "will be shifted back" in shifted and "MATLAB" in kernel


@pytest.mark.parametrize("order", ["BGR", "GRB", "GBR"])
def test_swapped_colours_end_it_and_are_named(order):
    with pytest.raises(InputError, match=rf"another order \({order}\); save LR as red, green, blue"):
        notes(lambda lr, hr, n: lr[..., ["RGB".index(channel) for channel in order]])


def test_other_pictures_end_it():
    with pytest.raises(InputError, match=r"6 of 6 pairs .* show different pictures; match the names"):
        notes(lambda lr, hr, n: imresize(PICTURES[(n + 1) % 6], 1 / SCALE))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (
            lambda lr, hr, n: rounded(lr * (219.0 / 255) + 16),
            "another range of values (16 to 235 in LR, 0 to 255 in HR)",
        ),
        (
            lambda lr, hr, n: rounded((lr - 16.0) * 255 / 219),
            "another range of values (0 to 255 in LR, 16 to 235 in HR)",
        ),
        (lambda lr, hr, n: rounded(255 * (lr / 255) ** (1 / 2.2)), "another gamma (LR = HR ^ 0.4"),
        (lambda lr, hr, n: rounded(lr * 0.9), "another brightness (LR = 0.90 HR"),
        (lambda lr, hr, n: rounded(lr + 15.0), "another brightness (LR = 1.00 HR +15)"),
    ],
    ids=["limited range", "full range", "gamma", "darker", "brighter"],
)
def test_other_levels_are_told(make, what):
    found = notes(make)
    assert len(found) == 2 and found[0].startswith("6 of 6 pairs looked at, first HR/0.png, have " + what), found


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda lr, hr, n: np.roll(lr, 3, 1), "are shifted"),
        (lambda lr, hr, n: lr[..., ::-1], "another order"),
        (lambda lr, hr, n: imresize(PICTURES[0], 1 / SCALE), "show different pictures"),
    ],
)
def test_a_mistake_in_one_pair_is_told_by_its_name_and_ends_nothing(make, what):
    (note,) = notes(make, wrong=[3])
    assert "first HR/3.png" in note and note.startswith("1 of ") and what in note


def test_pictures_that_tell_nothing_are_no_mistake():
    flat = ImageSet(1 << 30)
    flat.twins = ImageSet(1 << 30)
    for level in (0, 128, 255):
        flat.append(np.full((80, 80, 3), level, np.uint8), f"{level}.png")
        flat.twins.append(np.full((20, 20, 3), level, np.uint8), f"{level}.png")
    assert check_pairs(flat, SCALE) == []
    grey = ImageSet(1 << 30)
    grey.append(PICTURES[0][..., :1].repeat(3, axis=2), "grey.png")
    grey.twins = ImageSet(1 << 30)
    grey.twins.append(imresize(grey[0], 1 / SCALE), "grey.png")
    assert check_pairs(grey, SCALE) == []
