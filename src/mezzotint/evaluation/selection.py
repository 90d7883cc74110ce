"""The better images of a generator, and no copies: each is chosen from several candidates by comparison with real images.

Choosing costs diversity: what is rare in the data looks less realistic, and is chosen less often.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.errors import LimitError, QualityError, UsageError
from mezzotint.evaluation.encoders import pixels, squeezenet, thumbs
from mezzotint.evaluation.generation_data import opaque, prepared
from mezzotint.metrics.distribution import realism
from mezzotint.metrics.memorization import closeness
from mezzotint.pipelines.generate import Generator, check_noise, noise

# Real images that span the manifold, and those that say how near to the training images new ones come.
_MANIFOLD, _JUDGES = 5000, 1000
# Of these, the share that would be taken for copies.
_MISTAKEN = 0.01
_FEWEST = 100
_MOST_CANDIDATES = 200_000
# Candidate r of image i is image i + r * 2^32 of the seed, so it depends on neither n nor the number of candidates.
_APART = 1 << 32


@dataclass(frozen=True)
class Selection:
    """`images` N H W C uint8 with their `numbers` N (as `generate` counts them), `labels` N and `realism` N.

    `candidates` were made and `copies` of them dropped; `missing` are the numbers of images all of whose candidates were
    copies. `usual` is the median realism of all candidates. `limit`: candidates closer to a training image (in `closeness`)
    were taken for copies; so would be 1 % of the images `judged_by` says.
    """

    images: np.ndarray
    numbers: np.ndarray
    labels: np.ndarray
    realism: np.ndarray
    candidates: int
    copies: int
    missing: list[int]
    usual: float
    limit: float
    judged_by: str

    def told(self) -> str:
        """What was done, for a person."""
        lines = [
            f"{self.candidates} candidates, median realism {self.usual:.2f}; {len(self.images)} chosen, median "
            f"{np.median(self.realism):.2f} (1 and more: inside what real images span)",
            f"{self.copies} dropped: nearer to a training image, for how near its own nearest is, than 99 % of the "
            f"{self.judged_by} (closeness up to {self.limit:.2f})",
        ]
        if self.missing:
            lines.append(
                f"left out, since all their candidates were dropped: images {', '.join(map(str, self.missing))}"
            )
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return {
            "candidates": self.candidates,
            "dropped": self.copies,
            "closeness_limit": self.limit,
            "judged_by": self.judged_by,
            "missing": self.missing,
            "numbers": self.numbers.tolist(),
            "realism": [None if np.isinf(value) else round(float(value), 4) for value in self.realism],
            "usual_realism": round(self.usual, 4),
        }


def select(
    generator: Generator,
    n: int,
    best_of: int,
    real: str | Path,
    reference: str | Path | None = None,
    *,
    seed: int = 0,
    label: int | str | None = None,
    truncation: float | None = None,
    features: str | Path | None = None,
    threads: int | None = None,
) -> Selection:
    """For each of `n` images the most realistic of `best_of` candidates of its class that copies no training image.

    The first candidate is the image that `generate` gives. Realism (`metrics.distribution.realism`) is measured in the
    features of SqueezeNet 1.1 from a file, `features`, or in pixels of thumbnails; copies are found in these pixels
    (`metrics.memorization.closeness`). `real`: the images the generator was trained on; `reference`: held-out ones, which
    say how close new images come; without them, a part of `real` does, left out for that. Equal arguments give equal images,
    and an image is the same whatever n. Raises `UsageError`, `LimitError`, `InputError`, `ModelError`, `QualityError`.
    """
    if best_of < 1 or n * best_of > _MOST_CANDIDATES:
        raise LimitError(f"at least 1 and at most {_MOST_CANDIDATES:,} candidates in all, not {n} x {best_of}")
    labels = generator.labels(n, label)
    check_noise(seed, truncation)
    encoder = pixels() if features is None else squeezenet(features, threads)
    training = _load(generator, real, seed)
    if reference is None:
        judged_by, judges, others = "training images, left out for that", training[:_JUDGES], training[_JUDGES:]
        if len(others) < _FEWEST:
            half = len(training) // 2
            judges, others = training[:half], training[half:]
    else:
        judged_by, judges, others = "held-out images", _load(generator, reference, seed)[:_JUDGES], training
    limit = float(np.quantile(closeness(thumbs(judges), thumbs(others)), _MISTAKEN))

    shape = generator.card.latent_shape
    numbers = (np.arange(best_of)[:, None] * _APART + np.arange(n)).ravel()
    z = np.stack([noise(seed, int(number), shape, truncation) for number in numbers])
    images = np.concatenate(list(generator.rendered(z, np.tile(labels, best_of))))
    seen = opaque(images)
    copied = (closeness(thumbs(seen), thumbs(training)) <= limit).reshape(best_of, n)
    scores = realism(encoder.encode(training[:_MANIFOLD]), encoder.encode(seen)).reshape(best_of, n)
    best = np.where(copied, -np.inf, scores).argmax(0)
    kept = np.flatnonzero(~copied.all(0))
    if not len(kept):
        raise QualityError(
            f"{generator.card.name} copies: all {n * best_of} candidates are too near to training images"
        )
    return Selection(
        images.reshape(best_of, n, *images.shape[1:])[best[kept], kept],
        numbers.reshape(best_of, n)[best[kept], kept],
        labels[kept],
        scores[best[kept], kept],
        n * best_of,
        int(copied.sum()),
        np.flatnonzero(copied.all(0)).tolist(),
        float(np.median(scores)),
        limit,
        judged_by,
    )


def _load(generator: Generator, path: str | Path, seed: int) -> np.ndarray:
    """All images of a data set in the generator's size and colours, on white, in an order that `seed` shuffles: N H W C."""
    found = prepared(generator.card, path, seed)
    if len(found) < _FEWEST:
        raise UsageError(f"{path} has {len(found)} usable images; at least {_FEWEST} say what is realistic")
    return np.stack([found[int(index)] for index in np.random.default_rng(seed).permutation(len(found))])
