"""The loop around a method of one convolution, whose loss and gradient can be spoilt at chosen steps."""

import json
import math
import time

import pytest
import torch
from torch import nn

from mezzotint.errors import DivergedError, InputError, OutputError
from mezzotint.recipes import model
from mezzotint.training.loop import BEST, CHECKPOINT, LOG, fit

CPU = torch.device("cpu")


class Line:
    """A method: y = a x + b is pulled towards 3. `spoil(step)` gives a factor on the loss, such as NaN."""

    def __init__(self, learning_rate=0.1, spoil=lambda step: 1.0, batch_norm=False):
        torch.manual_seed(0)
        norm = [nn.BatchNorm2d(1)] if batch_norm else []
        self.generator = nn.Sequential(nn.Conv2d(1, 1, 1), *norm)
        self.networks = {"generator": self.generator}
        self.optimizers = {"generator": torch.optim.Adam(self.generator.parameters(), learning_rate)}
        self.spoil, self.rates, self.norms, self.noise = spoil, [], [], []

    def step(self, batch, update):
        self.rates.append(self.optimizers["generator"].param_groups[0]["lr"])
        self.noise.append(float(torch.rand(())))
        loss = (self.generator(batch["x"]) - 3).square().mean() * self.spoil(batch["step"])
        update("generator", loss)
        self.norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in self.generator.parameters())))
        return {"distance": loss}

    def weights(self):
        return [parameter.detach().clone() for parameter in self.generator.parameters()]


class Numbers:
    """Batches that know their step; `poison` steps hold infinities."""

    def __init__(self, poison=()):
        self.poison = poison

    def batch(self, step):
        x = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(step))
        return {"x": x / 0 if step in self.poison else x, "step": torch.tensor(step)}


def recipe(*overrides):
    plain = ["schedule=constant", "warmup=0", "clip=0", "log_every=1", "steps=6", "phases=[]"]
    return model.read("compact-x4", [*plain, *overrides])


def run(folder, method=None, *overrides, batches=None, **options):
    method = method or Line()
    state = fit(method, [batches or Numbers()], recipe(*overrides), folder, CPU, **options)
    return method, state


def log_of(folder):
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


@pytest.mark.parametrize("spoilt", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_touches_no_weight_and_is_counted(tmp_path, spoilt):
    seen = {}
    method = Line(spoil=lambda step: spoilt if step == 2 else 1.0)

    def report(state, progress, line):
        seen[state.step] = (method.weights(), line["skipped"])

    _, state = run(tmp_path, method, report=report)
    assert state.step == 6 and state.skipped == 1 and state.skipped_in_a_row == 0
    assert all(torch.equal(a, b) for a, b in zip(seen[2][0], seen[3][0], strict=True))
    assert not torch.equal(seen[3][0][0], seen[4][0][0])
    assert [seen[step][1] for step in (2, 3, 6)] == [0, 1, 1]


def test_a_gradient_that_is_not_finite_touches_no_weight(tmp_path):
    """The loss is finite, its derivative is not: sqrt at 0."""
    method = Line()
    before = method.weights()

    def step(batch, update):
        update("generator", (method.generator(batch["x"]) * 0).abs().sqrt().sum())

    method.step = step
    with pytest.raises(DivergedError, match="gradient of the generator"):
        run(tmp_path, method, "steps=50")
    assert all(torch.equal(a, b) for a, b in zip(before, method.weights(), strict=True))


def test_statistics_spoilt_by_a_skipped_step_are_mended(tmp_path):
    method = Line(batch_norm=True)
    _, state = run(tmp_path, method, batches=Numbers(poison={3}))
    assert state.skipped == 1
    assert all(torch.isfinite(value).all() for value in method.generator.state_dict().values())


def test_losses_that_stay_non_finite_end_the_run(tmp_path):
    with pytest.raises(
        DivergedError, match=r"at step 12: loss of the generator.*optimizer\.generator\.learning_rate"
    ) as e:
        run(tmp_path, Line(spoil=lambda step: 1.0 if step < 2 else math.nan), "steps=100")
    assert e.value.exit_code == 8


def test_skipped_steps_in_between_do_not_end_the_run(tmp_path):
    _, state = run(tmp_path, Line(spoil=lambda step: math.nan if step % 2 else 1.0), "steps=60")
    assert (state.step, state.skipped) == (60, 30)


def test_gradients_are_clipped_to_the_recipes_norm(tmp_path):
    free, _ = run(tmp_path)
    clipped, _ = run(tmp_path, None, "clip=0.5")
    assert max(free.norms) > 1
    assert max(clipped.norms) == pytest.approx(0.5, abs=1e-4)


def test_schedule_and_warm_up_reach_the_optimizer(tmp_path):
    method, _ = run(tmp_path, Line(learning_rate=0.1), "schedule=cosine", "warmup=4", "steps=8")
    expected = [0.1 * 0.5 * (1 + math.cos(math.pi * k / 8)) * min(1, (k + 1) / 4) for k in range(8)]
    assert method.rates == pytest.approx(expected)


def test_ramps_reach_the_methods_dials_and_the_optimizers(tmp_path):
    method, seen = Line(), []
    method.dials, step = {}, method.step

    def recorded(batch, update):
        seen.append((dict(method.dials), method.optimizers["generator"].param_groups[0]["betas"]))
        return step(batch, update)

    method.step = recorded
    ramps = model.Ramps(until=0.5, penalties=(2.0, 1.0), augment=(0.0, 0.4), second_beta=(0.9, 0.99))
    fit(method, [Numbers()], recipe("steps=8").model_copy(update={"ramps": ramps}), tmp_path, CPU)
    for index, (dials, betas) in enumerate(seen):
        share = 0.5 * (1 - math.cos(math.pi * min(1, index / 4)))
        assert dials == pytest.approx({"penalties": 2 - share, "augment": 0.4 * share})
        assert betas == pytest.approx((0.9, 0.9 + 0.09 * share))


def test_a_budget_of_minutes_ends_the_run_and_stretches_the_schedule(tmp_path):
    start = time.monotonic()
    method, state = run(tmp_path, None, "steps=10000000", "minutes=0.01", "schedule=cosine", "log_every=1000000")
    assert 0.5 < time.monotonic() - start < 10 and 0.6 <= state.seconds < 5
    assert method.rates[-1] < 0.2 * method.rates[0] and method.rates == sorted(method.rates, reverse=True)


def test_the_best_validation_gives_the_weights(tmp_path):
    scores, seen = iter([20.0, 31.0, 25.0]), {}

    def observe(network, step):
        seen[step] = [parameter.detach().clone() for parameter in network.parameters()]
        score = next(scores)
        return {"psnr_y": score}, score

    method, state = run(tmp_path, None, "validations=3", observe=observe)
    assert list(seen) == [2, 4, 6] and (state.score, state.score_step) == (31.0, 4)
    assert all(torch.equal(a, b) for a, b in zip(method.weights(), seen[4], strict=True))
    assert [line["validation"]["psnr_y"] for line in log_of(tmp_path) if "validation" in line] == [20.0, 31.0, 25.0]


def test_without_a_score_the_last_average_gives_the_weights(tmp_path):
    last = {}

    def observe(network, step):
        last.update(network.state_dict())
        return {"contrast": 0.1}, None

    method, _ = run(tmp_path, None, "ema=0.5", observe=observe)
    assert not (tmp_path / BEST).exists()
    assert all(torch.equal(value, last[key]) for key, value in method.generator.state_dict().items())


def test_a_log_line_says_step_time_losses_and_rate(tmp_path):
    run(tmp_path, None, "log_every=2", "steps=5")
    lines = log_of(tmp_path)
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert all(line["distance"] > 0 and line["rate"] == 1 and line["minutes"] >= 0 for line in lines)


def test_same_seed_same_randomness_other_seed_other(tmp_path):
    first, second, other = (run(tmp_path, None, f"seed={seed}")[0] for seed in (1, 1, 2))
    assert first.noise == second.noise and not set(first.noise) & set(other.noise)
    assert len(set(first.noise)) == 6


def stop_after(steps):
    """An `interrupted` that says yes at the loop's question number `steps` (counted from 0)."""
    questions = iter(range(1000))
    return lambda: next(questions) >= steps


def test_stopped_at_any_step_and_resumed_ends_with_the_same_bytes(tmp_path):
    whole = tmp_path / "whole"
    parts = tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    scores = {2: 20.0, 4: 31.0, 6: 25.0}
    options = {"observe": lambda network, step: ({}, scores[step])}
    settings = ["validations=3", "schedule=trapezoid", "ema=0.9"]

    expected, _ = run(whole, Line(batch_norm=True), *settings, **options)
    for life in range(6):
        resumed, state = run(
            parts, Line(batch_norm=True), *settings, resume=life > 0, interrupted=stop_after(1), **options
        )
        assert state.step == life + 1
    for key, value in expected.generator.state_dict().items():
        assert torch.equal(value, resumed.generator.state_dict()[key]), key
    assert (state.score, state.score_step) == (31.0, 4)
    assert [line["step"] for line in log_of(parts)] == [line["step"] for line in log_of(whole)]


def test_lines_after_the_checkpoint_and_damaged_ones_are_made_again(tmp_path):
    run(tmp_path, interrupted=stop_after(3))
    with (tmp_path / LOG).open("a") as stream:
        stream.write('{"step": 4, "distance": 1}\n{"step": 5, "dist')
    run(tmp_path, resume=True)
    assert [line["step"] for line in log_of(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert "dist\n" not in (tmp_path / LOG).read_text()


def test_best_weights_from_after_the_checkpoint_keep_their_score(tmp_path):
    """Killed between a validation and the next checkpoint, then resumed with another budget, so that nothing is replayed."""
    scores = {2: 20.0, 4: 31.0, 6: 25.0, 5: 10.0}

    def observe(network, step):
        return {}, scores[step]

    run(tmp_path, None, "validations=3", observe=observe, interrupted=stop_after(3))
    before = (tmp_path / CHECKPOINT).read_bytes()
    run(tmp_path, None, "validations=3", observe=observe, resume=True, interrupted=stop_after(1))
    (tmp_path / CHECKPOINT).write_bytes(before)
    _, state = run(tmp_path, None, "validations=1", "steps=5", observe=observe, resume=True)
    assert (state.score, state.score_step) == (31.0, 4)
    (tmp_path / BEST).unlink()
    (tmp_path / CHECKPOINT).write_bytes(before)
    _, state = run(tmp_path, None, "validations=1", "steps=5", observe=observe, resume=True)
    assert (state.score, state.score_step) == (10.0, 5)


def test_damaged_best_weights_are_found_before_training_goes_on(tmp_path):
    run(tmp_path, None, observe=lambda network, step: ({}, 1.0), interrupted=stop_after(3))
    (tmp_path / BEST).write_bytes((tmp_path / BEST).read_bytes()[:-4])
    method = Line()
    with pytest.raises(InputError, match=r"best\.safetensors"):
        run(tmp_path, method, resume=True)
    assert not method.rates


def test_a_full_disk_is_one_clear_error(tmp_path):
    def fill(step):
        (tmp_path / LOG).unlink(missing_ok=True)
        (tmp_path / LOG).symlink_to("/dev/full")
        return 1.0

    with pytest.raises(OutputError, match=r"log\.jsonl: No space left"):
        run(tmp_path, Line(spoil=fill))


PHASES = 'phases=[{begin=0.5, patch=48, losses={"pixel.mse"=1.0}}, {begin=0.75, batch=4}]'


class Marked(Numbers):
    """Batches that carry the number of their phase."""

    def __init__(self, phase):
        super().__init__()
        self.phase = phase

    def batch(self, step):
        return super().batch(step) | {"phase": torch.tensor(self.phase)}


class Watched(Line):
    """Notes the phase of each batch and the losses in force."""

    def __init__(self):
        super().__init__()
        self.seen, self.losses = [], {"pixel.charbonnier": 1.0}

    def use(self, losses):
        self.losses = losses

    def step(self, batch, update):
        self.seen.append((int(batch["step"]), int(batch["phase"]), *self.losses))
        return super().step(batch, update)


def phased(folder, method, *overrides, **options):
    batches = [Marked(phase) for phase in range(3)]
    folder.mkdir(exist_ok=True)
    return fit(method, batches, recipe("steps=8", PHASES, *overrides), folder, CPU, **options)


def test_phases_begin_at_their_share_of_the_run(tmp_path):
    method = Watched()
    phased(tmp_path, method)
    assert recipe(PHASES).patches() == [(32, 16), (48, 16), (48, 4)]
    wanted = [(0, "pixel.charbonnier")] * 4 + [(1, "pixel.mse")] * 2 + [(2, "pixel.mse")] * 2
    assert method.seen == [(step, *phase) for step, phase in enumerate(wanted)]


def test_a_run_resumed_within_a_phase_goes_on_in_it(tmp_path):
    whole, first, second = Watched(), Watched(), Watched()
    phased(tmp_path / "a", whole)
    phased(tmp_path / "b", first, interrupted=lambda: len(first.seen) == 5)
    phased(tmp_path / "b", second, resume=True)
    assert first.seen + second.seen == whole.seen
    assert all(torch.equal(a, b) for a, b in zip(second.weights(), whole.weights(), strict=True))
