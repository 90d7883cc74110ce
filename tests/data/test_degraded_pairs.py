"""Training pairs whose low-resolution side is degraded anew for every sample."""

import numpy as np
import pytest

from mezzotint.data.batches import DegradedPairs, PatchPairs
from mezzotint.data.images import ImageSet
from mezzotint.data.second_order import SecondOrder
from mezzotint.errors import InputError, UsageError
from mezzotint.image.resize import imresize
from mezzotint.recipes import model
from mezzotint.training import feed


def images(*shapes: tuple[int, int], channels: int = 3) -> ImageSet:
    found = ImageSet(1 << 30)
    for index, shape in enumerate(shapes):
        coarse = np.random.default_rng(index).integers(0, 256, (shape[0] // 8, shape[1] // 8, channels), np.uint8)
        found.append(imresize(coarse, size=shape), f"{index}.png")
    return found


def bicubic(hr, scale, random):
    return imresize(hr, 1 / scale)


def pairs(source: ImageSet, degrade=None, seed: int = 0, **options) -> DegradedPairs:
    return DegradedPairs(source, 2, 10, 6, seed, degrade or SecondOrder(), **options)


def test_a_batch_is_a_function_of_seed_and_step():
    source = images((48, 40), (64, 72))
    batch = pairs(source).batch(7)
    assert batch["lr"].shape == (6, 3, 10, 10) and batch["hr"].shape == (6, 3, 20, 20)
    for side in batch.values():
        assert side.dtype.is_floating_point and side.min() >= 0 and side.max() <= 1
    again = pairs(source).batch(7)
    others = [pairs(source).batch(8), pairs(source, seed=1).batch(7)]
    for key in ("lr", "hr"):
        assert batch[key].equal(again[key])
        assert not any(batch[key].equal(other[key]) for other in others)
        # And no sample is another's copy.
        assert len({sample.numpy().tobytes() for sample in batch[key]}) == 6


def test_processes_make_the_batch_of_one_among_them():
    source = images((48, 40), (64, 72))
    whole = pairs(source).batch(7)
    for rank in range(3):
        share = pairs(source, share=(rank, 3)).batch(7)
        assert all(share[key].equal(whole[key][rank::3]) for key in ("lr", "hr"))


def test_both_sides_show_the_same_place():
    batch = pairs(images((48, 40), (64, 72)), bicubic).batch(0)
    for lr, hr in zip(batch["lr"].numpy(), batch["hr"].numpy(), strict=True):
        reduced = imresize(hr.transpose(1, 2, 0), 1 / 2)[2:-2, 2:-2]
        np.testing.assert_allclose(lr.transpose(1, 2, 0)[2:-2, 2:-2], reduced, atol=2 / 255)


def test_patches_begin_at_every_phase_of_jpegs_blocks():
    offsets = []

    def coordinates(hr, scale, random):
        rows, columns = hr.shape[0] // scale, hr.shape[1] // scale
        return np.stack([*np.mgrid[:rows, :columns], np.zeros((rows, columns))], axis=2).astype(np.uint8)

    batches = DegradedPairs(images((128, 128)), 2, 10, 64, 0, coordinates, augment=False)
    for step in range(4):
        offsets += [tuple(sample[:2, 0, 0].mul(255).round().int().tolist()) for sample in batches.batch(step)["lr"]]
    assert {y % 8 for y, _ in offsets} == {x % 8 for _, x in offsets} == set(range(8))


def test_regions_that_are_used_again_are_cut_elsewhere_and_do_not_depend_on_what_was_asked_before():
    made = []

    def degrade(hr, scale, random):
        made.append(hr)
        return imresize(hr, 1 / scale)

    def batches(reuse=2):
        return DegradedPairs(images((90, 80), (64, 72)), 2, 10, 6, 5, degrade, reuse=reuse)

    whole = batches()
    run = [whole.batch(step) for step in range(66)]
    # Steps 32 to 63 use what 0 to 31 made; then all is new.
    assert len(made) == 6 * (32 + 2)
    for step in (3, 35, 65):  # as after resuming there
        again = batches().batch(step)
        assert all(again[key].equal(run[step][key]) for key in again)
    first, second = run[3]["hr"], run[35]["hr"]
    assert not any(one.equal(other) for one, other in zip(first, second, strict=True))
    for lr, hr in zip(run[35]["lr"].numpy(), run[35]["hr"].numpy(), strict=True):
        reduced = imresize(hr.transpose(1, 2, 0), 1 / 2)[2:-2, 2:-2]
        np.testing.assert_allclose(lr.transpose(1, 2, 0)[2:-2, 2:-2], reduced, atol=2 / 255)
    assert all(
        batches(1).batch(40)[key].equal(pairs(images((90, 80), (64, 72)), degrade, 5).batch(40)[key]) for key in run[0]
    )


def test_an_image_that_just_holds_a_patch_will_do_and_a_smaller_one_is_named():
    assert pairs(images((20, 20))).batch(0)["lr"].shape == (6, 3, 10, 10)
    assert pairs(images((21, 33), channels=1)).batch(0)["hr"].shape == (6, 1, 20, 20)
    with pytest.raises(InputError, match=r"1\.png is 24x19"):
        pairs(images((24, 24), (19, 24)))


def test_a_recipe_chooses_how_pairs_are_made():
    source, tiny = images((64, 64)), ["data.patch=8", "data.batch=2", "phases=[]"]
    assert isinstance(feed.batches(model.read("compact-x4", tiny), source)[0], PatchPairs)
    (degraded,) = feed.batches(model.read("photo-x4", tiny), source)
    assert isinstance(degraded, DegradedPairs) and degraded.batch(0)["lr"].shape == (2, 3, 8, 8)
    assert degraded.degrade == SecondOrder(**model.read("photo-x4").degradation.arguments)


@pytest.mark.parametrize(
    ("recipe", "override", "message"),
    [
        ("photo-x4", "degradation.nosie=[[1,2],[1,2]]", "degradation.nosie: there is no such key"),
        ("photo-x4", "degradation.noise=[[2,1],[1,2]]", "degradation: noise"),
        ("compact-x4", "data.reuse=2", "data.reuse: only degraded regions"),
        ("photo-x4", "degradation.noise=3", "degradation.noise: "),
        ("photo-x4", "degradation.name=degradations.blur", "degradation.name: "),
        ("photo-x4", "degradation.name=second_order.os", "degradation.name: "),
        ("fashion-28", 'degradation={name="second_order.SecondOrder"}', "degradation: only super-resolution"),
    ],
)
def test_mistakes_in_a_degradation_are_found_before_any_work(recipe, override, message):
    with pytest.raises(UsageError, match="1 mistake") as raised:
        model.read(recipe, [override])
    assert message in str(raised.value)


def test_recipes_without_a_degradation_say_nothing_about_it():
    # Records of runs from before there was one can be resumed.
    recorded = model.read("compact-x4").model_dump(mode="json")
    assert recorded["degradation"] is None
    assert "degradation" not in model.read("compact-x4").model_dump(mode="json", exclude_defaults=True)
