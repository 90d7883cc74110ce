"""The one training loop.

A method brings `generator`, `networks`, `optimizers` and `step(batch, update) -> scalars`; the loop owns order, schedules,
averages, precision, clipping, the stop before a non-finite update, validation, logging and checkpoints.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from mezzotint.errors import DivergedError, InputError
from mezzotint.recipes.model import Ramps, Recipe
from mezzotint.refs import resolve
from mezzotint.training import log, memory
from mezzotint.training.checkpoint import load_checkpoint, read_state, save_checkpoint
from mezzotint.training.devices import autocast_type
from mezzotint.training.distributed import Team
from mezzotint.training.ema import averaged
from mezzotint.training.health import Health, Visit

CHECKPOINT, BEST, SOUND = "checkpoint.safetensors", "best.safetensors", "sound.safetensors"
LOG = "log.jsonl"
_TOLERATED_SKIPS = 10


class Method(Protocol):
    """How networks are updated in one step. `update(name, loss)` steps optimizer `name` on `loss`, safely.

    Its class names the `task` it is for and, in `trains`, the networks that a recipe must bring. One with `losses` also has
    `use(losses)`, which replaces them when a phase of the recipe says so; one with `dials` lets the recipe's ramps set them.
    """

    task: str
    trains: tuple[str, ...]
    generator: nn.Module
    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def step(self, batch: dict[str, torch.Tensor], update: Callable[..., None]) -> dict[str, torch.Tensor]: ...


class Batches(Protocol):
    """Endless batches that are a function of the step."""

    def batch(self, step: int) -> dict[str, torch.Tensor]: ...


@dataclass
class State:
    """Counters of a run. `score` is the best validation score so far, larger is better."""

    step: int = 0
    seconds: float = 0.0
    skipped: int = 0  # steps whose loss or gradient was not finite
    skipped_in_a_row: int = 0
    score: float | None = None
    score_step: int | None = None
    health: Health = field(default_factory=Health)

    def __post_init__(self) -> None:
        if isinstance(self.health, dict):  # as a checkpoint has it
            self.health = Health(**self.health)


class Doctor(Protocol):
    """Looks at the networks now and then. One that `acts` may turn what `state.health` holds, and decides what becomes of a
    run whose losses stay non-finite: it goes back or raises `DivergedError`.
    """

    acts: bool

    def due(self, state: State, done: float, now: float) -> bool: ...

    def examine(
        self, state: State, now: float, method: Method, average: nn.Module, norms: dict[str, float]
    ) -> Visit: ...


# Called with the averaged generator and the step: metrics for the log, and a score to choose the best weights by, or None.
Observer = Callable[[nn.Module, int], tuple[dict[str, float], float | None]]


class _NotFinite(Exception):
    """A loss or a gradient of `network` is not finite; no weight has been touched by it."""

    def __init__(self, what: str, network: str) -> None:
        super().__init__(f"{what} of the {network}")
        self.network = network


def fit(
    method: Method,
    batches: Sequence[Batches],
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    *,
    team: Team = Team(),
    resume: bool = False,
    observe: Observer | None = None,
    doctor: Doctor | None = None,
    report: Callable[[State, float, dict[str, float]], None] = lambda state, progress, line: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> State:
    """Train until `recipe.steps` or `recipe.minutes` are used up, whichever comes first, or `interrupted()`.

    `batches` are those of each phase of the recipe, one more than it names.
    Leaves a checkpoint and a log in `folder`; `best.safetensors` holds the averaged generator of the best validation.
    Every process of a `team` calls this with its share of the batches; only the first one writes. Returns the final state;
    progress is 1 unless interrupted. Raises `DivergedError`, `InputError` (a checkpoint that cannot be resumed from),
    `OutputError` and `LostProcessError`.
    """
    average = averaged(method.generator, recipe.ema)
    modules = {**method.networks, "average": average}
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["base_rate"] = group["lr"]
    state = State()
    if resume:
        state = State(**load_checkpoint(folder / CHECKPOINT, modules, method.optimizers))
        state.score, state.score_step = _best_so_far(folder / BEST, state)
    if not team.agree(state.step):
        raise InputError(
            f"the processes find different checkpoints in {folder}; it must be a folder that all machines share"
        )
    if team.leads:
        log.forget_after(folder / LOG, state.step)
    autocast = autocast_type(recipe.precision, device)
    schedule = resolve(f"schedules.{recipe.schedule}", "training")
    ramps, dials = recipe.ramps or Ramps(), getattr(method, "dials", None)
    started, saved_at = time.monotonic() - state.seconds, time.monotonic()
    window = (state.step, state.seconds)
    norms: dict[str, float] = {}  # of the latest gradient of each network

    def update(name: str, loss: Any) -> None:
        optimizer = method.optimizers[name]
        if not math.isfinite(team.mean(float(loss.detach()))):
            raise _NotFinite("loss", name)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, enabled=False):
            loss.backward()
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        team.average_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, recipe.clip or math.inf)
        if not math.isfinite(float(norm)):
            raise _NotFinite("gradient", name)
        optimizer.step()
        norms[name] = float(norm)

    def progress(step: int | None = None) -> float:
        by_steps = (state.step if step is None else step) / recipe.steps if recipe.steps else 0.0
        return max(by_steps, state.seconds / (60 * recipe.minutes) if recipe.minutes else 0.0)

    def clock() -> float:
        return team.first(time.monotonic() - started)

    def save(name: str = CHECKPOINT) -> None:
        if team.leads:
            save_checkpoint(folder / name, modules, method.optimizers, asdict(state))

    def prepare(step: int) -> tuple[int, Future[dict[str, torch.Tensor]]]:
        phase = recipe.phase(progress(step))
        return phase, ahead.submit(batches[phase].batch, step)

    with memory.kept(), ThreadPoolExecutor(1) as ahead:
        phase, (following, upcoming) = 0, prepare(state.step)
        while (done := progress()) < 1 and not interrupted():
            if following != phase:
                phase = following
                method.use(recipe.losses(phase))  # type: ignore[attr-defined]
            batch = {key: value.to(device) for key, value in upcoming.result().items()}
            following, upcoming = prepare(state.step + 1)
            rate = schedule(done) * min(1.0, (state.step + 1) / max(1, recipe.warmup)) * state.health.rate
            for optimizer in method.optimizers.values():
                for group in optimizer.param_groups:
                    group["lr"] = group["base_rate"] * rate
                    if ramps.second_beta and "betas" in group:
                        group["betas"] = (group["betas"][0], ramps.at(done, ramps.second_beta))
            if dials is not None:
                dials["penalties"] = ramps.at(done, ramps.penalties) * state.health.penalties
                dials["augment"] = max(ramps.at(done, ramps.augment), state.health.augment)
            torch.manual_seed(_seed(recipe.seed, state.step))
            scalars: dict[str, Any] = {}
            lost: DivergedError | None = None
            try:
                with torch.autocast(device.type, autocast, enabled=autocast is not None), team.noise():
                    scalars = method.step(batch, update)
                average.update_parameters(method.generator)
                state.skipped_in_a_row = 0
            except _NotFinite as reason:
                _mend_buffers(method.generator, average.module)
                state.skipped, state.skipped_in_a_row = state.skipped + 1, state.skipped_in_a_row + 1
                if state.skipped_in_a_row > _TOLERATED_SKIPS:
                    lost = DivergedError(
                        f"training diverged at step {state.step}: {reason} not finite {state.skipped_in_a_row} times in "
                        f"a row; start again in another folder with a lower optimizer.{reason.network}.learning_rate"
                    )
            state.step, state.seconds = state.step + 1, clock()
            now = progress()
            line: dict[str, Any] = {}
            if state.step % recipe.log_every == 0 or now >= 1:
                speed = (state.step - window[0]) / max(1e-9, state.seconds - window[1])
                window = (state.step, state.seconds)
                line = {key: team.mean(float(value.detach())) for key, value in scalars.items()}
                line |= {"rate": rate, "steps_per_second": round(speed, 3), "skipped": state.skipped}
            if observe and (int(now * recipe.validations) > int(done * recipe.validations) or now >= 1):
                metrics, score = observe(average.module, state.step)
                line |= {"validation": metrics}
                if score is not None and (state.score is None or score > state.score):
                    state.score, state.score_step = score, state.step
                    save_checkpoint(
                        folder / BEST, {"generator": average.module}, {}, {"step": state.step, "score": score}
                    )
                state.seconds = clock()
            if doctor and (lost or doctor.due(state, done, now)):
                visit = doctor.examine(state, now, method, average.module, norms)
                line |= visit.facts
                if visit.keep:
                    save(SOUND)
                if visit.go_back:
                    load_checkpoint(folder / SOUND, modules, method.optimizers)
            if line and team.leads:
                facts = {"step": state.step, "minutes": round(state.seconds / 60, 3), **line}
                log.append(folder / LOG, facts)
                report(state, now, facts)
            if lost and not (doctor and doctor.acts):
                raise lost
            if time.monotonic() - saved_at >= recipe.checkpoint_seconds:
                save()
                saved_at = time.monotonic()
        save()
    method.generator.load_state_dict(average.module.state_dict())
    if state.score is not None:
        load_checkpoint(folder / BEST, {"generator": method.generator}, {})
    return state


def _seed(seed: int, step: int) -> int:
    """One number from (seed, step), well mixed, so that neighbouring steps share nothing."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def _best_so_far(path: Path, state: State) -> tuple[float | None, int | None]:
    """Score and step of the best weights on disk. They may come from after the checkpoint that is resumed."""
    if not path.exists():
        return None, None
    best = read_state(path)
    return best.get("score", state.score), best["step"]


def _mend_buffers(network: nn.Module, average: nn.Module) -> None:
    """Take running statistics that a step without finite results has spoilt from the average, where they are sound."""
    for buffer, sound in zip(network.buffers(), average.buffers(), strict=True):
        if not torch.isfinite(buffer).all():
            buffer.copy_(sound)
