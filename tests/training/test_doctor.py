"""The doctor in the loop, around the smallest pair of networks. What it measures is scripted, but where it is the point."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from mezzotint.data.batches import Images
from mezzotint.data.images import ImageSet
from mezzotint.errors import DivergedError, UsageError
from mezzotint.recipes import model
from mezzotint.training.checkpoint import read_state
from mezzotint.training.distributed import Team
from mezzotint.training.doctor import Doctor, attending
from mezzotint.training.loop import CHECKPOINT, LOG, SOUND, fit
from mezzotint.training.run import build
from mezzotint.training.vitals import Vitals

CPU = torch.device("cpu")
WELL = {
    "logit_gap": 1.0, "separation": 0.8, "familiarity": 0.5, "diversity": 0.9, "duplicates": 0.0, "distance": 0.05,
    "copies": 1.0, "average_gap": 0.1, "sharpness": 0.0, "largest": 1.0,
}  # fmt: skip


class Scripted:
    """Vitals that are well but for what `ill(examination)` says, counted from 0."""

    def __init__(self, ill=lambda count: {}):
        self.ill, self.count = ill, 0

    def measure(self, generator, discriminator, average):
        self.count += 1
        return WELL | self.ill(self.count - 1)


class Tug:
    """A method: two networks, each pulled down for ever, with noise. `spoil(step)` gives a factor on the loss."""

    def __init__(self, spoil=lambda step: 1.0):
        torch.manual_seed(0)
        self.networks = {"generator": nn.Linear(1, 1), "discriminator": nn.Linear(1, 1)}
        self.generator, self.dials, self.spoil = self.networks["generator"], {"penalties": 1.0, "augment": 0.0}, spoil
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), 0.01) for name, network in self.networks.items()
        }
        self.seen = []

    def step(self, batch, update):
        rates = {group["lr"] for optimizer in self.optimizers.values() for group in optimizer.param_groups}
        self.seen.append((batch["step"], *rates, self.dials["penalties"], self.dials["augment"]))
        for name, network in self.networks.items():
            update(name, network(torch.randn(8, 1)).mean() * self.spoil(batch["step"]))
        return {}

    def weights(self):
        return [value.item() for network in self.networks.values() for value in network.parameters()]


class Steps:
    """Batches that know their step."""

    def batch(self, step):
        return {"step": torch.tensor(step)}


def recipe(*changes):
    plain = ["schedule=constant", "warmup=0", "steps=500", "log_every=1000", "checkpoint_seconds=1e9", "ramps.until=1"]
    return model.read("fashion-28", [*plain, "ramps.penalties=[1.0,1.0]", *changes])


def run(folder, ill=lambda count: {}, spoil=lambda step: 1.0, acts=True, changes=(), **options):
    """Method, state and the lines of the log after a run with scripted vitals."""
    folder.mkdir(exist_ok=True)
    method, asked = Tug(spoil), recipe(*changes)
    doctor = Doctor(Scripted(ill), asked, acts)
    try:
        state = fit(method, [Steps()], asked, folder, CPU, doctor=doctor, **options)
    finally:
        lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
        method.lines = lines
    return method, state, lines


def collapse(*examinations):
    return lambda count: {"diversity": 0.05} if count in examinations else {}


def test_a_healthy_run_is_examined_fifty_times_and_nothing_is_said(tmp_path):
    method, state, lines = run(tmp_path)
    assert len(state.health.readings) == len(lines) == 50
    assert all(line["diagnoses"] == line["said"] == [] and "rescue" not in line for line in lines)
    assert {entry[1:] for entry in method.seen} == {(0.01, 1.0, 0.0)}


def test_without_being_asked_to_act_it_only_speaks(tmp_path):
    method, _, lines = run(tmp_path, collapse(*range(20, 30)), acts=False)
    said = {line["step"]: line["said"] for line in lines if line["said"]}
    assert said == {
        230: ["mode collapse since 13k images: diversity 0.05 of the real set"], 310: ["mode collapse is over"],
    }  # fmt: skip
    assert {entry[1:] for entry in method.seen} == {(0.01, 1.0, 0.0)} and not (tmp_path / SOUND).exists()


def test_a_rescue_goes_back_to_the_last_sound_state_and_turns_what_may_help(tmp_path):
    method, state, lines = run(tmp_path, collapse(20, 21, 22))
    (rescue,) = [line for line in lines if "rescue" in line]
    assert rescue["step"] == 230 and state.health.sound_step == 500 and state.health.rescues == 1
    assert rescue["rescue"] == "mode collapse: back to the networks of 13k images, penalties x 2"
    assert "rescue 1 of 5" in rescue["said"][-1]
    # No step is made twice, and its random numbers are its own.
    assert [int(entry[0]) for entry in method.seen] == list(range(500))
    assert [entry[2] for entry in method.seen] == [1.0] * 230 + [2.0] * 270


def test_going_back_restores_networks_and_moments(tmp_path):
    """After the rescue at step 230 the networks are those of step 200 and go on with the noise of step 230."""
    states, tug = {}, Tug()

    def remember(step):
        states.setdefault(int(step), tug.weights())  # first for the generator, before it is updated
        return 1.0

    tug.spoil = remember
    asked = recipe()
    fit(tug, [Steps()], asked, tmp_path, CPU, doctor=Doctor(Scripted(collapse(20, 21, 22)), asked, acts=True))
    assert states[230] == states[200] != states[229]
    assert states[231] != states[201]


def test_recipes_without_penalties_get_lower_rates(tmp_path):
    method, _, _ = run(tmp_path, collapse(20, 21, 22), changes=["method.penalties={}", "ramps.second_beta=[0.9,0.9]"])
    assert [entry[1] for entry in method.seen[228:232]] == pytest.approx([0.01, 0.01, 0.005, 0.005])


def test_a_treatment_gets_time_before_the_next_and_there_is_an_end_to_them(tmp_path):
    with pytest.raises(DivergedError, match=r"mode collapse since .* 5 rescues have not helped") as error:
        run(tmp_path, lambda count: {"diversity": 0.05} if count >= 10 else {})
    assert error.value.exit_code == 8
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    steps = [line["step"] for line in lines if "rescue" in line]
    assert len(steps) == 5 and steps[0] == 130 and min(np.diff(steps)) >= 50
    turned = [line["rescue"].rsplit(", ", 1)[1] for line in lines if "rescue" in line]
    assert turned[:3] == ["penalties x 2", "learning rates x 0.5", "penalties x 4"]


def test_what_spoils_no_network_never_ends_a_run(tmp_path):
    _, state, lines = run(tmp_path, lambda count: {"familiarity": 0.9} if count >= 6 else {})
    assert state.step == 500 and state.health.rescues == 5 and state.health.penalties == 32
    assert lines[-1]["diagnoses"] and "rescue" not in lines[-1]


def test_losses_that_stay_non_finite_are_named_and_end_a_run_that_nobody_rescues(tmp_path):
    with pytest.raises(DivergedError, match="loss of the generator"):
        run(tmp_path, spoil=lambda step: math.nan if step >= 200 else 1.0, acts=False)
    *_, named, last = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert (named["step"], named["said"]) == (210, ["losses not finite since 13k images: 10 steps skipped"])
    assert last["step"] == 211 and last["diagnoses"] and not last["said"]


def test_losses_that_stay_non_finite_are_rescued_by_lower_rates(tmp_path):
    """Whatever the cause, at three rates out of four they are."""
    spoiled = lambda step: math.nan if 200 <= step < 225 else 1.0  # noqa: E731
    method, state, lines = run(tmp_path, spoil=spoiled)
    rescues = [line for line in lines if "rescue" in line]
    assert [line["step"] for line in rescues] == [210, 220] and state.step == 500
    assert rescues[0]["rescue"] == "losses not finite: back to the networks of 13k images, learning rates x 0.5"
    assert method.seen[-1][1] == pytest.approx(0.0025) and all(map(math.isfinite, method.weights()))


def test_a_rescued_run_that_is_stopped_anywhere_and_resumed_ends_with_the_same_bytes(tmp_path):
    ill = {20, 21, 22, 35, 36, 37, 38}
    method, state, whole = run(tmp_path / "whole", collapse(*ill))
    assert state.health.rescues == 2
    for life, length in enumerate((205, 26, 1, 120, 500)):
        # Scripted vitals count from the start of the run.
        done = 0 if not life else len_of(tmp_path / "parts")
        steps = iter(range(10**6))
        method_again, again, lines = run(
            tmp_path / "parts", lambda count, done=done: collapse(*ill)(count + done),
            resume=life > 0, interrupted=lambda steps=steps, length=length: next(steps) >= length,
        )  # fmt: skip
    assert again.step == 500 and method_again.weights() == method.weights()
    assert again.health == state.health
    clock = ("minutes", "steps_per_second")
    stripped = [
        [{key: value for key, value in line.items() if key not in clock} for line in log] for log in (whole, lines)
    ]
    assert stripped[0] == stripped[1]


def len_of(folder):
    """How many examinations a run has had, those before a rescue included: one every ten steps."""
    return read_state(folder / CHECKPOINT)["step"] // 10


def test_only_generators_have_a_doctor():
    with pytest.raises(UsageError, match="--rescue is for generators"):
        attending(model.read("compact-x4"), ImageSet(0), CPU, Team(), acts=True)
    assert attending(model.read("compact-x4"), ImageSet(0), CPU, Team(), acts=False) is None


def gan(*changes):
    size = ["data.size=[8,8]", "generator.size=[8,8]", "discriminator.size=[8,8]"]
    narrow = [
        "generator.widths=[8]",
        "discriminator.widths=[8]",
        "generator.num_classes=2",
        "discriminator.num_classes=2",
    ]
    one = ["generator.blocks_per_stage=1", "discriminator.blocks_per_stage=1", "data.class_names=[]", "data.batch=16"]
    return model.read("fashion-28", [*size, *narrow, *one, "precision=f32", "checkpoint_seconds=1e9", *changes])


def train(folder, doctored, change=lambda method: None, acts=False, changes=("steps=60",), **options):
    folder.mkdir()
    asked, images = gan(*changes), ImageSet(1 << 20)
    for number in range(60):
        images.append(np.random.default_rng(number).integers(0, 256, (8, 8, 1), np.uint8), str(number), number % 2)
    training, held_out = images.split(20)
    torch.manual_seed(0)
    method, _ = build(asked, CPU)
    change(method)
    doctor = Doctor(Vitals(training, held_out, 0, CPU), asked, acts) if doctored else None
    state = fit(method, [Images(training, 16, 0)], asked, folder, CPU, doctor=doctor, **options)
    return method.generator.state_dict(), state


def test_being_examined_changes_no_bit_of_a_run(tmp_path):
    plain, _ = train(tmp_path / "a", doctored=False)
    examined, state = train(tmp_path / "b", doctored=True)
    assert len(state.health.readings) == 6 and {"generator_gradient", "diversity"} <= state.health.readings[0].keys()
    assert all(torch.equal(value, examined[key]) for key, value in plain.items())


# What changes at half of the run, and what that is called.
PROVOKED = {
    "generator is not taught": lambda method: (nn.init.zeros_(method.discriminator.project.weight), slow(method, 0)),
    "generator has run away": lambda method: slow(method, 2000),
}


def slow(method, factor):
    for name, change in (("generator", max(1, factor)), ("discriminator", factor)):
        for group in method.optimizers[name].param_groups:
            group["base_rate"] *= change


def provoked(folder, name, acts=False):
    """The run in which that happens at step 60 of 120; its log."""

    def change(method):
        plain, calls = method.step, iter(range(10**6))

        def step(batch, update):
            if next(calls) == 60:
                PROVOKED[name](method)
            return plain(batch, update)

        method.step = step

    train(folder, True, change, acts, changes=["steps=120", "warmup=0", "ema=0.9"])
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


@pytest.mark.parametrize("name", PROVOKED)
def test_provoked_failures_are_named_within_three_or_four_examinations_and_not_before(tmp_path, name):
    said = [(line["step"], words) for line in provoked(tmp_path / "run", name) for words in line.get("said", [])]
    assert [60 < step <= 100 for step, words in said if words.startswith(f"{name} since")] == [True], said
