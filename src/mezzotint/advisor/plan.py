"""From facts about pictures, the speed of this machine and the time there is to the recipe of a generator: arithmetic alone,
the same answer for the same facts, and a reason for every choice.

The method is R3GAN's (Huang et al. 2024, arXiv 2501.05441): relativistic pairing, R1 + R2, no normalisation, everything that
ramps does so over the first 60 % of the run. Where a number below names no source, it is our rule of thumb.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mezzotint.advisor.ladder import Setting, rounded
from mezzotint.data.survey import Survey
from mezzotint.errors import InputError

FEWEST = 16
# With fewer pictures a discriminator soon knows them all by heart.
_FEW, _MANY = 1_500, 10_000
_LABELLED = 50  # pictures that a class needs on average to be worth learning apart
# Until about so many images are seen a generator that ends in interpolation is ahead, then the detail of one that ends in a
# pixel shuffle; between the two that were compared (docs/log.md).
_SMOOTH_UNTIL = 200_000
# Below this likeness pictures show things of all sorts at all places (`data/survey.py`).
_UNLIKE = 0.04


@dataclass(frozen=True)
class Plan:
    """A recipe as plain values, and lines for a person: what was found, chosen and why, and what to expect."""

    facts: dict[str, Any]
    reasons: tuple[str, ...]


def check(survey: Survey) -> None:
    """Raises `InputError` for pictures that no generator should be trained on, naming what to do instead."""
    if {name.upper() for name, _ in survey.classes} == {"HR", "LR"}:
        raise InputError(
            "these are pairs for super-resolution (folders HR and LR), which `auto` does not plan; take a recipe such as "
            "compact-x4, see `mezzotint recipes`"
        )
    if survey.count < FEWEST:
        found = f"{survey.count} pictures are" if survey.count > 1 else "one picture is"
        raise InputError(
            f"{found} too few to learn what they have in common: give at least {FEWEST}, better hundreds; the recipe "
            "`article` learns the texture of a single picture"
        )


def labels(survey: Survey) -> int:
    """How many classes the networks are told of; 0 for none."""
    classes = len(survey.classes)
    return classes if classes >= 2 and survey.count >= _LABELLED * classes else 0


def plan(survey: Survey, speeds: Mapping[Setting, float], minutes: float) -> Plan:
    """The most ambitious of the measured settings, images a second each, for which `minutes` suffice; else the fastest."""
    measured = list(speeds)
    enough = [setting for setting in measured if 60 * minutes * speeds[setting] >= setting.needed]
    setting = enough[-1] if enough else measured[0]
    # Two digits: no more is known, and equal machines shall write equal recipes.
    images = rounded(60 * minutes * speeds[setting])
    facts = recipe(survey, setting, minutes, images)
    beyond = [other for other in measured if other.needed > setting.needed]
    return Plan(facts, tuple(_reasons(survey, setting, beyond, speeds, minutes, images, facts)))


def recipe(survey: Survey, setting: Setting, minutes: float, images: int) -> dict[str, Any]:
    """The recipe for one setting that will see about so many `images`."""
    channels, classes = 1 if survey.grey else 3, labels(survey)
    few, many = survey.count < _FEW, survey.count >= _MANY
    steps = max(1, images // setting.batch)
    shared = {"size": list(setting.size), "widths": list(setting.widths), "blocks_per_stage": setting.blocks}
    shared |= {"num_classes": classes}
    # R3GAN's gammas begin at 2 for faces of 64x64 and at 150 for 256x256 (its appendix D); 1 serves 28x28 (docs/log.md).
    side = math.sqrt(setting.size[0] * setting.size[1])
    gamma = _digits((max(1.0, side / 32) if side <= 64 else 2 * (side / 64) ** 3) * (2 if few else 1))
    probability = 0.4 if few else 0.0 if many else 0.2
    adam = {"name": "Adam", "learning_rate": 4e-4, "betas": [0.0, 0.99]}
    # Half-life of the average: 5 % of what is seen, at most 500,000 images (R3GAN's).
    half_life = min(500_000, 0.05 * images) / setting.batch
    facts: dict[str, Any] = {
        "task": "generation",
        "description": f"{setting.label} {'grey' if survey.grey else 'colour'} pictures"
        + (f" of {classes} classes" if classes else "") + ", as `mezzotint train auto` chose it",
        "minutes": minutes,
        "schedule": "cosine",
        "warmup": min(100, max(1, steps // 50)),
        "ema": round(0.5 ** (1 / max(1.0, half_life)), 5),
        "validations": 20,
        # About 250 lines in all; a multiple of four, for then every line has held-out images.
        "log_every": max(4, min(100, steps // 1000 * 4)),
        "generator": {
            "name": "r3gan.Generator", **shared, "latent_dim": 64, "out_channels": channels,
            "basis": False, "shuffle": images >= _SMOOTH_UNTIL,
        },
        "discriminator": {"name": "r3gan.Discriminator", **shared, "in_channels": channels},
        "method": {
            "name": "gan.GAN", "game": "adversarial.relativistic",
            "penalties": {"regularization.r1": gamma, "regularization.r2": gamma}, "penalty_share": 0.25,
            "augment": _augmentations(survey, few), "adaptive": 0.3,
        },
        "data": {
            "batch": setting.batch, "size": list(setting.size), "channels": channels, "augment": _mirrored(survey),
            "held_out": 0.1 if few else 0.02 if many else 0.05,
        },
        "optimizer": {"generator": adam, "discriminator": dict(adam)},
        "ramps": {"until": 0.6, "penalties": [1.0, 0.1], "second_beta": [0.9, 0.99]},
    }  # fmt: skip
    if probability:
        facts["ramps"]["augment"] = [0.0, probability]
    return facts


def _augmentations(survey: Survey, few: bool) -> list[str]:
    """What the discriminator sees images through: moves for all, colours too where pictures are few."""
    moved = ["translate", "zoom", "cutout"]
    if not few:
        return moved
    return [*moved, "stretch", "brightness", "contrast", *([] if survey.grey else ["saturation"])]


def _mirrored(survey: Survey) -> bool:
    """Photographs look as natural mirrored; small grey pictures may be letters or digits."""
    return not (survey.grey and max(survey.size) <= 64)


def _reasons(
    survey: Survey, setting: Setting, beyond: list[Setting], speeds: Mapping[Setting, float], minutes: float,
    images: int, facts: dict[str, Any],
) -> list[str]:  # fmt: skip
    classes, few = labels(survey), survey.count < _FEW
    height, width = survey.size
    found = f"{survey.count:,} {'grey' if survey.grey else 'colour'} pictures, {'' if survey.uniform else 'about '}"
    found += f"{width}x{height}" + (f", {len(survey.classes)} classes by sub-folder or label" if survey.classes else "")
    lines = [f"found: {found}"]
    if survey.classes:
        smallest, largest = (end(number for _, number in survey.classes) for end in (min, max))
        each = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
        lines.append(
            f"labels: used, each class has {each} pictures"
            if classes
            else f"labels: left aside, {each} pictures a class are too few to learn apart"
        )
    short = images < setting.needed
    why = f"{images:,} images in {minutes:g} minutes are {'fewer than' if short else 'enough for'} the {setting.needed:,} "
    why += "that it takes"
    if beyond:
        other = beyond[0]
        seen = rounded(60 * minutes * speeds[other])
        better = f"{other.label}" if other.size != setting.size else "a larger network"
        why += f"; {better} would see {seen:,} of {other.needed:,}"
    elif setting.size == survey.size:
        why += ", and the pictures have no more pixels"
    lines.append(f"size: {setting.label}, because {why}")
    widths = ", ".join(map(str, setting.widths))
    lines.append(
        f"networks: {len(setting.widths)} stages of {widths} channels, batches of {setting.batch}: "
        f"{rounded(speeds[setting]):,} images a second here"
    )
    penalty = facts["method"]["penalties"]["regularization.r1"]
    strength = "strong" if few else "moderate" if "augment" in facts["ramps"] else "only if it is needed"
    lines.append(
        f"penalties: R1 and R2 from {penalty:g} to {penalty / 10:g}; augmentation: {strength}, more of it when held-out "
        f"pictures ({facts['data']['held_out']:.0%}) show that the discriminator learns by heart"
        + ("; mirrored left to right too (letters? set data.augment=false)" if facts["data"]["augment"] else "")
    )
    lines.append(f"expect: {_expectation(survey, setting, minutes, images)}")
    return lines


def _expectation(survey: Survey, setting: Setting, minutes: float, images: int) -> str:
    share = images / setting.needed
    text = f"{images:,} images seen = {max(1, round(images / survey.count)):,} passes over your pictures; "
    if share < 0.3:
        text += "colours and coarse blobs"
    elif survey.likeness < _UNLIKE and not labels(survey):
        text += "moods and textures rather than things, for your pictures have no layout in common; "
        text += "one kind of them alone, or a sub-folder for each kind, gives more"
    elif share < 1:
        text += "rough shapes, no details"
    elif share < 4:
        text += "recognisable shapes with soft details"
    else:
        text += "clear shapes and details, as far as the pictures are alike"
    if share < 1:
        text += f"; {rounded(minutes / share):,} minutes would be a fair start"
    if survey.count < _FEW:
        text += "; with so few pictures look whether it copies them (`mezzotint evaluate`)"
    return text


def _digits(value: float) -> float:
    """One significant digit or two."""
    return float(f"{value:.2g}")


__all__ = ["FEWEST", "Plan", "check", "labels", "plan", "recipe"]
