"""What a run checks before it trains, and what it keeps about itself. Training and export are left out here."""

import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint import catalog
from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.errors import InputError, InterruptedRun, OutputError, UsageError
from mezzotint.image.resize import imresize
from mezzotint.models.compact import Compact
from mezzotint.models.weights import save
from mezzotint.recipes import model
from mezzotint.training import loop, run
from mezzotint.training.distributed import Team

TINY = [
    "generator.channels=4", "generator.num_blocks=1", "generator.reparameterized=false", "phases=[]",
    "data.patch=6", "data.batch=2", "steps=3", "validations=1", "checkpoint_seconds=0",
]  # fmt: skip
CLOTHES = [
    "data.size=[8,8]", "generator.size=[8,8]", "discriminator.size=[8,8]", "generator.num_classes=2", "data.class_names=[]",
    "discriminator.num_classes=2", "generator.widths=[4]", "discriminator.widths=[4]", "steps=1", "data.batch=4",
]  # fmt: skip


@pytest.fixture(autouse=True)
def trained(monkeypatch):
    """What `fit` was given, which trains nothing, and the card that `_export` got."""
    seen = {}

    def fit(method, batches, recipe, folder, device, **options):
        seen.update(method=method, batches=batches, **options)
        (folder / loop.CHECKPOINT).write_bytes(b"state")
        return loop.State(step=3)

    monkeypatch.setattr(run, "fit", fit)
    monkeypatch.setattr(run, "_export", lambda generator, card, folder: card)
    return seen


@pytest.fixture
def pictures(tmp_path):
    return pictures_in(tmp_path / "pictures", 6)


def pictures_in(folder, count, size=(48, 40)):
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(random.integers(0, 256, (*size[::-1], 3), np.uint8)).save(folder / f"{index}.png")
    return folder


def train(data, out, recipe="compact-x4", overrides=TINY, **options):
    return run.train(recipe, data, out, overrides=overrides, threads=1, quiet=True, **options)


def test_a_record_says_what_was_asked_for_on_which_images(pictures, tmp_path):
    (pictures / "broken.png").write_bytes(b"")
    card = train(pictures, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert record["recipe"]["steps"] == 3 and record["data"] == [str(pictures)] and record["images"] == 5
    assert record["versions"]["torch"] == torch.__version__
    assert len(record["left_out"]) == 1 and "broken.png" in record["left_out"][0]
    assert (card.name, card.steps, card.data) == ("run", 3, "5 images of pictures")
    assert (card.task, card.scale, card.halo, card.labels) == (SUPER_RESOLUTION, 4, 5, ())


def test_one_image_is_held_out_to_choose_the_best_weights_by(pictures, tmp_path, trained):
    train(pictures, tmp_path / "run")
    assert trained["batches"][0].hr.names == [f"{index}.png" for index in range(1, 6)]
    validation = pictures_in(tmp_path / "validation", 2, size=(64, 64))
    train(pictures, tmp_path / "other", validation=validation)
    assert len(trained["batches"][0].hr) == 6


def test_a_single_picture_is_not_enough_without_validation(tmp_path):
    lonely = pictures_in(tmp_path / "lonely", 1)
    with pytest.raises(InputError, match=r"0\.png is the only usable image"):
        train(lonely, tmp_path / "run")
    train(lonely, tmp_path / "run", validation=pictures_in(tmp_path / "v", 1, size=(64, 64)))


@pytest.mark.parametrize("minutes", [None, 7.5])
def test_a_recipe_value_takes_overrides_and_minutes_too(pictures, tmp_path, minutes):
    train(pictures, tmp_path / "run", model.read("compact-x4", TINY), ["seed=5"], minutes=minutes)
    record = json.loads((tmp_path / "run" / "recipe.json").read_text())["recipe"]
    assert (record["seed"], record["minutes"], record["steps"]) == (5, minutes, 3)


@pytest.mark.parametrize("mistake", ["no data", "no folder", "small pictures"])
def test_a_mistake_in_the_data_leaves_nothing_behind(pictures, tmp_path, mistake):
    data = {
        "no data": tmp_path,
        "no folder": tmp_path / "nowhere",
        "small pictures": pictures_in(tmp_path / "small", 3, size=(20, 20)),
    }[mistake]
    if mistake == "no data":
        data = tmp_path / "empty"
        data.mkdir()
    with pytest.raises(InputError):
        train(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(pictures, tmp_path / "run")


@pytest.mark.parametrize(
    ("overrides", "remedy"),
    [
        ([], r"set phases=\[\] to stay at data.patch, 8, where phases of the recipe go up to 64"),
        (["phases=[]", "data.patch=16"], r"set a smaller data\.patch than 16"),
    ],
)
def test_pictures_too_small_for_a_patch_are_told_the_remedy(pictures, tmp_path, overrides, remedy):
    tiny = [setting for setting in TINY if setting not in ("phases=[]", "data.patch=6")]
    with pytest.raises(InputError, match=rf"6 of 6 .* too small: 48 x 40, needs (256 x 256|64 x 64); .*{remedy}"):
        train(pictures, tmp_path / "run", overrides=[*tiny, "data.patch=8", *overrides])


@pytest.mark.parametrize(
    "name", ["recipe.json", "checkpoint.safetensors", "log.jsonl", "weights.safetensors", "weights.onnx"]
)
def test_a_folder_that_holds_something_of_a_run_is_never_trained_over(pictures, tmp_path, name):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / name).write_text("precious")
    with pytest.raises(UsageError, match=rf"already holds a run \({name}\); add --resume"):
        train(pictures, folder)
    with pytest.raises(InputError, match=r"recipe\.json"):
        train(pictures, folder, resume=True)
    assert (folder / name).read_text() == "precious" and len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"recipe": 3}', '{"recipe": {"seed"'])
def test_a_damaged_record_is_one_clear_error(pictures, tmp_path, record):
    train(pictures, tmp_path / "run")
    (tmp_path / "run" / "recipe.json").write_text(record)
    with pytest.raises(InputError, match=r"recipe\.json is damaged"):
        train(pictures, tmp_path / "run", resume=True)


def test_resuming_goes_on_with_the_same_recipe_and_images_alone(pictures, tmp_path, trained):
    train(pictures, tmp_path / "run", resume=True)  # nothing there yet: it starts
    assert trained["resume"] is False
    train(pictures, tmp_path / "run", resume=True)
    assert trained["resume"] is True
    train(pictures, tmp_path / "run", overrides=[*TINY, "steps=9", "log_every=2"], resume=True)
    with pytest.raises(UsageError, match="another recipe: seed, generator differ"):
        train(pictures, tmp_path / "run", overrides=[*TINY, "generator.channels=5", "seed=3"], resume=True)
    moved = pictures.rename(tmp_path / "moved")
    train(moved, tmp_path / "run", resume=True)
    (moved / "5.png").unlink()
    with pytest.raises(UsageError, match="trained on 5 images, these 4 are others"):
        train(moved, tmp_path / "run", resume=True)


def test_other_images_by_the_same_names_are_other_images(pictures, tmp_path):
    train(pictures, tmp_path / "run")
    for path in pictures.iterdir():
        with Image.open(path) as image:
            darker = image.point(lambda value: value // 2)
        darker.save(path)
    with pytest.raises(UsageError, match="names and sizes that looked different"):
        train(pictures, tmp_path / "run", resume=True)


def test_a_record_from_before_a_key_existed_can_be_resumed(pictures, tmp_path, trained):
    train(pictures, tmp_path / "run")
    path = tmp_path / "run" / "recipe.json"
    record = json.loads(path.read_text())
    del record["brightness"]
    del record["recipe"]["data"]["mix"], record["recipe"]["degradation"]
    path.write_text(json.dumps(record))
    train(pictures, tmp_path / "run", resume=True)
    assert trained["resume"] is True
    with pytest.raises(UsageError, match="another recipe: data differ"):
        train(pictures, tmp_path / "run", overrides=[*TINY, "data.mix={mixup=0.5}"], resume=True)


def test_a_run_killed_before_its_first_checkpoint_starts_again(pictures, tmp_path, trained):
    train(pictures, tmp_path / "run")
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    train(pictures, tmp_path / "run", resume=True)
    assert trained["resume"] is False


def test_an_output_that_cannot_be_made_is_told(pictures, tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OutputError, match="file"):
        train(pictures, tmp_path / "file" / "run")


def test_a_recipe_that_starts_from_anothers_weights_says_to_train_them_first(pictures, tmp_path, monkeypatch):
    for features in catalog.SHIPPED.glob("compact-x4.*"):
        shutil.copy(features, tmp_path)
    monkeypatch.setattr(catalog, "SHIPPED", tmp_path)
    with pytest.raises(UsageError, match="weights of srresnet-x4: train that first, then set start=RUN"):
        train(pictures, tmp_path / "run", "srgan-x4", ["data.patch=6", "steps=1"])


def start_weights(path, channels=4):
    network = Compact(channels=channels, num_blocks=1, reparameterized=False)
    arguments = {**network.arguments, "reparameterized": False}
    save(network, Card("start", SUPER_RESOLUTION, "compact.Compact", arguments, scale=4, halo=5), path)
    return network


def test_training_starts_from_weights_and_resumes_without_them(pictures, tmp_path, trained):
    source = tmp_path / "start.safetensors"
    network = start_weights(source)
    recipe = [*TINY, f"start={source}"]
    train(pictures, tmp_path / "run", overrides=recipe)
    state = trained["method"].generator.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    source.unlink()
    train(pictures, tmp_path / "run", overrides=recipe, resume=True)


def test_weights_that_do_not_fit_are_one_line(pictures, tmp_path):
    start_weights(tmp_path / "start.safetensors", channels=5)
    with pytest.raises(UsageError, match="do not fit the recipe's generator") as error:
        train(pictures, tmp_path / "run", overrides=[*TINY, f"start={tmp_path / 'start.safetensors'}"])
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"no such model file: .*gone\.safetensors"):
        train(pictures, tmp_path / "run", overrides=[*TINY, f"start={tmp_path / 'gone.safetensors'}"])
    with pytest.raises(UsageError, match="bicubic-x4 has no weights"):
        train(pictures, tmp_path / "run", overrides=[*TINY, "start=bicubic-x4"])


@pytest.mark.parametrize("name", model.names())
def test_every_shipped_recipe_builds_without_the_weights_it_starts_from(name):
    method, card = run.build(model.read(name), torch.device("cpu"))
    assert card.network and method.generator is method.networks["generator"]


def test_what_a_method_reads_is_on_record_and_another_file_is_refused(pictures, tmp_path):
    """The same path, other weights."""
    teacher = tmp_path / "teacher.safetensors"
    start_weights(teacher)
    taught = [*TINY, "method.name=distillation.Distillation", f"method.teacher={teacher}"]
    card = train(pictures, tmp_path / "run", overrides=taught)
    sources = json.loads((tmp_path / "run" / "recipe.json").read_text())["sources"]
    assert list(sources) == ["teacher"] and card.recipe["sources"] == sources
    train(pictures, tmp_path / "run", overrides=taught, resume=True)
    start_weights(teacher, channels=5)
    with pytest.raises(
        UsageError, match="trained with another file for teacher; give that one, or choose another folder"
    ):
        train(pictures, tmp_path / "run", overrides=taught, resume=True)


def test_a_network_that_cannot_be_built_is_named():
    recipe = model.read("fashion-28", [*CLOTHES, "generator.latent_dim=1000000000000000"])
    with pytest.raises(UsageError, match="the recipe's generator cannot be built"):
        run.build(recipe, torch.device("cpu"))


def test_the_same_seed_builds_the_same_networks():
    def weights(seed):
        torch.manual_seed(seed)
        return run.build(model.read("compact-x4", TINY), torch.device("cpu"))[0].generator.head.weight

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def labelled(tmp_path, *names):
    for name in names:
        pictures_in(tmp_path / "clothes" / name, 3, size=(9, 9))
    return tmp_path / "clothes"


def test_class_names_come_from_the_folders_or_the_recipe(tmp_path):
    data = labelled(tmp_path, "coat", "shoe")
    assert train(data, tmp_path / "a", "fashion-28", CLOTHES).labels == ("coat", "shoe")
    named = [*CLOTHES, 'data.class_names=["Mantel", "Schuh"]']
    assert train(data, tmp_path / "b", "fashion-28", named).labels == ("Mantel", "Schuh")
    free = [*CLOTHES, "generator.num_classes=0", "discriminator.num_classes=0"]
    assert train(data, tmp_path / "c", "fashion-28", free).labels == ()


def test_classes_of_recipe_and_data_must_agree(tmp_path):
    data = labelled(tmp_path, "coat", "shoe", "bag")
    with pytest.raises(UsageError, match=r"has 2 classes, the data 3; set generator\.num_classes and discriminator"):
        train(data, tmp_path / "run", "fashion-28", CLOTHES)
    with pytest.raises(InputError, match="2 classes and the data no labels"):
        train(data / "bag", tmp_path / "run", "fashion-28", CLOTHES)
    with pytest.raises(UsageError, match=r"data\.class_names has 1 names for 2 classes"):
        two = labelled(tmp_path / "two", "a", "b")
        train(two, tmp_path / "run", "fashion-28", [*CLOTHES, 'data.class_names=["one"]'])
    assert not (tmp_path / "run").exists()


def test_a_signal_ends_the_run_with_its_exit_code(pictures, tmp_path, monkeypatch):
    def fit(*arguments, interrupted, **options):
        assert not interrupted()
        # To this very thread, so that it has arrived: another one, on a busy machine, may take it when it is too late.
        signal.raise_signal(signal.SIGTERM)
        assert interrupted()
        return loop.State(step=2)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(run, "fit", fit)
    with pytest.raises(InterruptedRun, match="stopped at step 2, state saved; add --resume") as error:
        train(pictures, tmp_path / "run")
    assert error.value.exit_code == 143 and signal.getsignal(signal.SIGTERM) is before


def test_a_state_is_what_the_checkpoint_keeps():
    """A field less, or one more without a default, makes every checkpoint there is unreadable."""
    assert [field.name for field in dataclasses.fields(loop.State)] == [
        "step", "seconds", "skipped", "skipped_in_a_row", "score", "score_step", "health",
    ]  # fmt: skip


def paired(folder, change=lambda lr: lr):
    """Six pairs; `change` is what happened to their low-resolution sides."""
    for index in range(6):
        hr = imresize(np.random.default_rng(index).integers(0, 256, (12, 14, 3), np.uint8), size=(128, 144))
        for side, pixels in (("HR", hr), ("LR", change(imresize(hr, 1 / 4)))):
            (folder / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / side / f"{index}.png")
    return folder


def test_pairs_are_compared_before_training_and_used_as_they_are(tmp_path, trained, capsys):
    good = paired(tmp_path / "good", lambda lr: lr // 8 * 8)
    run.train("compact-x4", good, tmp_path / "run", overrides=TINY, validation=good, threads=1)
    assert len(trained["batches"][0].hr) == 6 and not (trained["batches"][0].lr.pixels % 8).any()
    assert "LR is not MATLAB's bicubic" in capsys.readouterr().err
    train(good, tmp_path / "silent")
    assert not capsys.readouterr().err and len(trained["batches"][0].hr) == 5
    with pytest.raises(InputError, match=r"first HR/1\.png, have their colours in another order \(BGR\)"):
        train(paired(tmp_path / "swapped", lambda lr: lr[..., ::-1]), tmp_path / "not")
    assert not (tmp_path / "not").exists()


def test_adaptive_augmentation_is_for_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "gather", lambda *batches: Team(rank=0, size=2, local_size=2))
    with pytest.raises(UsageError, match=r"method\.adaptive needs all images in one process"):
        run.train("clothes-64", tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_to_resume_is_said(pictures, tmp_path, capsys) -> None:
    for expected in (True, False):
        run.train("compact-x4", pictures, tmp_path / "run", overrides=TINY, resume=True)
        assert ("nothing to resume" in capsys.readouterr().err) is expected
