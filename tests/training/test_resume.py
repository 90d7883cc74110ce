"""Runs killed with SIGKILL at random instants and resumed end with weights byte-identical to an uninterrupted run."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.models.srresnet import SRResNet
from mezzotint.models.weights import save

TINY_SR = [
    "generator.channels=4",
    "generator.num_blocks=1",
    "phases=[]",
    "data.patch=6",
    "data.batch=2",
    "steps=60",
    "validations=4",
]
TINY = {
    "regression": ["compact-x4", *TINY_SR],
    "gan": [
        "fashion-28", "generator.widths=[8,8]", "discriminator.widths=[8,8]", "data.size=[12,10]", "generator.size=[12,10]",
        "discriminator.size=[12,10]", "generator.num_classes=2", "discriminator.num_classes=2", "data.class_names=[]",
        "data.batch=16", "steps=60", "validations=3", "data.held_out=0.2", 'method.augment=["translate", "zoom", "cutout"]',
        "method.adaptive=0.1", "ramps.augment=[0.1, 0.5]", "ramps.penalties=[2.0, 0.5]", "ramps.second_beta=[0.9, 0.99]",
    ],
    "srgan": ["srgan-x4", *TINY_SR, "discriminator.channels=4", "start=START", "generator.bilinear_start=false"],
}  # fmt: skip
KILLS = 20

# Imports torch once, then forks a child for each life of a run: a kill and a fresh start cost milliseconds, not seconds. One
# run is left alone; its twin is killed at random instants, some before its first checkpoint, most at any moment of a life
# that has trained for at least a step, and is left to finish in the end. Prints the steps at which it was killed. Random
# instants come from a seed, so that a failure is likely to repeat.
DRIVER = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from mezzotint.training.checkpoint import read_state
from mezzotint.training.run import train
from mezzotint.export import export

recipe, overrides, data, whole, broken, kills = sys.argv[1], sys.argv[2].split(";"), *sys.argv[3:6], int(sys.argv[6])
# Makes torch load the much it loads late, which every child would load again.
torch.optim.Adam([torch.zeros(1, requires_grad=True)])
export(sys.argv[7], Path(sys.argv[7]).with_name("warm.onnx"), overwrite=True)
checkpoint = Path(broken) / "checkpoint.safetensors"
random.seed(recipe)

def live(out):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        train(recipe, data, out, overrides=overrides, resume=True, threads=1, quiet=True)
        status = 0
    finally:
        os._exit(status)

def saved_at():
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

assert os.waitpid(live(whole), 0)[1] == 0
minutes = [json.loads(line)["minutes"] for line in (Path(whole) / "log.jsonl").read_text().splitlines()]
longest = 60 * (minutes[-1] - minutes[0]) * 1.5 / kills
for kill in range(kills):
    before, child = saved_at(), live(broken)
    if kill % 5:
        while saved_at() == before:
            time.sleep(0.0005)
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "ended by itself"
    time.sleep(random.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    print(read_state(checkpoint)["step"] if checkpoint.exists() else 0)
assert os.waitpid(live(broken), 0)[1] == 0
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
def start(tmp_path_factory):
    """Weights for srgan to start from."""
    path = tmp_path_factory.mktemp("start") / "weights.safetensors"
    arguments = {"channels": 4, "num_blocks": 1, "batch_norm": False}
    network = SRResNet(**arguments)
    save(network, Card("start", SUPER_RESOLUTION, "srresnet.SRResNet", arguments, scale=4, halo=network.halo), path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("method", TINY)
def test_twenty_kills_change_no_byte(method, pictures, start, tmp_path):
    recipe, *overrides = [part.replace("START", str(start)) for part in TINY[method]]
    settings = ";".join(["checkpoint_seconds=0", "log_every=5", *overrides])
    # Weights carry the name of their run, so both runs have the same.
    whole, broken = tmp_path / "whole" / "run", tmp_path / "broken" / "run"
    command = [sys.executable, "-c", DRIVER, recipe, settings, pictures, whole, broken, KILLS, start]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    killed_at = [int(step) for step in done.stdout.split()]
    assert len(killed_at) == KILLS and len({step for step in killed_at if 0 < step < 60}) >= 8, killed_at
    for name in ("weights.safetensors", "weights.onnx"):
        assert sha256(whole / name) == sha256(broken / name), name
    steps = [line.partition(",")[0] for line in (broken / "log.jsonl").read_text().splitlines()]
    assert steps == [line.partition(",")[0] for line in (whole / "log.jsonl").read_text().splitlines()]
