"""`auto`: which settings are tried, what a run folder keeps of the choice, and one run from pictures to weights."""

import contextlib
import io
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint.cli import main
from mezzotint.errors import InputError, UsageError
from mezzotint.recipes import model
from mezzotint.training import auto, trial


def pictures(folder, count=20, size=(10, 12), **options):
    """Noise, width x height."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(random.integers(0, 256, (*size[::-1], 3), np.uint8)).save(
            folder / f"{index:03d}.png", **options
        )
    return folder


def command(*arguments):
    """Exit code, stdout and stderr of `mezzotint train auto ...`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(["train", "auto", *map(str, arguments)])
    return end.value.code or 0, out.getvalue(), err.getvalue()


@pytest.fixture
def tried(monkeypatch):
    """The sizes that were timed; each step up is said to be ten times slower."""
    seen = []

    def speed(recipe, device, seconds):
        seen.append(tuple(recipe.data.size))
        return 1e5 / 10 ** len(seen)

    monkeypatch.setattr(auto, "images_per_second", speed)
    return seen


def test_it_climbs_until_the_time_does_not_suffice_and_takes_the_last_that_does(tmp_path, tried):
    recipe, reasons = auto.choose([pictures(tmp_path / "a", 20, (150, 150))], minutes=60, quiet=True, threads=1)
    # 90 images a second do, 9 do not.
    assert tried == [(32, 32), (48, 48), (64, 64), (96, 96)] and recipe.data.size == (64, 64) and recipe.minutes == 60
    assert any(
        "320,000 images in 60 minutes are enough" in line and "96x96 would see 32,000" in line for line in reasons
    )


def test_a_machine_that_is_slow_is_not_tried_for_long(tmp_path, tried, monkeypatch):
    monkeypatch.setattr(auto, "_SECONDS", 0.0)
    recipe, _ = auto.choose([pictures(tmp_path / "a", 20, (150, 150))], minutes=60, quiet=True, threads=1)
    assert tried == [(32, 32)] and recipe.data.size == (32, 32)


def test_a_setting_that_does_not_fit_into_memory_is_passed_over(tmp_path, monkeypatch):
    def speed(recipe, device, seconds):
        return 1e6 if recipe.data.size == (32, 32) else 0.0

    monkeypatch.setattr(auto, "images_per_second", speed)
    recipe, _ = auto.choose([pictures(tmp_path / "a", 20, (150, 150))], quiet=True, threads=1)
    assert recipe.data.size == (32, 32) and recipe.minutes == auto.MINUTES

    def build(recipe, device):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(trial, "build", build)
    assert trial.images_per_second(recipe, torch.device("cpu"), 1.0) == 0


def test_trials_are_real_steps_and_count_images(tmp_path):
    recipe, _ = auto.choose([pictures(tmp_path / "a")], minutes=0.01, quiet=True, threads=1)
    whole, steps = trial.build, []

    def build(recipe, device):
        method, card = whole(recipe, device)
        step = method.step
        method.step = lambda *arguments: steps.append(1) or step(*arguments)
        return method, card

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "build", build)
        patch.setattr(trial.time, "perf_counter", lambda: float(len(steps)))  # every step takes a second
        assert trial.images_per_second(recipe, torch.device("cpu"), 5.0) == recipe.data.batch
    assert 5 <= len(steps) <= 7


def test_overrides_are_heeded(tmp_path, tried):
    recipe, _ = auto.choose(
        [pictures(tmp_path / "a")], overrides=["seed=3", "data.augment=false"], quiet=True, threads=1
    )
    assert recipe.seed == 3 and not recipe.data.augment


def test_a_dry_run_prints_a_recipe_to_copy_and_makes_nothing(tmp_path, tried):
    data = pictures(tmp_path / "a")
    code, out, err = command("--data", data, "--minutes", 5, "--dry-run", "--threads", 1, "-o", tmp_path / "run")
    assert code == 0 and "found: 20 colour pictures, 10x12" in err and "expect:" in err
    (tmp_path / "mine.toml").write_text(out)
    recipe = model.read(tmp_path / "mine.toml")
    assert recipe.data.size == (12, 10) and recipe.minutes == 5 and out.startswith("# found: 20 colour")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "mine.toml"]


@pytest.mark.parametrize(
    ("count", "arguments", "code", "message"),
    [
        (15, ["-o", "run"], 3, "15 pictures are too few"),
        (0, ["-o", "run"], 3, "no images in"),
        (20, [], 2, "-o RUN"),
        (20, ["-o", "run", "data.size=[9,9]"], 2, "generator.size: is"),
    ],
)
def test_mistakes_are_told_and_leave_nothing_behind(tmp_path, monkeypatch, tried, count, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "a", count)
    found, out, err = command("--data", "a", "--threads", 1, *arguments)
    assert (found, out) == (code, "") and message in err
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_without_pictures_there_is_nothing_to_choose_for():
    code, _, err = command("--dry-run")
    assert code == 2 and "--data PATH" in err


def test_a_folder_that_holds_a_run_is_refused_before_anything_is_looked_at(tmp_path, tried):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text("precious")
    with pytest.raises(UsageError, match=r"already holds a run \(log\.jsonl\); add --resume"):
        auto.choose(["nowhere"], tmp_path / "run")
    (tmp_path / "run" / "recipe.json").write_text("{")
    with pytest.raises(InputError, match=r"recipe\.json is damaged"):
        auto.choose(["nowhere"], tmp_path / "run", resume=True)
    assert not tried


def test_several_processes_are_told_to_choose_first(monkeypatch):
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"--dry-run > my\.toml"):
        auto.choose(["nowhere"])


def test_from_pictures_to_weights_and_on_with_the_recipe_that_was_chosen(tmp_path, monkeypatch):
    """Sub-folders are classes, sizes differ; the second time nothing is tried."""
    monkeypatch.setattr(auto, "_EACH", 0.01)
    for name, size in (("cats", (12, 12)), ("dogs", (14, 11))):
        pictures(tmp_path / "data" / name, 60, size)
    run = tmp_path / "run"
    code, out, err = command("--data", tmp_path / "data", "-o", run, "--minutes", 0.01, "--threads", 1)
    assert code == 0, err
    assert "labels: used, each class has 60 pictures" in err and "try: mezzotint inspect" in out
    assert {"recipe.toml", "recipe.json", "report.html", "weights.onnx"} <= {path.name for path in run.iterdir()}
    text = (run / "recipe.toml").read_text()
    recipe = model.read(run / "recipe.toml")
    assert text.startswith("# found: 120 colour pictures") and recipe.generator.arguments["num_classes"] == 2
    assert json.loads((run / "recipe.json").read_text())["recipe"] == recipe.model_dump(mode="json")
    assert "finished" in (run / "report.html").read_text()
    monkeypatch.setattr(auto, "images_per_second", lambda *arguments: pytest.fail("tried again"))
    code, _, err = command("--data", tmp_path / "data", "-o", run, "--minutes", 0.012, "--threads", 1, "--resume")
    assert code == 0, err
    assert "going on with the recipe" in err and (run / "recipe.toml").read_text() == text
    assert json.loads((run / "recipe.json").read_text())["recipe"]["minutes"] == 0.012
