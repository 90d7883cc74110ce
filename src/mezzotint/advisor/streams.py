"""How many small pictures a model is best given at once: measured on this machine, and remembered.

One picture of few pixels does not keep many threads busy; as many pictures as there are threads may, but then each takes
longer and what they share, such as the cache, is shared by more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mezzotint.advisor.remembered import recall, remember

if TYPE_CHECKING:
    from mezzotint.pipelines.upscale import Upscaler

# Fewer pictures than this are done before it would matter.
FEWEST = 16
# Sides of the squares that are measured with: powers of two, such as stand for pictures of about as many pixels.
_SMALLEST, _LARGEST = 16, 256
# The most seconds for all of it, and the most of what the work itself is expected to take.
_SECONDS, _SHARE = 1.5, 0.15
# Seconds of a round, and the least and the most number of rounds for a comparison.
_ROUND, _ROUNDS = 0.03, (2, 7)
# What is quicker by less than this is not worth the memory, and may be chance.
_GAIN = 0.05


def fastest(
    one: Upscaler, load: Callable[[int], Upscaler], size: tuple[int, int], pictures: int, threads: int
) -> Upscaler:
    """`one`, of one stream, or the same model in 2, 4, ... or `threads` streams: whatever takes `pictures` pictures of about
    `size` (height, width) fastest.

    The answer is remembered for this machine, model, precision, number of threads and rough size. If finding it would take
    more than a seventh of the work itself, what is best until then is taken, and not remembered. Raises as `load` does.
    """
    if pictures < FEWEST or threads == 1:
        return one
    pixels = size[0] * size[1]
    side = 2 ** round(math.log2(max(_SMALLEST, min(_LARGEST, math.sqrt(pixels)))))
    model = f"{one.card.name} {(one.card.weights_sha256 or '')[:16]}"
    question = f"{model} in {one.model.precision} on {threads} threads, {side}x{side}"
    known = recall(question)
    if known is not None:
        return one if known == 1 else load(known)
    best, finished = _measured(one, load, side, pictures * pixels / side**2, threads)
    if finished:
        remember(question, best.streams)
    return best


def _measured(
    one: Upscaler, load: Callable[[int], Upscaler], side: int, pictures: float, threads: int
) -> tuple[Upscaler, bool]:
    """The fastest, and whether all that may be were tried."""
    start = time.perf_counter()
    _seconds(one, side, 1)
    began = time.perf_counter()
    each, preparing = _seconds(one, side, 1), began - start
    end = began + min(_SECONDS, _SHARE * pictures * each)
    best, worse = one, 0
    candidates = [*(2**power for power in range(1, threads.bit_length()) if 2**power < threads), threads]
    for index, streams in enumerate(candidates):
        count, start = max(streams, math.ceil(_ROUND / each)), time.perf_counter()
        if start + preparing + _ROUNDS[0] * 2 * count * each > end:
            return best, False
        candidate = load(streams)
        _seconds(candidate, side, streams)
        preparing = time.perf_counter() - start
        enough = start + (end - start) / (len(candidates) - index)
        rounds: list[tuple[float, float]] = []
        while len(rounds) < _ROUNDS[0] or (len(rounds) < _ROUNDS[1] and time.perf_counter() < enough):
            # In turns, so that other work on the machine slows both down.
            rounds.append((_seconds(best, side, count), _seconds(candidate, side, count)))
        before, now = (min(seconds) for seconds in zip(*rounds, strict=True))
        each = min(before, now)
        if now < (1 - _GAIN) * before:
            best, worse = candidate, 0
        else:
            worse += 1
        if worse == 2:
            break
    return best, True


def _seconds(upscaler: Upscaler, side: int, count: int) -> float:
    """Seconds for each of `count` pictures of noise, on which the network alone is run: none is judged, nothing changes."""
    model, channels = upscaler.model, upscaler.card.in_channels
    random = np.random.default_rng(0)
    if hasattr(model, "bytes"):
        call = partial(model.bytes, random.integers(0, 256, (1, side, side, channels), np.uint8))
    else:
        call = partial(model, random.random((1, channels, side, side), np.float32))
    with ThreadPoolExecutor(upscaler.streams) as pool:
        start = time.perf_counter()
        list(pool.map(lambda _: call(), range(count)))
        return (time.perf_counter() - start) / count
