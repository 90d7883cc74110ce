"""Does a generator copy? Its images against the training images, with held-out images of the same kind for comparison.

Being near a training image proves nothing: typical images are near everything. So every test here asks whether training
images are nearer than held-out ones are, or than they would be. The tests see what their features see; none can certify
that nothing was copied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mezzotint.errors import UsageError
from mezzotint.metrics.neighbours import nearest

__all__ = ["Memorization", "ct_score", "duplicate_rate", "memorization", "thumbnails"]

# The share of real images that are called duplicates: a threshold of distance is calibrated to it.
_REAL_DUPLICATES = 0.01


@dataclass(frozen=True)
class Memorization:
    """Generated images beside their nearest training and held-out images.

    `training_share`: of the real images that are nearest to some generated one, how many are training images; by chance it
    is `expected_share`, the training set's share of all real images. `training_z` is the excess in standard deviations:
    above 3, images are copied. A generator whose images are merely smooth, typical or few passes. `ct_z`: `ct_score`.
    `nearest_ratio`: median distance to the nearest training image over what it is for held-out images, 1 for new data.

    Arrays, one entry for each generated image: indices and distances of its nearest images.
    """

    training_share: float
    expected_share: float
    training_z: float
    ct_z: float
    nearest_ratio: float
    training_indices: np.ndarray
    training_distances: np.ndarray
    held_out_indices: np.ndarray
    held_out_distances: np.ndarray

    def suspects(self, count: int) -> np.ndarray:
        """Indices of the generated images most like copies: far nearer to a training image than to any held-out one."""
        closeness = (self.training_distances + 1e-12) / (self.held_out_distances + 1e-12)
        return np.argsort(closeness, kind="stable")[:count]


def memorization(generated: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> Memorization:
    """Compare `generated` N D with `training` M D, ideally the whole training set, and `held_out` K D, never trained on.

    If nothing is copied, training and held-out images are interchangeable: whichever of them are nearest to generated ones,
    training images are among these as if drawn at random from all M + K (hypergeometric). Each real image counts once,
    so a generator that repeats itself is not taken for one that copies. Raises `UsageError` for features that do not fit.
    """
    to_training, training_indices = nearest(generated, training)
    to_held_out, held_out_indices = nearest(generated, held_out)
    expected = len(training) / (len(training) + len(held_out))
    # An image that lies in both sets speaks neither for nor against.
    decided = to_training != to_held_out
    from_training = np.unique(training_indices[decided & (to_training < to_held_out)]).size
    found = from_training + np.unique(held_out_indices[decided & (to_training > to_held_out)]).size
    total = len(training) + len(held_out)
    deviation = math.sqrt(expected * (1 - expected) * (total - found) / (total - 1) / found) if found else 0
    share = from_training / found if found else expected
    real, _ = nearest(held_out, training)
    return Memorization(
        training_share=share,
        expected_share=expected,
        training_z=(share - expected) / deviation if deviation else 0.0,
        ct_z=ct_score(to_training, real),
        nearest_ratio=_ratio(float(np.median(to_training)), float(np.median(real))),
        training_indices=training_indices,
        training_distances=to_training,
        held_out_indices=held_out_indices,
        held_out_distances=to_held_out,
    )


def ct_score(generated: np.ndarray, held_out: np.ndarray) -> float:
    """Z-score of the Mann-Whitney U of distances N and M to the nearest training image (Meehan et al. 2020, section 3).

    Below -3, generated images are nearer to the training set than held-out ones are: copied, or more typical than real
    images; above 3, farther: underfitted. One cell: the paper averages over clusters of the data. Raises `UsageError`.
    """
    if min(len(generated), len(held_out)) < 1:
        raise UsageError("the CT test needs distances of both kinds")
    ordered = np.sort(held_out)
    below = np.searchsorted(ordered, generated, "left") + np.searchsorted(ordered, generated, "right")
    n, m = len(generated), len(held_out)
    return float((below.sum() / 2 - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12))


def duplicate_rate(generated: np.ndarray, real: np.ndarray) -> float:
    """Share of `generated` N D with a twin among the others, 0 to 1; for real data about 0.01.

    A twin is nearer than all but 1 % of `real` M D are to their nearest other one. Sets of one size are taken, the first
    min(N, M) of each, since images stand closer in larger ones. That repeats show in a sample at all bounds how much a
    generator can make: s images collide when it has about s^2 of them (Arora and Zhang 2017). Raises `UsageError`.
    """
    count = min(len(generated), len(real))
    if count < 2:
        raise UsageError("duplicates need two images of each kind")
    threshold = np.quantile(nearest(real[:count])[0], _REAL_DUPLICATES)
    return float((nearest(generated[:count])[0] <= threshold).mean())


def thumbnails(images: np.ndarray, side: int = 16) -> np.ndarray:
    """Pixels of images N H W C, each averaged down by a whole factor until no side exceeds `side`: N h w C float32."""
    count, height, width, channels = images.shape
    factor = math.ceil(max(height, width) / side)
    rows, columns = math.ceil(height / factor), math.ceil(width / factor)
    small = np.zeros((count, rows, columns, channels), np.float32)
    for y in range(factor):
        for x in range(factor):
            # A border that the factor cuts is continued by its last pixel.
            picked = np.minimum(np.arange(rows) * factor + y, height - 1)
            small += images[:, picked][:, :, np.minimum(np.arange(columns) * factor + x, width - 1)]
    return small / factor**2


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference > 0 else (1.0 if value == 0 else math.inf)
