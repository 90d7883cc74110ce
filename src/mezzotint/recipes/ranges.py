"""Numbers in a recipe's components that their types allow and their meaning does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Arguments of methods: weights of losses, alone or by name, and shares of a batch.
_WEIGHTS = ("losses", "consistency", "penalties", "adversarial", "classify")
_SHARES = ("penalty_share",)
# Without classes there are none of them; of all else a network needs some.
_MAY_BE_NONE = ("num_classes",)


def out_of_range(facts: dict[str, Any]) -> Iterator[str]:
    """Networks of nothing, negative weights and shares of nothing or of more than all."""
    for part in ("generator", "discriminator"):
        for key, value in _items(facts.get(part)):
            counts = value if isinstance(value, list | tuple) else [value]
            # Of a bool, `type` tells what `isinstance` does not.
            if key not in _MAY_BE_NONE and (not counts or any(type(count) is int and count < 1 for count in counts)):
                yield f"{part}.{key}: is {value}, and a network's sizes and counts are at least 1"
    for key, value in _items(facts.get("method")):
        if key in _WEIGHTS:
            for name, weight in _items(value) or [("", value)]:
                if isinstance(weight, int | float) and weight < 0:
                    yield f"method.{key}: {name + ' ' if name else ''}weighs {weight:g}, and weights are 0 or more"
        if key in _SHARES and isinstance(value, int | float) and not 0 < value <= 1:
            yield f"method.{key}: is {value:g}, and a share of the batch is above 0 and at most 1"


def _items(table: Any) -> list[tuple[str, Any]]:
    return list(table.items()) if isinstance(table, dict) else []
