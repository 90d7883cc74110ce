"""How pairs are mixed: what share of them, how much, and always the same on both sides."""

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint.data import augment
from mezzotint.data.augment import Mixed, channel_shuffle, cutblur, cutmix, mixup
from mezzotint.data.batches import PatchPairs
from mezzotint.data.images import ImageSet
from mezzotint.errors import UsageError
from mezzotint.image.resize import imresize
from mezzotint.recipes import model
from mezzotint.training import feed

SCALE, COUNT = 2, 400


def pairs(count=COUNT, side=12, channels=3):
    """Each pair has a level of its own, so that pixels tell where they come from; both sides agree."""
    levels = (torch.arange(count, dtype=torch.float32) + 1).div(count + 1).view(-1, 1, 1, 1)
    colours = torch.tensor([1.0, 0.5, 0.25])[:channels].view(1, -1, 1, 1)
    lr = levels * colours * torch.ones(1, 1, side, side)
    return lr, lr.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3)


def chosen(share=0.5, count=COUNT):
    return np.random.default_rng(9).random(count) < share


def rng(seed=0):
    return np.random.default_rng(seed)


ALL = [getattr(augment, name) for name in augment.__all__]


def test_every_augmentation_has_its_statistics_tested():
    assert set(augment.__all__) == {"mixup", "cutmix", "cutblur", "channel_shuffle"}, "test the new one here"


@pytest.mark.parametrize("function", ALL)
def test_only_what_is_chosen_is_touched_and_the_input_is_left_alone(function):
    torch.manual_seed(0)
    lr, hr = torch.rand(16, 3, 6, 8), torch.rand(16, 3, 12, 16)
    before, some = (lr.clone(), hr.clone()), chosen(0.5, 16)
    small, large = function(lr, hr, some, rng())
    assert torch.equal(lr, before[0]) and torch.equal(hr, before[1])
    assert small.shape == lr.shape and large.shape == hr.shape and small.dtype == large.dtype == torch.float32
    assert torch.equal(small[~some], lr[~some]) and torch.equal(large[~some], hr[~some])
    assert not torch.equal(small[some], lr[some])
    for side in (small, large):
        assert side.min() >= 0 and side.max() <= 1
    again = function(lr, hr, some, rng())
    assert torch.equal(small, again[0]) and torch.equal(large, again[1])
    assert not torch.equal(small, function(lr, hr, some, rng(1))[0])


def test_mixup_blends_both_sides_of_two_pairs_by_one_share():
    lr, hr = pairs()
    small, large = mixup(lr, hr, np.ones(COUNT, bool), rng())
    assert torch.equal(small.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3), large)
    others = augment._others(COUNT, rng())
    own, other, mixed = (side[:, 0, 0, 0].double() for side in (lr, lr[others], small))
    shares = ((mixed - other) / (own - other)).numpy()
    # Beta(1.2, 1.2): mean 1/2, variance 1 / (4 (2 * 1.2 + 1)).
    assert shares.mean() == pytest.approx(0.5, abs=0.05) and shares.var() == pytest.approx(1 / 13.6, rel=0.15)
    assert (shares >= -1e-3).all() and (shares <= 1 + 1e-3).all()


def test_every_pair_is_mixed_with_another():
    for count in (2, 3, 50):
        others = augment._others(count, rng()).numpy()
        assert sorted(others) == list(range(count)) and (others != np.arange(count)).all()


def extents(mask):
    """(top, bottom, left, right) of the true part of a mask H W, which must be a full rectangle."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    assert mask[top:bottom, left:right].all() and mask.sum() == (bottom - top) * (right - left)
    return top, bottom, left, right


def test_cutmix_takes_one_rectangle_of_another_pair_on_both_sides():
    lr, hr = pairs(side=24)
    small, large = cutmix(lr, hr, np.ones(COUNT, bool), rng())
    assert torch.equal(small.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3), large)
    taken = (small != lr)[:, 0].numpy()
    boxes = np.array([extents(mask) for mask in taken])
    for item, mask in enumerate(taken):
        assert len(np.unique(small[item, 0].numpy()[mask])) == 1
    areas = taken.mean(axis=(1, 2))
    # Uniform in 0 to 1: mean 1/2, variance 1/12.
    assert areas.mean() == pytest.approx(0.5, abs=0.06) and areas.var() == pytest.approx(1 / 12, rel=0.15)
    # Anywhere: the first row is reached as often as the last.
    top, bottom = (boxes[:, 0] == 0).mean(), (boxes[:, 1] == 24).mean()
    assert top == pytest.approx(bottom, abs=0.1) and 0.05 < top < 0.5


def test_cutblur_cleans_a_rectangle_or_all_around_it_and_leaves_the_target():
    random = np.random.default_rng(0)
    hr = torch.from_numpy(random.integers(0, 256, (COUNT, 3, 24, 24), np.uint8)).float() / 255
    clean = (imresize((hr * 255).round().byte(), 1 / SCALE)).float() / 255
    lr = (1 - clean).contiguous()
    small, large = cutblur(lr, hr, np.ones(COUNT, bool), rng())
    assert torch.equal(large, hr)
    cleaned = (small == clean).all(1).numpy()
    assert torch.equal(torch.where(torch.from_numpy(cleaned)[:, None], clean, lr), small)
    around = 0
    for mask in cleaned:
        corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]].sum()
        inverted = corners > 2 and not mask.all()
        around += inverted
        if inverted:
            extents(~mask)
        elif mask.any():
            extents(mask)
    assert 0.3 < around / COUNT < 0.6
    assert cleaned.mean() == pytest.approx(0.5, abs=0.06)


def test_channel_shuffle_gives_the_five_other_orders_equally_often_and_alike_on_both_sides():
    lr, hr = pairs()
    small, large = channel_shuffle(lr, hr, np.ones(COUNT, bool), rng())
    assert torch.equal(small.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3), large)
    orders = (-small[:, :, 0, 0]).argsort(1).numpy()
    found, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(found) == 5 and [0, 1, 2] not in found.tolist()
    assert (np.abs(counts - COUNT / 5) < 4 * np.sqrt(COUNT * 0.2 * 0.8)).all()
    grey = pairs(4, channels=1)
    assert torch.equal(channel_shuffle(*grey, np.ones(4, bool), rng())[0], grey[0])


def batches(size=50):
    images = ImageSet(1 << 30)
    for seed in range(3):
        images.append(np.random.default_rng(seed).integers(0, 256, (40, 44, 3), np.uint8), f"{seed}.png")
    return PatchPairs(images, SCALE, 8, size, seed=4)


def test_a_mixed_batch_is_a_function_of_seed_and_step():
    plain, mix = batches(), {"mixup": 0.3, "channel_shuffle": 0.5}
    batch = Mixed(plain, mix, 4).batch(7)
    assert batch["lr"].is_contiguous(memory_format=torch.channels_last)
    again = Mixed(batches(), dict(reversed(mix.items())), 4).batch(7)
    others = [
        Mixed(plain, mix, 4).batch(8),
        Mixed(plain, mix, 5).batch(7),
    ]
    for key in ("lr", "hr"):
        assert torch.equal(batch[key], again[key]) and not any(torch.equal(batch[key], other[key]) for other in others)


def test_processes_mix_the_batch_of_one_among_them():
    whole = Mixed(batches(), {"mixup": 0.5}, 4).batch(7)
    for rank in range(2):
        share = Mixed(batches(), {"mixup": 0.5}, 4, share=(rank, 2)).batch(7)
        assert all(torch.equal(share[key], whole[key][rank::2]) for key in whole)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_share_of_pairs_that_are_changed(share):
    plain, changed = batches(200), 0
    mixed = Mixed(plain, {"channel_shuffle": share}, 4)
    for step in range(3):
        before, after = plain.batch(step)["hr"], mixed.batch(step)["hr"]
        changed += int((before != after).flatten(1).any(1).sum())
    assert changed / 600 == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 600))


def test_switching_one_on_changes_neither_the_crops_nor_the_others():
    plain = batches()
    alone = Mixed(plain, {"channel_shuffle": 0.5}, 4).batch(3)["hr"]
    both = Mixed(plain, {"channel_shuffle": 0.5, "mixup": 0.2}, 4).batch(3)["hr"]
    same = (alone == both).flatten(1).all(1)
    assert 0.6 < same.float().mean() < 0.95
    crops, shuffled = plain.batch(3)["hr"], (alone != plain.batch(3)["hr"]).flatten(1).any(1)
    assert torch.equal(alone[~shuffled], crops[~shuffled]) and 0.25 < shuffled.float().mean() < 0.75


TINY = ["phases=[]", "data.patch=6", "data.batch=4", "generator.channels=4", "generator.num_blocks=1"]


def test_a_recipe_names_them_with_their_shares(tmp_path):
    images = ImageSet(1 << 30)
    images.append(np.zeros((40, 40, 3), np.uint8), "a.png")
    assert model.read("compact-x4").data.mix == {}
    recipe = model.read("compact-x4", [*TINY, "data.mix={mixup=0.2, cutmix=0.1}"])
    (mixed,) = feed.batches(recipe, images)
    assert isinstance(mixed, Mixed) and mixed.mix == {"mixup": 0.2, "cutmix": 0.1} and mixed.seed == recipe.seed
    Image.fromarray(images[0]).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="cutblur changes nothing"):
        feed.load(model.read("compact-x4", [*TINY, "data.mix={cutblur=0.2}"]), [tmp_path])


@pytest.mark.parametrize(
    ("recipe", "overrides", "message"),
    [
        (
            "compact-x4",
            ["data.mix={mixap=0.2}"],
            "data.mix: mezzotint.data.augment has no 'mixap'; it has channel_shuffle, cut",
        ),
        ("compact-x4", ["data.mix={Mixed=0.2}"], "data.mix: mezzotint.data.augment has no 'Mixed'"),
        ("compact-x4", ["data.mix={mixup=1.5}"], "data.mix.mixup: Input should be less than or equal to 1"),
        ("compact-x4", ["data.mix={mixup=0}"], "data.mix.mixup: Input should be greater than 0"),
        ("compact-x4", ["data.mix={cutmix=0.5}", "data.batch=1"], "data.mix: a batch of 1 has no other pair"),
        (
            "compact-x4",
            ["data.mix={mixup=0.5}", "phases=[{begin=0.5, batch=1}]"],
            "data.mix: a batch of 1 has no other pair",
        ),
        (
            "compact-x4",
            ["data.mix={channel_shuffle=0.5}", "data.channels=1", "generator.in_channels=1"],
            "data.mix: channel_shuffle needs colours",
        ),
        ("fashion-28", ["data.mix={mixup=0.2}"], "data.mix: only super-resolution"),
    ],
)
def test_mistakes_are_found_before_any_work(recipe, overrides, message):
    with pytest.raises(UsageError, match="1 mistake") as raised:
        model.read(recipe, overrides)
    assert message in str(raised.value)
