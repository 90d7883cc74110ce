"""Animations through a super-resolution model, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from mezzotint.image.frames import Animation
from mezzotint.image.picture import Picture
from mezzotint.pipelines.upscale import Upscaler

# A GIF's palette is found from this many frames, which are kept until their turn comes.
_FOR_PALETTE = 8


class Enlarged:
    """The frames of an animation, enlarged one at a time; those that show the same as the one before are not done again.

    `first` is the first one, which has been done already. `between` is called before every other; what it raises ends the
    work.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        source: Animation,
        first: Picture,
        scale: float | None = None,
        tile: int | None = None,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self.source, self._between = source, between
        self._enlarge: Callable[[Picture], Picture] = partial(upscaler.picture, scale=scale, tile=tile)
        self._done = {0: first}

    def some(self) -> list[Picture]:
        """A few frames spread over the whole length. Raises as `Upscaler.picture`."""
        step = -(-len(self.source.durations) // _FOR_PALETTE)
        for index, frame in enumerate(self.source.frames()):
            if index % step == 0 and index not in self._done:
                self._between()
                self._done[index] = self._enlarge(frame)
        return list(self._done.values())

    def __iter__(self) -> Iterator[Picture]:
        """All frames in order. Raises as `Upscaler.picture`."""
        before, result = None, None
        for index, frame in enumerate(self.source.frames()):
            if index in self._done:
                result = self._done.pop(index)
            elif result is None or before is None or not _same(frame, before):
                self._between()
                result = self._enlarge(frame)
            before = frame
            yield result


def _same(frame: Picture, other: Picture) -> bool:
    if frame.alpha is not None and other.alpha is not None and not np.array_equal(frame.alpha, other.alpha):
        return False
    return np.array_equal(frame.pixels, other.pixels)
