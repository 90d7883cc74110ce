"""What a recipe is: a frozen value that names networks, method, data, losses, schedule and seed. Typed, nothing optional
hidden; every mistake is reported at once, with its path, before any work.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from mezzotint.errors import InputError, UsageError
from mezzotint.recipes import checks

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
Share = Annotated[float, Field(ge=0, lt=1)]
# The largest is refused at once, not when memory has run out.
Batch = Annotated[int, Field(ge=1, le=1 << 16)]
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
    """Adam, AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019) or Muon (`training/muon.py`)."""

    model_config = _STRICT
    name: Literal["Adam", "AdamW", "Muon"] = "AdamW"
    learning_rate: PositiveFloat
    betas: tuple[Share, Share] = (0.9, 0.99)
    weight_decay: float = Field(0.0, ge=0)
    eps: PositiveFloat = 1e-8


class Data(BaseModel):
    """Batches. Super-resolution cuts patches of `patch` low-resolution pixels; generation resizes to `size` or cuts that."""

    model_config = _STRICT
    batch: Batch
    patch: Annotated[int, Field(ge=3)] | None = None  # validation needs more than its border
    size: tuple[PositiveInt, PositiveInt] | None = None  # height, width
    crop: bool = False  # generation: parts of `size` cut anywhere out of large pictures, instead of whole ones
    channels: Literal[1, 2, 3, 4] = 3  # grey or colour; generation: 2 and 4 with opacity
    class_names: tuple[str, ...] = ()  # of a labelled set, in the order of their numbers
    augment: bool = True  # super-resolution: the eight flips and rotations; generation: mirrored left to right
    reuse: PositiveInt = 1  # with a [degradation]: how many patches are cut from each degraded region
    held_out: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # generation: share of images to watch for overfitting
    # Super-resolution: functions of `data.augment` and the share of pairs that each changes.
    mix: dict[str, Annotated[float, Field(gt=0, le=1)]] = {}


class Phase(BaseModel):
    """What changes when the share `begin` of the run is done; what is not given stays as it was."""

    model_config = _STRICT
    begin: Annotated[float, Field(gt=0, lt=1)]
    patch: Annotated[int, Field(ge=3)] | None = None
    batch: Batch | None = None
    losses: dict[str, float] | None = None


class Ramps(BaseModel):
    """Generation: what goes from a first value to a second by half a cosine while the share `until` of the run is done
    (Huang et al. 2024, section 4 and appendix D).
    """

    model_config = _STRICT
    until: Annotated[float, Field(gt=0, le=1)] = 1.0
    penalties: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)  # factor on every weight in method.penalties
    augment: tuple[Share, Share] = (0.0, 0.0)  # probability of each augmentation in method.augment
    second_beta: tuple[Share, Share] | None = None  # of all optimizers

    def at(self, progress: float, ends: tuple[float, float]) -> float:
        """The value between `ends` when the share `progress` of the run is done."""
        share = 0.5 * (1 - math.cos(math.pi * min(1.0, progress / self.until)))
        return ends[0] + share * (ends[1] - ends[0])


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
    phases: tuple[Phase, ...] = ()  # super-resolution: such as larger patches and squared errors at the end
    degradation: Component | None = None  # super-resolution: how LR is made; by default MATLAB's bicubic
    optimizer: dict[Literal["generator", "discriminator"], Optimizer]
    ramps: Ramps | None = None
    schedule: Literal["constant", "cosine", "trapezoid"] = "cosine"
    warmup: int = Field(0, ge=0)  # steps over which the rate rises from 0
    ema: Share = 0.999
    clip: float = Field(0.0, ge=0)  # largest gradient norm, 0 for no clipping
    precision: Literal["auto", "f32", "bf16"] = "auto"
    compile: bool = False  # the generator's training steps, by torch.compile: faster after tens of seconds at the start
    validations: PositiveInt = 20  # how often in the whole run the averaged generator is looked at
    log_every: PositiveInt = 100
    checkpoint_seconds: float = Field(60.0, ge=0)

    def phase(self, progress: float) -> int:
        """How many of `phases` have begun when the share `progress` of the run is done."""
        return sum(phase.begin <= progress for phase in self.phases)

    def patches(self) -> list[tuple[int, int]]:
        """(patch, batch) before and in each of `phases`."""
        assert self.data.patch is not None
        sizes = [(self.data.patch, self.data.batch)]
        for phase in self.phases:
            sizes.append((phase.patch or sizes[-1][0], phase.batch or sizes[-1][1]))
        return sizes

    def losses(self, phase: int) -> dict[str, float] | None:
        """The method's losses in one phase; None for a method without."""
        given: dict[str, float] | None = self.method.arguments.get("losses")
        for begun in self.phases[:phase]:
            given = begun.losses or given
        return given


_KEYS = {
    "": Recipe.model_fields,
    "data": Data.model_fields,
    "optimizer": Optimizer.model_fields,
    "phases": Phase.model_fields,
    "ramps": Ramps.model_fields,
}


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
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read recipe {path}: {why}") from error


def read(recipe: str | Path | Recipe, overrides: Iterable[str] = ()) -> Recipe:
    """Read (by name, from a file, or take a value), override and check a recipe; overrides look as in TOML, such as
    `"optimizer.generator.learning_rate=3e-4"`. Raises `UsageError`, `InputError`.
    """
    if isinstance(recipe, Recipe):
        facts, source = recipe.model_dump(exclude_unset=True), "the recipe"
    else:
        source = str(recipe)
        try:
            facts = tomllib.loads(text(recipe))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"recipe {source} is not valid TOML: {error}") from error
    for override in overrides:
        _override(facts, override)
    return check(facts, source)


def check(facts: dict[str, Any], source: str = "recipe") -> Recipe:
    """Turn plain values into a `Recipe`; one `UsageError` lists every mistake with its path."""
    mistakes: list[str] = []
    try:
        recipe = Recipe.model_validate(facts)
    except ValidationError as error:
        mistakes += checks.readable(error, _KEYS)
    mistakes += checks.mistakes(facts)
    if mistakes:
        raise UsageError(f"{source} has {len(mistakes)} mistake(s): {'; '.join(mistakes)}")
    return recipe


def _override(facts: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"'{override}' is not an override of the form key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # an unquoted string, the usual thing to type on a command line
    *parents, last = _keys(path.strip(), override)
    for parent in parents:
        facts = facts.setdefault(parent, {})
        if not isinstance(facts, dict):
            raise UsageError(f"'{override}': {parent} is a value, not a table")
    facts[last] = parsed


def _keys(path: str, override: str) -> list[str]:
    """The keys of a dotted path by TOML's rules: `method.losses."pixel.l1"` has three."""
    try:
        table = tomllib.loads(f"{path} = 0")
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"'{override}' is not an override of the form key=value") from error
    keys = []
    while isinstance(table, dict):
        ((key, table),) = table.items()
        keys.append(key)
    return keys
