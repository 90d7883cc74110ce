"""What follows from facts about pictures, the machine's speed and the time there is. Nothing is trained here."""

import dataclasses

import pytest
import torch

from mezzotint.advisor import plan
from mezzotint.advisor.ladder import Setting, ladder
from mezzotint.data.survey import Survey
from mezzotint.errors import InputError
from mezzotint.recipes import model
from mezzotint.training import run


def pictures(count=5000, size=(300, 400), grey=False, classes=(), others=()):
    return Survey(count, (size, *(others or [(size[0] + 1, size[1] + 1)])), grey, tuple(classes))


def planned(survey, speed=200.0, minutes=60, gpu=False):
    """The plan of a machine whose speed falls with the work, `speed` for 32 channels at 32x32."""
    speeds = {}
    for setting in ladder(survey, minutes, gpu):
        work = setting.size[0] * setting.size[1] * setting.widths[-1] ** 2 * setting.blocks
        speeds[setting] = speed * 1024 * 1024 / work
        if speeds[setting] * 60 * minutes < setting.needed:
            break
    return plan.plan(survey, speeds, minutes)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize(
    "survey",
    [
        pictures(), pictures(count=16), pictures(count=10**6, grey=True), pictures(size=(3, 5)), pictures(size=(1000, 100)),
        pictures(size=(28, 28), others=[(28, 28)], grey=True, classes=[("a", 3000), ("b", 2000)]),
        pictures(size=(75, 101), others=[(75, 101)]), pictures(size=(700, 700), others=[(700, 700)]),
        pictures(size=(256, 256)),
    ],
)  # fmt: skip
def test_every_rung_is_a_recipe_that_passes_all_checks(survey, gpu):
    rungs = ladder(survey, 60, gpu)
    for setting in rungs:
        recipe = model.check(plan.recipe(survey, setting, 60, 10_000))
        assert recipe.data.batch >= 16 and recipe.discriminator.arguments["widths"] == list(setting.widths)
        assert max(setting.size) <= 2 * max(survey.size) or min(survey.size) < 8
    assert [setting.needed for setting in rungs] == sorted({setting.needed for setting in rungs})


@pytest.mark.parametrize("size", [(3, 5), (28, 28), (32, 24), (75, 101)])
def test_networks_of_any_native_size_can_be_built_and_fit_each_other(size):
    survey = pictures(size=size, others=[size])
    setting = ladder(survey, 60, False)[0] if min(size) < 32 else ladder(survey, 60, False)[-4]
    setting = Setting(setting.size, tuple(max(2, width // 16) for width in setting.widths), 1, 16, 1)
    method, _ = run.build(model.check(plan.recipe(survey, setting, 1, 100)), torch.device("cpu"))
    images = method.generator(torch.randn(2, 64))
    assert images.shape == (2, 3, *size) and method.discriminator(images).shape == (2,)


def test_more_time_and_more_speed_mean_larger_images():
    sizes = [planned(pictures(), speed, minutes).facts["data"]["size"] for speed, minutes in [
        (20, 3), (200, 30), (200, 120), (200, 1200), (20_000, 60),
    ]]  # fmt: skip
    assert sizes[0] == [28, 36] and sizes == sorted(sizes) and sizes[1] != sizes[2] != sizes[3] != sizes[4]


def test_images_are_never_larger_than_the_pictures_but_networks_grow():
    small = pictures(size=(40, 40), others=[(40, 40)])
    fast, slow = planned(small, 1e5), planned(small, 30)
    assert fast.facts["data"]["size"] == [40, 40] and slow.facts["data"]["size"] == [32, 32]
    assert fast.facts["generator"]["widths"][-1] == 3 * slow.facts["generator"]["widths"][-1]
    assert any("no more pixels" in line for line in fast.reasons)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ([(480, 640)] * 2 + [(481, 640)], (28, 36)),
        ([(640, 480)] * 2 + [(641, 480)], (36, 28)),
        ([(480, 640), (640, 480)] * 4, (32, 32)),
        ([(300, 310), (305, 310)], (32, 32)),
        ([(100, 900), (101, 900)], (24, 44)),
    ],
)
def test_the_shape_is_that_of_most_pictures(sizes, shape):
    assert ladder(Survey(100, tuple(sizes), False), 60, False)[0].size == shape


@pytest.mark.parametrize(
    ("classes", "count", "told"),
    [((), 5000, 0), ([("a", 5000)], 5000, 0), ([("a", 60), ("b", 40)], 100, 2), ([("a", 60), ("b", 39)], 99, 0)],
)
def test_labels_are_used_where_there_are_enough_pictures_of_each(classes, count, told):
    chosen = planned(pictures(count, classes=classes))
    assert chosen.facts["generator"]["num_classes"] == chosen.facts["discriminator"]["num_classes"] == told
    assert any(line.startswith("labels: used") for line in chosen.reasons) == bool(told)
    assert any(line.startswith("labels: left aside") for line in chosen.reasons) == (bool(classes) and not told)


def test_few_pictures_bring_stronger_augmentation_and_penalties_than_many():
    few, some, many = (planned(pictures(count)).facts for count in (300, 5000, 50_000))
    assert (
        len(few["method"]["augment"]) > len(some["method"]["augment"])
        and few["data"]["held_out"] > some["data"]["held_out"]
    )
    assert few["ramps"]["augment"][1] > some["ramps"]["augment"][1] and "augment" not in many["ramps"]
    assert few["method"]["penalties"]["regularization.r1"] > some["method"]["penalties"]["regularization.r1"]
    assert "saturation" not in planned(pictures(300, grey=True)).facts["method"]["augment"]


def test_penalties_grow_with_the_image_and_the_average_with_the_run():
    short, long = planned(pictures(), 200, 30).facts, planned(pictures(), 2e5, 600).facts
    assert long["method"]["penalties"]["regularization.r2"] > 10 * short["method"]["penalties"]["regularization.r2"]
    assert 0.9 < short["ema"] < long["ema"] < 1
    assert short["log_every"] % 4 == 0 and short["log_every"] < long["log_every"] <= 100


def test_nobody_is_promised_things_from_pictures_of_anything():
    unlike = dataclasses.replace(pictures(), likeness=0.01)
    labelled = dataclasses.replace(pictures(classes=[("a", 2500), ("b", 2500)]), likeness=0.01)
    told = [planned(found).reasons[-1] for found in (pictures(), unlike, labelled)]
    assert ["no layout in common" in line for line in told] == [False, True, False]
    assert "shapes" in told[0] and "shapes" not in told[1]


def test_a_short_run_ends_in_interpolation_and_a_long_one_in_a_pixel_shuffle():
    short, long = planned(pictures(), 100, 5).facts, planned(pictures(), 2e5, 600).facts
    assert [facts["generator"]["shuffle"] for facts in (short, long)] == [False, True]


def test_small_grey_pictures_are_not_mirrored_for_they_may_be_letters():
    letters = pictures(size=(28, 28), others=[(28, 28)], grey=True)
    assert planned(pictures()).facts["data"]["augment"] and not planned(letters).facts["data"]["augment"]


def test_the_same_facts_give_the_same_plan_and_nearly_the_same_speed_too():
    survey = pictures()
    assert planned(survey) == planned(survey)
    (setting, *_) = ladder(survey, 60, False)
    assert plan.plan(survey, {setting: 100.1}, 60).facts == plan.plan(survey, {setting: 100.9}, 60).facts


def test_the_reasons_say_what_was_found_what_to_expect_and_how_long_would_do():
    slow = planned(pictures(412, classes=[("house", 112), ("tree", 300)]), 10, 3)
    text = "\n".join(slow.reasons)
    assert "412 colour pictures, about 400x300, 2 classes" in text and "112 to 300 pictures" in text
    assert "fewer than the" in text and "minutes would be a fair start" in text and "copies" in text
    rich = "\n".join(planned(pictures(50_000), 2000, 600).reasons)
    assert "enough for the" in rich and "would be a fair start" not in rich and "would see" in rich


def test_pictures_that_no_generator_should_be_trained_on_are_told_what_to_do():
    with pytest.raises(InputError, match=r"15 pictures are too few .* at least 16.*`article`"):
        plan.check(pictures(15))
    with pytest.raises(InputError, match="one picture is too few"):
        plan.check(pictures(1))
    with pytest.raises(InputError, match=r"pairs for super-resolution.*compact-x4"):
        plan.check(pictures(classes=[("HR", 2500), ("LR", 2500)]))
    plan.check(pictures(16))
