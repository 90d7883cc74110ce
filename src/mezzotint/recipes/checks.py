"""Mistakes in a recipe that the types of its keys do not show: components that do not exist or do not fit each other.

Works on plain values as they were read, so that these mistakes are found beside those of the types. What is missing or of
the wrong type is left to the types.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from mezzotint.card import GENERATION, SUPER_RESOLUTION
from mezzotint.errors import MezzotintError
from mezzotint.recipes.ranges import out_of_range
from mezzotint.refs import modules, public, resolve

# Where the references of a recipe point, what its objects have that others lack, and arguments that training gives.
_COMPONENTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "generator": ("models", "forward", ()),
    "discriminator": ("models", "forward", ()),
    "method": ("training", "step", ("networks", "optimizers")),
    "degradation": ("data", "__call__", ()),
}
# Which modules of `losses` an argument of a method may refer to; None: all but those of the others.
_LOSSES = {"losses": None, "game": "adversarial", "penalties": "regularization", "consistency": "consistency"}
# Losses on features, which no argument refers to: a table of their own says which (`recipes/perceptual.py`).
_ON_FEATURES = "perceptual"


def mistakes(facts: dict[str, Any]) -> list[str]:
    """One line for each mistake, beginning with its path."""
    found: list[str] = []
    targets, arguments = {}, {}
    for part in _COMPONENTS:
        component = facts.get(part)
        if isinstance(component, dict) and isinstance(component.get("name"), str):
            try:
                targets[part] = _target(part, component["name"])
                arguments[part] = _arguments(part, targets[part], component)
            except _Mistakes as error:
                found += error.lines
    for check in (_budget, _references, _phases, _mix, _game, out_of_range):
        found += check(facts)
    return [*found, *_parts(facts, targets), *_agreement(facts, arguments)]


def of_component(part: str, component: dict[str, Any]) -> list[str]:
    """The mistakes in one component that has a name, such as the table `[degradation]` by itself."""
    try:
        _arguments(part, _target(part, component["name"]), component)
    except _Mistakes as error:
        return list(error.lines)
    return []


def readable(error: ValidationError, known: Mapping[str, Iterable[str]], prefix: str = "") -> list[str]:
    """Pydantic's findings as lines `path: what is wrong`; `known` are the keys of each table, "" for the outermost."""
    lines = []
    for item in error.errors():
        path = [str(key) for key in item["loc"]]
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"there is no such key; there are {', '.join(known[path[0] if len(path) > 1 else ''])}"
        lines.append(f"{prefix}{'.'.join(path)}: {message}")
    return lines


class _Mistakes(Exception):
    """What is wrong with one component."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


def _target(part: str, name: str) -> Any:
    """The class that a component refers to."""
    folder, mark, _ = _COMPONENTS[part]
    try:
        target = resolve(name, folder)
    except MezzotintError as error:
        raise _Mistakes(f"{part}.name: {error}") from error
    if not inspect.isclass(target) or not hasattr(target, mark):
        raise _Mistakes(f"{part}.name: {name} is no {part}; there are {', '.join(_choices(folder, mark))}")
    return target


def _arguments(part: str, target: Any, component: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the constructor of `target` will get, defaults included, checked against its signature."""
    given = {key: value for key, value in component.items() if key != "name"}
    hints = get_type_hints(target.__init__)
    fields: dict[str, Any] = {
        key: (hints.get(key, Any), ... if parameter.default is parameter.empty else parameter.default)
        for key, parameter in inspect.signature(target).parameters.items()
        if key not in _COMPONENTS[part][2]
    }
    strict = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    model: type[BaseModel] = create_model(target.__name__, __config__=strict, **fields)
    try:
        # They are handed on as they stand, so nothing may be converted; but TOML has lists for tuples, as JSON has.
        arguments = model.model_validate_json(json.dumps(given, default=str)).model_dump()
        if part == "degradation":
            # Made of plain values, so it costs nothing to let it check its own ranges now.
            target(**given)
    except ValidationError as error:
        raise _Mistakes(*readable(error, {"": fields, **_tables(fields)}, f"{part}.")) from error
    except MezzotintError as error:
        raise _Mistakes(f"{part}: {error}") from error
    return arguments


def _tables(fields: dict[str, Any]) -> dict[str, Iterable[str]]:
    """The keys of each argument that is a table of its own."""
    return {
        key: kind.model_fields
        for key, (hint, _) in fields.items()
        for kind in (hint, *get_args(hint))
        if inspect.isclass(kind) and issubclass(kind, BaseModel)
    }


def _choices(folder: str, mark: str) -> Iterator[str]:
    for name in modules(folder):
        module = importlib.import_module(f"mezzotint.{folder}.{name}")
        for key in public(module):
            value = getattr(module, key)
            if inspect.isclass(value) and hasattr(value, mark):
                yield f"{name}.{key}"


def _budget(facts: dict[str, Any]) -> Iterator[str]:
    """How long, and how large."""
    if facts.get("steps") is None and facts.get("minutes") is None:
        yield "steps: give steps or minutes, or both"
    data, task = facts.get("data"), facts.get("task")
    if isinstance(data, dict) and task == SUPER_RESOLUTION and data.get("patch") is None:
        yield "data.patch: super-resolution needs a patch size"
    if isinstance(data, dict) and task == GENERATION and data.get("size") is None:
        yield "data.size: generation needs an image size, [height, width]"


def _references(facts: dict[str, Any]) -> Iterator[str]:
    """Losses, game and penalties of the method."""
    method = _table(facts, "method")
    for kind, wanted in _LOSSES.items():
        if kind in method:
            yield from _named_losses(f"method.{kind}", method[kind], wanted)


def _named_losses(path: str, value: Any, wanted: str | None) -> Iterator[str]:
    if wanted is None and not value:
        yield f'{path}: needs at least one, such as {{ "pixel.l1" = 1.0 }}'
    for name in [value] if isinstance(value, str) else value if isinstance(value, dict) else []:
        try:
            resolve(name, "losses")
        except MezzotintError as error:
            yield f"{path}: {error}"
            continue
        module = name.partition(".")[0]
        if module != wanted and (wanted or module in {*_LOSSES.values(), _ON_FEATURES}):
            yield f"{path}: {name} does not belong here; see mezzotint.losses.{wanted or 'pixel'}"


def _phases(facts: dict[str, Any]) -> Iterator[str]:
    """Phases begin one after the other, and change what is there."""
    phases = _tables_of_phases(facts)
    if phases and facts.get("task") != SUPER_RESOLUTION:
        yield "phases: only super-resolution has any"
    begins = [phase.get("begin") for phase in phases]
    numbers = [begin for begin in begins if isinstance(begin, int | float)]
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        yield f"phases: each must begin after the one before, not at {', '.join(map(str, numbers))}"
    for index, phase in enumerate(phases):
        if phase.get("losses") is not None:
            yield from _named_losses(f"phases.{index}.losses", phase["losses"], None)
            if "losses" not in _table(facts, "method"):
                yield f"phases.{index}.losses: the method has no losses to replace"


def _mix(facts: dict[str, Any]) -> Iterator[str]:
    """How pairs are used again and mixed."""
    data = _table(facts, "data")
    mix = _table(data, "mix")
    if mix and facts.get("task") != SUPER_RESOLUTION:
        yield "data.mix: only super-resolution has pairs to mix"
    for name in mix:
        try:
            resolve(f"augment.{name}", "data")
        except MezzotintError as error:
            yield f"data.mix: {error}"
    if "channel_shuffle" in mix and data.get("channels") == 1:
        yield "data.mix: channel_shuffle needs colours, and data.channels is 1"
    reuse = data.get("reuse", 1)
    if isinstance(reuse, int) and reuse > 1 and facts.get("degradation") is None:
        yield "data.reuse: only degraded regions take long enough to be used again; there is no [degradation]"
    batches = [part.get("batch") for part in (data, *_tables_of_phases(facts))]
    if {"cutmix", "mixup"} & set(mix) and 1 in batches:
        yield "data.mix: a batch of 1 has no other pair to mix with"


def _game(facts: dict[str, Any]) -> Iterator[str]:
    """Ramps, augmentation and held-out images of a GAN."""
    method, data, ramps = (_table(facts, key) for key in ("method", "data", "ramps"))
    generation = facts.get("task") == GENERATION
    for name in method.get("augment") or [] if isinstance(method.get("augment"), list | tuple) else []:
        try:
            resolve(f"differentiable.{name}", "data")
        except MezzotintError as error:
            yield f"method.augment: {error}"
    if ramps and not generation:
        yield "ramps: only generation has any"
    if _plain(ramps.get("augment")) not in (None, [0, 0]) and generation and not method.get("augment"):
        yield "ramps.augment: method.augment names nothing to apply"
    if _plain(ramps.get("penalties")) not in (None, [1, 1]) and generation and not method.get("penalties"):
        yield "ramps.penalties: the method has no penalties"
    if data.get("held_out") and not generation:
        yield "data.held_out: only generation has it; give --validation"
    if data.get("crop") and not generation:
        yield "data.crop: only generation has it; super-resolution always cuts patches"
    if data.get("channels") in (2, 4) and not generation:
        yield "data.channels: super-resolution learns 1 or 3; it enlarges opacity beside the colours"
    if method.get("adaptive") is not None and not (method.get("augment") and data.get("held_out")):
        yield "method.adaptive: needs method.augment and data.held_out"
    discriminator = _table(facts, "discriminator")
    if method.get("classify") and not (discriminator.get("classifier") and discriminator.get("num_classes")):
        yield "method.classify: needs discriminator.classifier = true and discriminator.num_classes"


def _parts(facts: dict[str, Any], targets: dict[str, Any]) -> Iterator[str]:
    """The networks, optimizers and task that the method is for."""
    task, there = facts.get("task"), [part for part in ("generator", "discriminator") if facts.get(part) is not None]
    if "method" in targets:
        method, name = targets["method"], facts["method"]["name"]
        if task in (SUPER_RESOLUTION, GENERATION) and method.task != task:
            yield f"method.name: {name} is for {method.task}, the task is {task}"
        for part in ("generator", "discriminator"):
            if part in method.trains and part not in facts:
                yield f"{part}: {name} needs one"
            if part not in method.trains and part in there:
                yield f"{part}: {name} trains none"
    if "generator" in targets:
        mark = "scale" if task == SUPER_RESOLUTION else "out_channels"
        if task in (SUPER_RESOLUTION, GENERATION) and mark not in inspect.signature(targets["generator"]).parameters:
            yield f"generator.name: {facts['generator']['name']} is no network for {task}"
    if task == GENERATION and facts.get("degradation") is not None:
        yield "degradation: only super-resolution has one"
    optimizers = facts.get("optimizer")
    if isinstance(optimizers, dict) and set(optimizers) != set(there):
        yield f"optimizer: needs exactly {', '.join(there) or 'generator'}, has {', '.join(sorted(optimizers)) or 'none'}"


def _agreement(facts: dict[str, Any], arguments: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Sizes, channels and classes that are given in several places."""
    data = _table(facts, "data")
    generator, channels, size = arguments.get("generator", {}), data.get("channels", 3), data.get("size")
    if facts.get("task") == SUPER_RESOLUTION:
        pairs = [("generator", "in_channels", "data.channels", channels)]
        scale = generator.get("scale")
        phases = ((f"phases.{index}", phase) for index, phase in enumerate(_tables_of_phases(facts)))
        for path, table in (("data", data), *phases):
            patch = table.get("patch")
            size = [patch * scale] * 2 if isinstance(patch, int) and isinstance(scale, int) else None
            pairs.append(("discriminator", "size", f"{path}.patch", size))
    else:
        pairs = [("generator", "out_channels", "data.channels", channels)]
        pairs += [(part, "size", "data.size", size) for part in ("generator", "discriminator")]
        if "num_classes" in generator:
            pairs.append(("discriminator", "num_classes", "generator.num_classes", generator["num_classes"]))
    pairs.append(("discriminator", "in_channels", "data.channels", channels))
    for part, key, other, wanted in pairs:
        has = arguments.get(part, {}).get(key)
        if has is not None and wanted is not None and _plain(has) != _plain(wanted):
            yield f"{part}.{key}: is {_plain(has)}, but {other} asks for {_plain(wanted)}"


def _table(facts: dict[str, Any], key: str) -> dict[str, Any]:
    value = facts.get(key)
    return value if isinstance(value, dict) else {}


def _tables_of_phases(facts: dict[str, Any]) -> list[dict[str, Any]]:
    phases = facts.get("phases")
    return [phase for phase in phases if isinstance(phase, dict)] if isinstance(phases, list | tuple) else []


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (tuple, list)) else value
