"""`mezzotint train` from pictures to a model that other commands take; its mistakes; its signals."""

import contextlib
import io
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mezzotint.card import read_card
from mezzotint.cli import main

TINY = [
    "generator.channels=4", "generator.num_blocks=1", "phases=[]", "data.patch=6", "data.batch=2",
    "validations=1", "log_every=1",
]  # fmt: skip


def command(*arguments):
    """Exit code, stdout and stderr of `mezzotint train ...`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(["train", *map(str, arguments)])
    return end.value.code or 0, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(random.integers(0, 256, (40, 48, 3), np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, pictures):
    """A run of three steps: its folder and what the command printed."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    code, out, err = command("compact-x4", *TINY, "steps=3", "--data", pictures, "-o", folder, "--threads", 1, "--json")
    assert code == 0, err
    return folder, out


def test_the_run_folder_holds_what_it_promises(finished):
    folder, _ = finished
    names = {"recipe.json", "log.jsonl", "checkpoint.safetensors", "samples", "weights.safetensors", "weights.onnx"}
    assert names <= {path.name for path in folder.iterdir()}
    assert not [path.name for path in folder.rglob("*") if path.name.startswith(".")]
    assert json.loads((folder / "recipe.json").read_text())["recipe"]["generator"]["channels"] == 4
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3] and lines[-1]["validation"]["psnr_y"] > 5
    assert [path.name for path in (folder / "samples").iterdir()] == ["00000003.png"]


def test_json_is_the_card_in_both_files(finished):
    folder, out = finished
    card = json.loads(out)
    assert out.count("\n") == 1
    assert (card["name"], card["steps"], card["scale"], card["data"]) == (
        "small",
        3,
        4,
        f"3 images of {name_of_data(folder)}",
    )
    assert card["metrics"]["validation"]["psnr_y"] > 5 and card["parameters"] > 0
    for name in ("weights.safetensors", "weights.onnx"):
        assert json.loads(read_card(folder / name).to_json()) == card


def name_of_data(folder):
    return json.loads((folder / "recipe.json").read_text())["data"][0].rpartition("/")[2]


@pytest.mark.parametrize("place", ["", "weights.onnx", "weights.safetensors"])
def test_every_command_takes_the_run_and_either_file(finished, place):
    import mezzotint

    model = mezzotint.load(finished[0] / place)
    lr = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    assert model.card.name == "small" and np.asarray(model(lr)).shape == (36, 28, 3)


def test_an_existing_run_is_refused_and_kept(finished, pictures):
    folder, _ = finished
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    code, out, err = command("compact-x4", *TINY, "steps=3", "--data", pictures, "-o", folder)
    assert code == 2 and not out and "already holds a run" in err and "--resume" in err and err.count("\n") == 1
    code, _, err = command("compact-x4", *TINY, "steps=3", "seed=1", "--data", pictures, "-o", folder, "--resume")
    assert code == 2 and "another recipe: seed differ" in err
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_dry_run_prints_the_whole_recipe_and_makes_nothing(tmp_path):
    code, out, _ = command("compact-x4", *TINY, "--minutes", 3, "--dry-run", "-o", tmp_path / "run")
    recipe = json.loads(out)
    assert code == 0 and (recipe["minutes"], recipe["generator"]["channels"], recipe["ema"]) == (3, 4, 0.999)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compact-x5", "--data", ".", "-o", "run"], 2, "compact-x2, compact-x3, compact-x4"),
        (["compact-x4", "-o", "run"], 2, "needs --data PATH"),
        (["compact-x4", "--data", "."], 2, "-o RUN"),
        (["compact-x4", "stepz=3", "--data", ".", "-o", "run"], 2, "stepz: there is no such key"),
        (["compact-x4", "steps=-3", "data.batch=0", "--dry-run"], 2, "2 mistake(s)"),
        (["compact-x4", "--data", "nowhere", "-o", "run"], 3, "cannot read nowhere: No such file"),
        (["compact-x4", "--data", ".", "-o", "run"], 3, "no images in ."),
        (["none.toml", "--data", ".", "-o", "run"], 3, "cannot read recipe none.toml"),
        (["compact-x4", "--minutes", "0", "--data", ".", "-o", "run"], 2, "--minutes"),
        (["compact-x4", "--mintes", "3"], 2, "--mintes"),
    ],
)
def test_mistakes_are_told_before_any_work(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    found, out, err = command(*arguments)
    assert (found, out) == (code, "") and message in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_before_training_begins_has_its_exit_code_too(monkeypatch, number, code):
    from mezzotint.training import run

    monkeypatch.setattr(run, "train", lambda *arguments, **options: signal.raise_signal(number))
    found, _, err = command("compact-x4", "--data", "x", "-o", "run")
    assert found == code and "--resume goes on with what run holds" in err


# One process imports torch and forks a child for each signal, which is sent when the run has got to a certain point.
SIGNALS = """
import contextlib, io, os, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from mezzotint.cli import main
from mezzotint.training import checkpoint, run

torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # loads what torch loads late
arguments, folder = sys.argv[1:], Path(sys.argv[sys.argv.index("-o") + 1])

def life(number, ready, *more):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 2)
        try:
            main(["train", *arguments, *more])
        except SystemExit as end:
            os._exit(end.code or 0)
        finally:
            os._exit(99)
    os.close(write)
    while not ready():
        time.sleep(0.001)
        assert os.waitpid(child, os.WNOHANG) == (0, 0), os.read(read, 10_000).decode()
    os.kill(child, number)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    state = folder / "checkpoint.safetensors"
    print(code, checkpoint.read_state(state)["step"] if state.exists() else "none", os.read(read, 10_000).decode().strip())

log = folder / "log.jsonl"
lines = lambda: log.read_text().count(chr(10)) if log.exists() else 0
life(signal.SIGTERM, lambda: lines() >= 3)
before = lines()
life(signal.SIGINT, lambda: lines() >= before + 3, "--resume")
"""


def test_a_signal_saves_and_ends_with_its_exit_code_and_resume_goes_on(pictures, tmp_path):
    arguments = [
        "compact-x4",
        *TINY,
        "steps=1000000",
        "--data",
        pictures,
        "-o",
        tmp_path / "run",
        "--threads",
        "1",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (first, step, *said), (second, later, *_) = (line.split() for line in done.stdout.splitlines())
    assert (first, second) == ("143", "130")
    assert 3 <= int(step) < int(later) - 2
    assert " ".join(said) == f"mezzotint: error: stopped at step {step}, state saved; add --resume to go on"


def test_rescue_is_for_generators_and_needs_no_more_than_the_word(pictures, tmp_path):
    code, _, err = command("compact-x4", *TINY, "--data", pictures, "-o", tmp_path / "sr", "--rescue")
    assert code == 2 and "--rescue is for generators" in err and not (tmp_path / "sr").exists()
    sizes = [f"{part}=[8,8]" for part in ("data.size", "generator.size", "discriminator.size")]
    narrow = ["channels=8", "latent_dim=4"]
    facts = [*sizes, *(f"generator.{fact}" for fact in narrow), "discriminator.channels=8", "data.batch=2", "steps=12"]
    code, _, err = command("dcgan-64", *facts, "--data", pictures, "-o", tmp_path / "gan", "--rescue")
    assert code == 0, err
    log = [json.loads(line) for line in (tmp_path / "gan" / "log.jsonl").read_text().splitlines()]
    assert any("diversity" in line.get("doctor", {}) for line in log)


def test_a_run_that_diverged_unnoticed_leaves_no_weights(pictures, tmp_path):
    """One step with an absurd rate: no loss shows it, for the next would have."""
    settings = [*TINY, "steps=1", "optimizer.generator.learning_rate=1e30"]
    code, _, err = command("compact-x4", *settings, "--data", pictures, "-o", tmp_path / "run", "--threads", 1)
    assert code == 8 and "not finite" in err and "optimizer.generator.learning_rate" in err
    assert not list((tmp_path / "run").glob("weights*"))


def test_a_batch_that_no_memory_holds_is_refused_at_once(pictures, tmp_path):
    code, _, err = command("compact-x4", "data.batch=100000000", "--data", pictures, "-o", tmp_path / "run")
    assert code == 2 and "data.batch" in err and not (tmp_path / "run").exists()
