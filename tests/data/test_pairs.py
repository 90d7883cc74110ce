"""Pairs that people bring for training: found, decoded, cropped and cut so that both sides stay together."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint.data.batches import PatchPairs
from mezzotint.data.pairs import bring_pairs, load_pairs
from mezzotint.errors import InputError, UsageError
from mezzotint.image.resize import imresize
from mezzotint.recipes import model
from mezzotint.training import feed

TINY = ["phases=[]", "data.patch=6", "data.batch=4", "generator.channels=4", "generator.num_blocks=1"]


def picture(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def pairs(folder, count=3, scale=4, size=(50, 67)):
    """Pairs whose low-resolution side is the green of the upper left pixel of each block: it tells where it comes from."""
    for number in range(count):
        hr = picture(number, *size, 3)
        save(folder / "HR" / f"{number}.png", hr)
        lr = hr[: size[0] // scale * scale : scale, : size[1] // scale * scale : scale, 1:2].repeat(3, axis=2)
        save(folder / "LR" / f"{number}x{scale}.png", lr)
    return folder


def test_both_sides_are_loaded_and_cropped_to_the_scale(tmp_path):
    folder = pairs(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, file.relative_to(folder))
    for path in (folder, tmp_path / "set.zip"):
        assert bring_pairs([path])
        images = load_pairs([path], 4)
        assert images.names == images.twins.names == ["HR/0.png", "HR/1.png", "HR/2.png"]
        assert images.shapes == [(48, 64, 3)] * 3 and images.twins.shapes == [(12, 16, 3)] * 3
        for hr, lr in zip((images[n] for n in range(3)), (images.twins[n] for n in range(3)), strict=True):
            assert np.array_equal(hr[::4, ::4, 1], lr[..., 0])
    assert not bring_pairs([folder / "HR"])


def test_grey_pictures_become_what_the_recipe_asks_for(tmp_path):
    save(tmp_path / "HR/a.png", picture(0, 24, 24))
    save(tmp_path / "LR/a.png", picture(1, 6, 6))
    assert load_pairs([tmp_path], 4).twins.shapes == [(6, 6, 3)]
    assert load_pairs([tmp_path], 4, channels=1).shapes == [(24, 24, 1)]


def test_a_folder_without_pairs_beside_one_with_pairs_gets_matlabs(tmp_path):
    save(tmp_path / "plain" / "p.png", picture(7, 41, 40, 3))
    images = load_pairs([pairs(tmp_path / "set", 1), tmp_path / "plain"], 4)
    assert images.names == ["HR/0.png", "p.png"]
    assert np.array_equal(images.twins[1], imresize(images[1], 1 / 4)) and images.shapes[1] == (40, 40, 3)


def test_patches_of_both_sides_show_the_same_place(tmp_path):
    images = load_pairs([pairs(tmp_path)], 4)
    rest, held_out = images.split(1)
    assert len(rest.twins) == 2 and len(held_out.twins) == 1 and rest.twins.names == rest.names
    batch = PatchPairs(rest, 4, 5, 16, 0, augment=False).batch(3)
    assert torch.equal(batch["hr"][:, 1:2, ::4, ::4], batch["lr"][:, :1])


def test_pairs_of_another_scale_are_refused_with_their_own(tmp_path):
    with pytest.raises(
        InputError, match=r"HR/0\.png is 48 x 48, which is not 4 times its twin LR/0\.png of 24 x 24; it is 2 times"
    ):
        pairs(tmp_path, 3, scale=2, size=(48, 48))
        for file in (tmp_path / "LR").iterdir():
            file.rename(file.with_name(file.name.replace("x2", "")))
        load_pairs([tmp_path], 4)
    with pytest.raises(InputError, match="no twin for scale 3 in the folder LR"):
        load_pairs([pairs(tmp_path / "four")], 3)


def test_one_pair_that_is_wrong_is_left_out_by_its_name(tmp_path):
    pairs(tmp_path, 4)
    save(tmp_path / "LR/2x4.png", picture(0, 9, 9, 3))
    images = load_pairs([tmp_path], 4)
    assert images.names == ["HR/0.png", "HR/1.png", "HR/3.png"] == images.twins.names
    assert len(images.skipped) == 1 and "HR/2.png is 67 x 50" in images.skipped[0]
    with pytest.raises(InputError, match=r"4 of 4 images .* too small: 67 x 50, needs 52 x 52"):
        load_pairs([tmp_path], 4, least=52)
    for number in (1, 3):
        save(tmp_path / f"HR/{number}.png", picture(number, 60, 60, 3))
        save(tmp_path / f"LR/{number}x4.png", picture(number, 15, 15, 3))
    # As for images without twins: small ones are left out, however many.
    images = load_pairs([tmp_path], 4, least=52)
    assert images.names == ["HR/1.png", "HR/3.png"] and len(images.skipped) == 2


def test_a_recipe_takes_pairs_as_they_are_and_does_not_degrade_them(tmp_path):
    folder = pairs(tmp_path)
    images = feed.load(model.read("compact-x4", TINY), [folder])
    assert isinstance(feed.batches(model.read("compact-x4", TINY), images)[0], PatchPairs)
    with pytest.raises(UsageError, match=r"LR.*\[degradation\].*HR alone"):
        feed.load(model.read("photo-x4", TINY), [folder])
    assert feed.load(model.read("photo-x4", TINY), [folder / "HR"]).twins is None
