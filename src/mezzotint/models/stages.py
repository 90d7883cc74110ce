"""The sizes that an image goes through when it is halved again and again."""

from __future__ import annotations

from mezzotint.errors import UsageError

# Facts about sizes, no networks that a recipe could name.
__all__: list[str] = []


def halvings(size: tuple[int, ...], until: int, least: int) -> list[tuple[int, int]]:
    """`size` (height, width), half of it, a quarter and so on, rounded up, until the smaller side is at most `until`.

    Raises `UsageError` for a side below `least`.
    """
    if min(size) < least:
        raise UsageError(f"this network needs images of at least {least}x{least} pixels, not {size[0]}x{size[1]}")
    sizes = [(size[0], size[1])]
    while min(sizes[-1]) > until:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes
