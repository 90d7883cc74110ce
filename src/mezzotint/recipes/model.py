"""What a recipe is: a frozen value that names networks, method, data, losses, schedule and seed. Typed, nothing optional
hidden; every mistake is reported at once, with its path, before any work.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, create_model

from mezzotint.card import GENERATION, SUPER_RESOLUTION
from mezzotint.errors import InputError, MezzotintError, UsageError
from mezzotint.refs import resolve

_STRICT = ConfigDict(extra="forbid", frozen=True)
FOLDER = Path(__file__).parent


class Component(BaseModel):
    """A network or a method: a reference and keyword arguments for its constructor, checked against its signature."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.__pydantic_extra__ or {})


class Optimizer(BaseModel):
    """Adam or AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019)."""

    model_config = _STRICT
    name: Literal["Adam", "AdamW"] = "AdamW"
    learning_rate: PositiveFloat
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.0, ge=0)
    eps: PositiveFloat = 1e-8


class Data(BaseModel):
    """Batches. Super-resolution crops patches of `patch` low-resolution pixels; generation resizes to `size`."""

    model_config = _STRICT
    batch: PositiveInt
    patch: PositiveInt | None = None
    size: tuple[PositiveInt, PositiveInt] | None = None  # height, width
    channels: Literal[1, 3] = 3
    class_names: tuple[str, ...] = ()  # of a labelled set, in the order of their numbers
    augment: bool = True  # super-resolution: the eight flips and rotations; generation: mirrored left to right


class Recipe(BaseModel):
    """A whole training run. At least one of `steps` and `minutes` bounds it."""

    model_config = _STRICT
    task: Literal["super-resolution", "generation"]
    description: str
    seed: int = Field(0, ge=0)
    steps: PositiveInt | None = None
    minutes: PositiveFloat | None = None
    generator: Component
    discriminator: Component | None = None
    start: str | None = None  # weights that the generator starts from: a name, a run folder or a file
    method: Component
    data: Data
    degradation: Component | None = None  # super-resolution: how LR is made; by default MATLAB's bicubic
    optimizer: dict[Literal["generator", "discriminator"], Optimizer]
    schedule: Literal["constant", "cosine", "trapezoid"] = "cosine"
    warmup: int = Field(0, ge=0)  # steps over which the rate rises from 0
    ema: float = Field(0.999, ge=0, lt=1)
    clip: float = Field(0.0, ge=0)  # largest gradient norm, 0 for no clipping
    precision: Literal["auto", "f32", "bf16"] = "auto"
    validations: PositiveInt = 20  # how often in the whole run the averaged generator is looked at
    log_every: PositiveInt = 100
    checkpoint_seconds: float = Field(60.0, ge=0)


def names() -> list[str]:
    """Names of the shipped recipes, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def text(name_or_path: str | Path) -> str:
    """A recipe's TOML. Raises `UsageError` for an unknown name, `InputError` for an unreadable file."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in names():
            raise UsageError(
                f"no recipe named '{name_or_path}'; shipped recipes: {', '.join(names())}; or a .toml file"
            )
        path = FOLDER / f"{name_or_path}.toml"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read recipe {path}: {error}") from error


def read(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read, override (`"optimizer.generator.learning_rate=3e-4"`) and check a recipe. Raises `UsageError`, `InputError`."""
    try:
        facts = tomllib.loads(text(name_or_path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"recipe {name_or_path} is not valid TOML: {error}") from error
    for override in overrides:
        _override(facts, override)
    return check(facts, str(name_or_path))


def check(facts: dict[str, Any], source: str = "recipe") -> Recipe:
    """Turn plain values into a `Recipe`; one `UsageError` lists every mistake with its path."""
    mistakes: list[str] = []
    recipe = None
    try:
        recipe = Recipe.model_validate(facts)
    except ValidationError as error:
        mistakes += _readable(error, "")
    for part, folder, given in (
        ("generator", "models", ()),
        ("discriminator", "models", ()),
        ("method", "training", ("networks", "optimizers")),
        ("degradation", "data", ()),
    ):
        component = facts.get(part)
        if isinstance(component, dict) and isinstance(component.get("name"), str):
            mistakes += _check_component(part, component, folder, given)
    if recipe is not None:
        mistakes += _check_sense(recipe)
    if mistakes:
        raise UsageError(f"{source} has {len(mistakes)} mistake(s): {'; '.join(mistakes)}")
    assert recipe is not None
    return recipe


def _check_component(part: str, component: dict[str, Any], folder: str, given: tuple[str, ...]) -> list[str]:
    try:
        target = resolve(component["name"], folder)
    except MezzotintError as error:
        return [f"{part}.name: {error}"]
    arguments = {key: value for key, value in component.items() if key != "name"}
    try:
        _arguments_model(target, given).model_validate(arguments)
        if folder == "data":
            # Made of plain values, so it costs nothing to let it check its own ranges now.
            target(**arguments)
    except ValidationError as error:
        return _readable(error, f"{part}.")
    except MezzotintError as error:
        return [f"{part}: {error}"]
    return []


def _arguments_model(target: Any, given: tuple[str, ...]) -> type[BaseModel]:
    """The constructor's signature as a model, so that unknown, missing and ill-typed arguments are found like any other."""
    hints = get_type_hints(target.__init__)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if name not in given:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), default)
    return create_model(target.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def _check_sense(recipe: Recipe) -> list[str]:
    """Mistakes that only show between keys."""
    mistakes = []
    if recipe.steps is None and recipe.minutes is None:
        mistakes.append("steps: give steps or minutes, or both")
    if recipe.task == SUPER_RESOLUTION and recipe.data.patch is None:
        mistakes.append("data.patch: super-resolution needs a patch size")
    if recipe.task != SUPER_RESOLUTION and recipe.degradation is not None:
        mistakes.append("degradation: only super-resolution has one")
    if recipe.task == GENERATION and recipe.data.size is None:
        mistakes.append("data.size: generation needs an image size, [height, width]")
    wanted = {"generator"} | ({"discriminator"} if recipe.discriminator else set())
    if set(recipe.optimizer) != wanted:
        mistakes.append(
            f"optimizer: needs exactly {', '.join(sorted(wanted))}, has {', '.join(sorted(recipe.optimizer))}"
        )
    for kind in ("losses", "game", "penalties"):
        value = recipe.method.arguments.get(kind, {})
        for name in [value] if isinstance(value, str) else value:
            try:
                resolve(name, "losses")
            except MezzotintError as error:
                mistakes.append(f"method.{kind}: {error}")
    return mistakes


def _readable(error: ValidationError, prefix: str) -> list[str]:
    return [f"{prefix}{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]


def _override(facts: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"'{override}' is not an override of the form key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # an unquoted string, the usual thing to type on a command line
    *parents, last = path.strip().split(".")
    for parent in parents:
        facts = facts.setdefault(parent, {})
        if not isinstance(facts, dict):
            raise UsageError(f"'{override}': {parent} is a value, not a table")
    facts[last] = parsed
