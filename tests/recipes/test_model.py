import math
import tomllib
from pathlib import Path

import pytest

from mezzotint.card import GENERATION, SUPER_RESOLUTION
from mezzotint.errors import InputError, UsageError
from mezzotint.recipes import model

SHIPPED = model.names()

MINIMAL = """
task = "super-resolution"
description = "the least that there must be"
steps = 3

[generator]
name = "compact.Compact"

[method]
name = "regression.Regression"
losses = { "pixel.l1" = 1.0 }

[data]
batch = 2
patch = 6

[optimizer.generator]
learning_rate = 1e-3
"""


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(recipe, *overrides):
    with pytest.raises(UsageError) as error:
        model.read(recipe, overrides)
    head, _, rest = str(error.value).partition(" mistake(s): ")
    found = rest.split("; ")
    assert "\n" not in rest and error.value.exit_code == 2
    return found, int(head.rpartition(" ")[2])


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_valid_and_says_what_it_is(name):
    recipe = model.read(name)
    assert recipe.task in (SUPER_RESOLUTION, GENERATION) and len(recipe.description) > 10
    assert model.text(name).startswith("#") and recipe.steps


def test_defaults_are_filled_in(tmp_path):
    recipe = model.read(written(tmp_path, MINIMAL))
    assert (recipe.seed, recipe.ema, recipe.clip, recipe.precision) == (0, 0.999, 0.0, "auto")
    assert recipe.optimizer["generator"].betas == (0.9, 0.99) and recipe.generator.arguments == {}


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        model.read("compact-x4").steps = 3


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("steps=5", ("steps",), 5),
        ("minutes=0.5", ("minutes",), 0.5),
        ("schedule=cosine", ("schedule",), "cosine"),
        ("schedule='cosine'", ("schedule",), "cosine"),
        ("description=it's mine = ours", ("description",), "it's mine = ours"),
        ("start=runs/a", ("start",), "runs/a"),
        ("optimizer.generator.learning_rate=3e-4", ("optimizer", "generator", "learning_rate"), 3e-4),
        ("optimizer.generator.betas=[0.5, 0.9]", ("optimizer", "generator", "betas"), (0.5, 0.9)),
        ("generator.channels=4", ("generator", "channels"), 4),
        ("data.augment=false", ("data", "augment"), False),
        ('method.losses={"pixel.l1"=0.5}', ("method", "losses"), {"pixel.l1": 0.5}),
        ('method.losses."pixel.l1"=0.5', ("method", "losses"), {"pixel.charbonnier": 1.0, "pixel.l1": 0.5}),
        (" seed = 7", ("seed",), 7),
    ],
)
def test_overrides_are_read_as_toml_or_else_as_text(override, path, value):
    found = model.read("compact-x4", [override])
    for key in path:
        found = found[key] if isinstance(found, dict) else getattr(found, key)
    assert found == value


def test_a_value_may_be_overridden_like_a_file():
    recipe = model.read("fashion-28", ["seed=3"])
    changed = model.read(recipe, ["steps=5"])
    assert (changed.seed, changed.steps) == (3, 5)
    assert model.read(recipe) == recipe and changed.generator == recipe.generator


@pytest.mark.parametrize("override", ["steps", "=5", " =5", "a b=1", "generator..channels=1", "steps.x=1"])
def test_what_is_no_override_is_refused(override):
    with pytest.raises(UsageError, match=r"override of the form key=value|is a value, not a table"):
        model.read("compact-x4", [override])


def test_all_mistakes_are_told_at_once_with_their_paths():
    found, count = mistakes(
        "srgan-x4",
        "stepz=3",
        "seed=-1",
        "schedule=linear",
        "data.bach=1",
        "optimizer.generator.learning_rate=-1",
        "optimizer.critic={learning_rate=1}",
        "generator.chanels=3",
        "discriminator.name=nowhere.Critic",
        'method.losses={"pixel.l3"=1}',
        "method.game=adversarial.tennis",
        'method.penalties={"regularization.r9"=1}',
    )
    assert count >= 11
    for path in (
        "stepz", "seed", "schedule", "data.bach", "optimizer.generator.learning_rate", "optimizer.critic",
        "generator.chanels", "discriminator.name", "method.losses", "method.game", "method.penalties",
    ):  # fmt: skip
        assert any(line.startswith(path) for line in found), path


@pytest.mark.parametrize(
    ("recipe", "overrides", "message"),
    [
        ("compact-x4", ["stepz=1"], "stepz: there is no such key; there are task, description, seed, steps"),
        ("compact-x4", ["data.bach=1"], "data.bach: there is no such key; there are batch, patch"),
        (
            "compact-x4",
            ["optimizer.generator.rate=1"],
            "optimizer.generator.rate: there is no such key; there are name, learn",
        ),
        ("compact-x4", ["generator.width=1"], "generator.width: there is no such key; there are scale, channels"),
        ("compact-x4", ["generator.channels='32'"], "generator.channels: Input should be a valid integer"),
        ("compact-x4", ["generator.channels=32.5"], "generator.channels: Input should be a valid integer"),
        ("compact-x4", ["generator.scale=5"], "generator.scale: Input should be 2, 3 or 4"),
        (
            "compact-x4",
            ["generator.name=compact.Compakt"],
            "generator.name: mezzotint.models.compact has no 'Compakt'; it has",
        ),
        ("compact-x4", ["generator.name=weights.load"], "generator.name: mezzotint.models.weights has no 'load'"),
        ("compact-x4", ["generator.name=os.system"], "generator.name: mezzotint.models has no module 'os'; it has"),
        ("compact-x4", ["generator.name=../x"], "generator.name: '../x' is not a reference"),
        (
            "compact-x4",
            ["method.name=run.train"],
            "method.name: run.train is no method; there are distillation.Distillation, gan.GAN, reg",
        ),
        ("compact-x4", ["method.name=loop.fit"], "method.name: mezzotint.training.loop has no 'fit'"),
        ("compact-x4", ["method.losses={}"], "method.losses: needs at least one"),
        (
            "compact-x4",
            ['method.losses={"adversarial.hinge"=1}'],
            "method.losses: adversarial.hinge does not belong here",
        ),
        (
            "fashion-28",
            ["method.game=pixel.l1"],
            "method.game: pixel.l1 does not belong here; see mezzotint.losses.adversarial",
        ),
        (
            "compact-x4",
            ["optimizer.generator.learning_rate=inf"],
            "optimizer.generator.learning_rate: Input should be a finite",
        ),
        (
            "compact-x4",
            ["optimizer.generator.betas=[0.9, 1.0]"],
            "optimizer.generator.betas.1: Input should be less than 1",
        ),
        ("compact-x4", ["minutes=0"], "minutes: Input should be greater than 0"),
        ("compact-x4", ["ema=1"], "ema: Input should be less than 1"),
        (
            "compact-x4",
            ["data.size=[28, 28]", "task=generation"],
            "regression.Regression is for super-resolution, the task is gen",
        ),
        ("compact-x4", ["generator.name=r3gan.Generator"], "r3gan.Generator is no network for super-resolution"),
        ("compact-x4", ["method.name=srgan.SRGAN"], "discriminator: srgan.SRGAN needs one"),
        ("srgan-x4", ["method.name=regression.Regression"], "discriminator: regression.Regression trains none"),
        ("compact-x4", ["data.channels=1"], "generator.in_channels: is 3, but data.channels asks for 1"),
        ("fashion-28", ["data.size=[12, 10]"], "generator.size: is [28, 28], but data.size asks for [12, 10]"),
        ("fashion-28", ["data.channels=3"], "discriminator.in_channels: is 1, but data.channels asks for 3"),
        (
            "fashion-28",
            ["generator.num_classes=3"],
            "discriminator.num_classes: is 10, but generator.num_classes asks for 3",
        ),
        (
            "srgan-x4",
            ["method.perceptual.network=vgg16"],
            "method.perceptual.network: Input should be 'compact-x4', 'squeezenet1_1' or 'vgg19'",
        ),
        (
            "srgan-x4",
            ["method.perceptual.weigth=1"],
            "method.perceptual.weigth: there is no such key; there are network, f",
        ),
        (
            "srgan-x4",
            ["method.perceptual.weight=-1.0"],
            "method.perceptual.weight: Input should be greater than or equal",
        ),
        (
            "srgan-x4",
            ["method.perceptual.network=vgg19", "method.perceptual.layers={relu6_1=1.0}"],
            "method.perceptual: vgg19 has no layers relu6_1; there are conv1_1, relu1_1",
        ),
        ("srgan-x4", ["method.perceptual.network=vgg19"], "network vgg19 needs its weights, file = PATH"),
        ("srgan-x4", ["method.perceptual.file=a.pth"], "file belongs to network squeezenet1_1 or vgg19"),
        ("srgan-x4", ["method.perceptual.heads=a"], "heads are for the normalised squared differences"),
        (
            "srgan-x4",
            ['method.losses={"perceptual.l1"=1.0}'],
            "method.losses: perceptual.l1 does not belong here; see mezzotint.losses.pixel",
        ),
        (
            "srgan-x4",
            ['method.consistency={"pixel.l1"=1.0}'],
            "pixel.l1 does not belong here; see mezzotint.losses.cons",
        ),
        ("compact-x4", ["ramps.until=0.5"], "ramps: only generation has any"),
        ("compact-x4", ["data.held_out=0.1"], "data.held_out: only generation has it"),
        ("fashion-28", ["ramps.augment=[0, 0.2]"], "ramps.augment: method.augment names nothing to apply"),
        ("dcgan-64", ["ramps.penalties=[1, 0.2]"], "ramps.penalties: the method has no penalties"),
        ("fashion-28", ['method.augment=["spin"]'], "method.augment: mezzotint.data.differentiable has no 'spin'"),
        ("fashion-28", ["method.adaptive=0.3"], "method.adaptive: needs method.augment and data.held_out"),
        ("clothes-64", ["method.classify=0.2"], "method.classify: needs discriminator.classifier = true"),
        ("compact-x4", ["data.patch=2"], "data.patch: Input should be greater than or equal to 3"),
    ],
)
def test_a_mistake_is_named_with_its_path_and_the_choices(recipe, overrides, message):
    assert message in "; ".join(mistakes(recipe, *overrides)[0])


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("steps = 3\n", "steps: give steps or minutes, or both"),
        ('patch = 6\n', "data.patch: super-resolution needs a patch size"),
        ('losses = { "pixel.l1" = 1.0 }\n', "method.losses: Field required"),
        ('name = "compact.Compact"\n', "generator.name: Field required"),
        ("[optimizer.generator]\nlearning_rate = 1e-3\n", "optimizer: Field required"),
        ("learning_rate = 1e-3\n", "optimizer.generator.learning_rate: Field required"),
        ('task = "super-resolution"\n', "task: Field required"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_once(tmp_path, cut, message):
    assert cut in MINIMAL
    found, count = mistakes(written(tmp_path, MINIMAL.replace(cut, "")))
    assert found == [message] and count == 1


@pytest.mark.parametrize("part", ["generator", "method", "data", "optimizer"])
def test_a_value_where_a_table_belongs_is_a_mistake_and_no_crash(part):
    assert any(line.startswith(f"{part}: ") for line in mistakes("compact-x4", f"{part}=3")[0])


def test_toml_that_cannot_be_parsed_is_told_with_its_line(tmp_path):
    path = written(tmp_path, "steps = 3\nschedule = cosine\n")
    with pytest.raises(UsageError, match=r"mine\.toml is not valid TOML: .*line 2"):
        model.read(path)


def test_unknown_names_and_unreadable_files(tmp_path):
    with pytest.raises(UsageError, match=r"no recipe named 'srgan-x5'.*srgan-x4"):
        model.read("srgan-x5")
    with pytest.raises(InputError, match=r"cannot read recipe .*none\.toml: No such file"):
        model.read(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes("description = 'für'".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        model.read(tmp_path / "latin.toml")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_recipe_survives_json(name):
    """As in a run folder's recipe.json and on a card."""
    recipe = model.read(name)
    facts = {key: value for key, value in recipe.model_dump(mode="json").items() if value is not None}
    facts["data"] = {key: value for key, value in facts["data"].items() if value is not None}
    assert model.check(facts) == recipe


def test_numbers_stay_as_exact_as_they_are_written():
    assert model.read("compact-x4", ["optimizer.generator.eps=1e-12"]).optimizer["generator"].eps == 1e-12
    assert math.isclose(tomllib.loads(model.text("compact-x4"))["optimizer"]["generator"]["learning_rate"], 3e-3)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ("[{begin=0.5}, {begin=0.4}]", "phases: each must begin after the one before, not at 0.5, 0.4"),
        ("[{begin=1.5}]", "phases.0.begin: "),
        ("[{begin=0.5, size=3}]", "there is no such key; there are begin, patch, batch, losses"),
        ('[{begin=0.5, losses={"pixel.l3"=1}}]', "phases.0.losses: "),
        ('[{begin=0.5, losses={"adversarial.hinge"=1}}]', "adversarial.hinge does not belong here"),
        ("[{begin=0.5, losses={}}]", "phases.0.losses: needs at least one"),
    ],
)
def test_mistakes_in_phases_are_named(phases, message):
    with pytest.raises(UsageError) as error:
        model.read("compact-x4", [f"phases={phases}"])
    assert message in str(error.value)


def test_generation_has_no_phases():
    with pytest.raises(UsageError, match="phases: only super-resolution has any"):
        model.read("fashion-28", ["phases=[{begin=0.5}]"])


@pytest.mark.parametrize(("plan", "task"), [("sr_recipes", SUPER_RESOLUTION), ("gan_recipes", GENERATION)])
def test_planned_experiments_are_recipes_without_mistakes(plan, task):
    path = Path(__file__).parents[2] / "benchmarks" / f"{plan}.toml"
    file = tomllib.loads(path.read_text(encoding="utf-8"))
    names = [experiment["name"] for experiment in file["experiment"]]
    assert len(set(names)) == len(names) > 0 and all(experiment["why"] for experiment in file["experiment"])
    for experiment in file["experiment"]:
        overrides = [*file["always"], *experiment.get("overrides", [])]
        recipe = model.read(experiment.get("recipe", file["recipe"]), overrides)
        assert recipe.task == task and recipe.minutes is None


def test_a_discriminator_of_one_size_does_not_go_with_growing_patches():
    sizes = ['discriminator={name="dcgan.Discriminator", in_channels=3, size=[96,96]}', "data.patch=24"]
    model.read("srgan-x4", sizes)
    with pytest.raises(
        UsageError, match=r"1 mistake.*discriminator\.size: is \[96, 96\], but phases\.0\.patch asks for"
    ):
        model.read("srgan-x4", [*sizes, "phases=[{begin=0.5, patch=32}]"])
