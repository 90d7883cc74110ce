"""Two processes on the CPU train what one trains, and end together when one of them does."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.errors import UsageError
from mezzotint.models.compact import Compact
from mezzotint.models.weights import save
from mezzotint.training.checkpoint import read_state
from mezzotint.training.distributed import Team, gather
from mezzotint.training.loop import CHECKPOINT
from mezzotint.training.run import train

TINY_SR = ["generator.channels=4", "generator.num_blocks=1", "phases=[]", "data.patch=6", "data.batch=4"]
TINY = {
    "regression": ["compact-x4", *TINY_SR],
    "gan": [
        "fashion-28", "generator.widths=[8,8]", "discriminator.widths=[8,8]", "data.size=[12,10]", "generator.size=[12,10]",
        "discriminator.size=[12,10]", "generator.num_classes=2", "discriminator.num_classes=2", "data.class_names=[]",
        "data.batch=8", 'method.penalties={"regularization.r1"=1.0, "regularization.gradient_penalty"=1.0}',
    ],
    "srgan": [
        "srgan-x4", 'generator={name="compact.Compact",channels=4,num_blocks=1}', *TINY_SR[2:], "discriminator.channels=4",
        # Most games do not see the last bias; what they leave of its gradient is rounding, which Adam makes a step of.
        "start=START", "method.game=adversarial.non_saturating",
        'method.penalties={"regularization.gradient_penalty"=1.0}',
    ],
}  # fmt: skip

# Imports torch once and forks a child for each process of each run. "one" and "two" take a few steps by each recipe of the
# command line with as many processes; "whole" and "broken" take more by the GAN's, with two, and the second process of
# "broken" is killed once, whereupon the first must end by itself.
DRIVER = """
import json, os, signal, socket, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from mezzotint.models.weights import save
from mezzotint.training import run
from mezzotint.training.checkpoint import read_state

# Makes torch load the much it loads late, which every child would load again.
torch.optim.Adam([torch.zeros(1, requires_grad=True)])
# The export to ONNX costs seconds and is not the matter here.
run._export = lambda generator, card, folder: save(generator, card, folder / "weights.safetensors")

def life(out, recipe, *overrides, ranks):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(ranks):
        children.append(os.fork())
        if children[-1]:
            continue
        status = 1
        try:
            os.environ |= {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port),
                "RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(ranks)}
            settings = ["precision=f32", "checkpoint_seconds=0", "log_every=1", "validations=2", *overrides]
            run.train(recipe, data, out, overrides=settings, resume=True, threads=1, quiet=True)
            status = 0
        finally:
            os._exit(status)
    return children

def ends(children):
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

data, folder = sys.argv[1], Path(sys.argv[2])
for method, tiny in json.loads(sys.argv[3]).items():
    tiny = [setting.replace("START", sys.argv[4]) for setting in tiny]
    out = {name: folder / method / name / "run" for name in ("one", "two", "whole", "broken")}
    assert ends(life(out["one"], *tiny, "steps=4", ranks=1)) == [0]
    assert ends(life(out["two"], *tiny, "steps=4", ranks=2)) == [0, 0]
    if method != "gan":
        continue
    assert ends(life(out["whole"], *tiny, "steps=15", ranks=2)) == [0, 0]
    children, saved = life(out["broken"], *tiny, "steps=15", ranks=2), out["broken"] / "checkpoint.safetensors"
    while not saved.exists() or read_state(saved)["step"] < 2:
        time.sleep(0.001)
    os.kill(children[1], signal.SIGKILL)
    assert ends(children) == [1, -signal.SIGKILL]
    assert 2 <= read_state(saved)["step"] < 15
    assert ends(life(out["broken"], *tiny, "steps=15", ranks=2)) == [0, 0]
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for index in range(8):
        target = folder / str(index % 2)
        target.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 48, 3), np.uint8)).save(target / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def runs(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    network = Compact(channels=4, num_blocks=1, reparameterized=False)
    arguments = {**network.arguments, "reparameterized": False}
    start = folder / "weights.safetensors"
    save(network, Card("start", SUPER_RESOLUTION, "compact.Compact", arguments, scale=4, halo=network.halo), start)
    command = [sys.executable, "-c", DRIVER, pictures, folder, json.dumps(TINY), start]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("method", TINY)
def test_two_processes_equal_one_with_the_same_batch(method, runs):
    one, two = (load_file(runs / method / name / "run" / CHECKPOINT) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-3, atol=2e-5, msg=lambda text, key=key: f"{key}: {text}")


def test_two_processes_resume_to_the_same_bytes(runs):
    whole, broken = (runs / "gan" / name / "run" for name in ("whole", "broken"))
    assert (whole / "weights.safetensors").read_bytes() == (broken / "weights.safetensors").read_bytes()
    once, again = load_file(whole / CHECKPOINT), load_file(broken / CHECKPOINT)
    assert once.keys() == again.keys() and all(torch.equal(value, again[key]) for key, value in once.items())


# Process argv[1] of a run sends itself the signal argv[2] when the checkpoint argv[3] is there. The rest is for mezzotint.
SIGNALLED = """
import os, signal, sys, threading, time
from pathlib import Path

def strike():
    while not Path(sys.argv[3]).exists():
        time.sleep(0.01)
    os.kill(os.getpid(), int(sys.argv[2]))

if os.environ["RANK"] == sys.argv[1]:
    threading.Thread(target=strike, daemon=True).start()
from mezzotint.cli import main
main(sys.argv[4:])
"""


def torchrun(tmp_path, number, pictures, *settings):
    """Start two processes by torchrun, of which the second one gets a signal; exit code, stderr and the run folder."""
    program, run = tmp_path / "signalled.py", tmp_path / "run"
    program.write_text(SIGNALLED)
    recipe, *tiny = TINY["regression"]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, program, 1, number,
        run / CHECKPOINT, "train", recipe, "--data", pictures, "-o", run, *tiny, "checkpoint_seconds=0", *settings,
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr, run


def test_a_process_that_is_killed_ends_all_with_one_message_and_a_state_to_go_on_from(tmp_path, pictures):
    code, errors, run = torchrun(tmp_path, 9, pictures, "steps=1000000")
    assert code != 0
    (message,) = [line for line in errors.splitlines() if line.startswith("mezzotint: error:")]
    step = read_state(run / CHECKPOINT)["step"]
    assert "another process of the run has ended" in message and f"add --resume to go on from step {step}" in message
    # In one process, which is the same run.
    recipe, *tiny = TINY["regression"]
    card = train(recipe, pictures, run, overrides=[*tiny, f"steps={step + 3}"], resume=True, threads=1, quiet=True)
    assert card.steps == step + 3


def test_a_signal_to_one_process_saves_and_ends_all(tmp_path, pictures):
    code, errors, run = torchrun(tmp_path, 15, pictures, "steps=1000000")
    assert code != 0
    step = read_state(run / CHECKPOINT)["step"]
    (message,) = [line for line in errors.splitlines() if line.startswith("mezzotint: error:")]
    assert message == f"mezzotint: error: stopped at step {step}, state saved; add --resume to go on"
    assert "exitcode  : 143" in errors


def test_noise_is_the_share_of_what_one_process_draws():
    def draw():
        torch.manual_seed(0)
        return torch.randn(count, 3), torch.rand((count, 2, 1)), torch.rand(())

    count = 6
    whole = draw()
    count = 2
    for rank in range(3):
        with Team(rank, 3).noise():
            normal, uniform, scalar = draw()
        assert torch.equal(normal, whole[0][rank::3]) and torch.equal(uniform, whole[1][rank::3])
        assert scalar == whole[2]


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch):
    started = {"TORCHELASTIC_RUN_ID": "test", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        UsageError, match=r"2 processes cannot share a batch of 15 evenly; set data\.batch to a multiple"
    ):
        gather(16, 15)


def test_alone_there_is_nothing_to_exchange():
    team, weight = Team(), torch.ones(2, requires_grad=True)
    weight.sum().backward()
    team.average_gradients([weight])
    assert torch.equal(weight.grad, torch.ones(2)) and team.mean(0.5) == team.first(0.5) == 0.5 and team.agree(3)
    assert team.leads and team.share == (0, 1)
