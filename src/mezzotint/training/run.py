"""A training run from recipe to weights: checks everything, builds it, trains, and leaves a folder any command reads.

RUN/recipe.json            what was asked for: recipe, data, versions
RUN/recipe.toml            the recipe, to copy and edit
RUN/report.html            a page about the run, made anew at every validation
RUN/log.jsonl              one line per interval and validation
RUN/checkpoint.safetensors full state, for --resume
RUN/best.safetensors       averaged generator of the best validation
RUN/sound.safetensors      with `rescue`: the last state in which the doctor found no symptom
RUN/samples/               what the network makes, over time
RUN/weights.safetensors, weights.onnx   the result, with its card
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mezzotint
from mezzotint.card import GENERATION, SUPER_RESOLUTION, Card
from mezzotint.data.images import ImageSet
from mezzotint.data.pair_checks import check_pairs
from mezzotint.errors import DivergedError, InputError, InterruptedRun, MezzotintError, UsageError
from mezzotint.hardware import free_threads
from mezzotint.recipes import model as recipes
from mezzotint.recipes.model import Component, Recipe
from mezzotint.refs import resolve
from mezzotint.training import feed, observers, progress, report
from mezzotint.training.compilation import compiled
from mezzotint.training.devices import choose_device
from mezzotint.training.distributed import Team, gather, part, resumable
from mezzotint.training.doctor import attending
from mezzotint.training.loop import CHECKPOINT, Batches, Method, Observer, fit
from mezzotint.training.muon import Muon
from mezzotint.training.record import earlier, open_folder
from mezzotint.training.signals import collected

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": lambda network, *arguments: torch.optim.Adam(network.parameters(), *arguments),
    "AdamW": lambda network, *arguments: torch.optim.AdamW(network.parameters(), *arguments),
    "Muon": Muon,
}


def train(
    recipe: str | Path | Recipe,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    validation: str | Path | None = None,
    minutes: float | None = None,
    resume: bool = False,
    rescue: bool = False,
    threads: int | None = None,
    quiet: bool = False,
) -> Card:
    """Train by a recipe (name, file or value) on images (folders, zips, IDX files) and return the card of the weights.
    The name `auto` stands for the recipe of a generator that `training/auto.py` chooses for these images.

    A folder or zip with the sub-folders `HR` and `LR` brings both sides of super-resolution, which are compared first.
    `validation` are images to choose the best weights on; without it, super-resolution holds out 2 % of `data`.
    `resume` goes on from the run's checkpoint, or starts when there is none. `rescue` lets the doctor of GANs act on what it
    finds (`doctor.py`). Raises `UsageError`, `InputError`,
    `OutputError`, `DivergedError`, and `InterruptedRun` after SIGINT or SIGTERM, with the state saved. Under `torchrun` all
    processes call this alike and may also raise `LostProcessError`; see `distributed.py`.
    """
    paths = [data] if isinstance(data, (str, Path)) else list(data)
    folder = Path(out)
    reasons: tuple[str, ...] = ()
    if recipe == "auto":
        from mezzotint.training import auto

        recipe, reasons = auto.choose(
            paths, folder, overrides=overrides, minutes=minutes, resume=resume, threads=threads, quiet=quiet
        )
    else:
        recipe = recipes.read(recipe, [*overrides, *([f"minutes={minutes}"] if minutes is not None else [])])
    team = gather(recipe.data.batch, *(phase.batch for phase in recipe.phases if phase.batch))
    if team.size > 1 and recipe.method.arguments.get("adaptive") is not None:
        # Each process would follow its own share of the images, and they would see different augmentations.
        raise UsageError(
            "method.adaptive needs all images in one process; for several give a recipe without it, and ramps.augment"
        )
    before = earlier(folder, recipe, resume) if team.leads else None
    torch.set_num_threads(threads or max(1, free_threads() // team.local_size))
    device = choose_device()
    torch.manual_seed(recipe.seed)
    method, card = build(recipe, device)
    if recipe.start is not None and not (folder / CHECKPOINT).exists():
        _start_from(method.generator, recipe.start)
    batches, observe, images = _data(recipe, paths, validation, folder, device, team)
    _check_classes(recipe, images)
    doctor = attending(recipe, images, device, team, rescue)
    # Before anything is written: what is wrong with pairs is an error, what is odd about them is said.
    notes = check_pairs(images, feed.scale_of(recipe)) if images.twins else []
    if resume and before is None:
        notes.append(f"nothing to resume in {folder}: a new run begins")
    # What the method reads beside the recipe, such as the network of a perceptual loss: name -> SHA-256.
    sources: dict[str, str] = getattr(method, "sources", {})
    if not team.agree(int(images.fingerprint()[:12], 16)):
        raise InputError("the processes see different images; give every machine the same data, by the same names")
    resume = bool(team.first(team.leads and open_folder(folder, recipe, paths, images, sources, before, reasons)))
    quiet = quiet or not team.leads
    if images.skipped:
        notes.append(f"{len(images.skipped)} images left out, first: {images.skipped[0]}")
    for note in [] if quiet else notes:
        print(note, file=sys.stderr)
    with (
        collected() as received, progress.display(recipe, quiet) as told,
        report.live(folder, told, quiet) if team.leads else nullcontext(told) as follow,
        compiled(method.generator, recipe.compile), resumable(folder / CHECKPOINT),
    ):  # fmt: skip
        state = fit(
            method, batches, recipe, folder, device,
            team=team, resume=resume, observe=observe, doctor=doctor, report=follow,
            interrupted=lambda: team.signalled(received),
        )  # fmt: skip
    part(team)
    if received:
        raise InterruptedRun(f"stopped at step {state.step}, state saved; add --resume to go on", received[0])
    card = card.replace(
        name=folder.resolve().name,
        labels=(recipe.data.class_names or tuple(images.classes)) if card.labels else (),
        steps=state.step,
        data=f"{len(images)} images of {', '.join(Path(path).absolute().name for path in paths)}",
        recipe=recipe.model_dump(mode="json", exclude_defaults=True) | ({"sources": sources} if sources else {}),
        metrics={"validation": {"psnr_y": round(state.score, 4)}} if state.score is not None else {},
    )
    return _export(method.generator, card, folder) if team.leads else card


def build(recipe: Recipe, device: torch.device) -> tuple[Method, Card]:
    """Networks, optimizers and method of a recipe, and the card of the generator before training."""
    parts = {"generator": recipe.generator}
    if recipe.discriminator is not None:
        parts["discriminator"] = recipe.discriminator
    networks = {name: _network(name, part).to(device) for name, part in parts.items()}
    optimizers = {}
    for name, settings in recipe.optimizer.items():
        arguments = (settings.learning_rate, settings.betas, settings.eps, settings.weight_decay)
        optimizers[name] = _OPTIMIZERS[settings.name](networks[name], *arguments)
    method = resolve(recipe.method.name, "training")(networks, optimizers, **recipe.method.arguments)
    return method, _card(recipe, networks["generator"])


def _network(name: str, part: Component) -> nn.Module:
    try:
        network: nn.Module = resolve(part.name, "models")(**part.arguments)
    except (MezzotintError, TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        raise UsageError(f"the recipe's {name} cannot be built: {' '.join(str(error).split())[:300]}") from error
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _start_from(generator: nn.Module, source: str) -> None:
    from mezzotint import catalog
    from mezzotint.models.weights import adopt, load

    if not Path(source).exists() and source in set(recipes.names()) - set(catalog.names()):
        raise UsageError(
            f"the recipe starts from the weights of {source}: train that first, then set start=RUN, its folder"
        )
    path = catalog.find(source, catalog.TRAINED)
    if path is None:
        raise UsageError(f"{source} has no weights to start from")
    start, _ = load(path)
    try:
        adopt(generator, start)
    except UsageError as error:
        raise UsageError(f"the weights of {source} do not fit the recipe's generator: {error}") from error


def _card(recipe: Recipe, generator: Any) -> Card:
    facts: dict[str, Any] = {}
    if recipe.task == SUPER_RESOLUTION:
        facts = {"scale": generator.scale, "halo": generator.halo, "alignment": getattr(generator, "alignment", None)}
        facts |= {"in_channels": generator.in_channels, "out_channels": generator.in_channels}
    else:
        size = recipe.data.size
        assert size is not None
        classes = tuple(str(number) for number in range(generator.num_classes))
        facts = {"latent_dim": generator.latent_dim, "size": size, "labels": classes}
        facts |= {"out_channels": generator.out_channels}
    return Card(
        name="", task=recipe.task, network=recipe.generator.name, arguments=recipe.generator.arguments,
        description=recipe.description, version=mezzotint.__version__, **facts,
    )  # fmt: skip


def _data(
    recipe: Recipe,
    paths: list[str | Path],
    validation: str | Path | None,
    folder: Path,
    device: torch.device,
    team: Team,
) -> tuple[Sequence[Batches], Observer, ImageSet]:
    samples = folder / "samples"
    images = feed.load(recipe, paths)
    if recipe.task == GENERATION:
        look = observers.generation(samples, recipe, device) if team.leads else observers.nothing
        return feed.batches(recipe, images, device, team.share), look, images
    scale = feed.scale_of(recipe)
    if validation is not None:
        held_out = feed.held_out(recipe, validation)
    elif len(images) == 1:
        raise InputError(f"{images.names[0]} is the only usable image; give more, or others with --validation")
    else:
        images, held_out = images.split(max(1, min(16, len(images) // 50)))
    judge = recipe.discriminator is None
    observe = observers.super_resolution(samples, held_out, scale, device, feed.degradation(recipe), judge)
    return feed.batches(recipe, images, device, team.share), observe if team.leads else observers.nothing, images


def _check_classes(recipe: Recipe, images: ImageSet) -> None:
    wanted = recipe.generator.arguments.get("num_classes", 0)
    if not wanted:
        return
    if not images.classes:
        raise InputError(
            f"the recipe's generator has {wanted} classes and the data no labels: expected a sub-folder for each class, the "
            "same in all of the data, or an IDX file of labels beside that of the images"
        )
    if wanted != len(images.classes):
        raise UsageError(
            f"the recipe's generator has {wanted} classes, the data {len(images.classes)}; "
            f"set generator.num_classes and discriminator.num_classes to {len(images.classes)}"
        )
    if recipe.data.class_names and len(recipe.data.class_names) != len(images.classes):
        raise UsageError(f"data.class_names has {len(recipe.data.class_names)} names for {len(images.classes)} classes")


def _export(generator: Any, card: Card, folder: Path) -> Card:
    """Write the deployed form as weights.safetensors and weights.onnx; the latter verifies itself first.

    Raises `DivergedError` for a network whose answers are not finite.
    """
    from mezzotint.export import export
    from mezzotint.export.onnx import sample_inputs
    from mezzotint.models.weights import save

    generator = generator.cpu().eval()
    with torch.inference_mode():
        answers = generator(*map(torch.from_numpy, sample_inputs(card, batch=2, height=24, width=28)))
    if not bool(answers.isfinite().all()):
        raise DivergedError(
            "training has diverged: what the network makes is not finite; lower the learning rates "
            f"({', '.join(f'optimizer.{name}.learning_rate' for name in card.recipe['optimizer'])})"
        )
    if hasattr(generator, "fused"):
        generator = generator.fused().eval()
        card = card.replace(arguments=generator.arguments)
    card = save(generator, card, folder / "weights.safetensors")
    export(folder / "weights.safetensors", folder / "weights.onnx", overwrite=True)
    return card


__all__ = ["build", "train"]
