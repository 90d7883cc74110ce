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
from mezzotint.metrics.neighbours import distances, nearest

__all__ = ["Memorization", "closeness", "ct_cells", "ct_score", "duplicate_rate", "memorization", "thumbnails"]

# The share of real images that are called duplicates: a threshold of distance is calibrated to it.
_REAL_DUPLICATES = 0.01
# The CT test's cells: how many, from how many training images, in how many rounds of k-means, and the least images of either
# kind that make a cell count.
_CELLS, _CELL_IMAGES, _ROUNDS, _LEAST = 10, 10_000, 10, 20


@dataclass(frozen=True)
class Memorization:
    """Generated images beside their nearest training and held-out images.

    `training_share`: of the real images that are nearest to some generated one, how many are training images; by chance it
    is `expected_share`, the training set's share of all real images. `training_z` is the excess in standard deviations:
    above 3, images are copied. A generator whose images are merely smooth, typical or few passes. `ct_z`: `ct_score`, and
    `ct_cells` in cells. `authentic`: how many generated images have a `closeness` of at least 1, and `expected_authentic`,
    how many held-out ones. `nearest_ratio`: median distance to the nearest training image over what it is for held-out
    images, 1 for new data.

    Arrays, one entry for each generated image: indices and distances of its nearest images.
    """

    training_share: float
    expected_share: float
    training_z: float
    ct_z: float
    ct_cells: float
    authentic: float
    expected_authentic: float
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
        ct_cells=ct_cells(generated, held_out, training, to_training, real),
        authentic=float((closeness(generated, training) >= 1).mean()),
        expected_authentic=float((closeness(held_out, training) >= 1).mean()),
        nearest_ratio=_ratio(float(np.median(to_training)), float(np.median(real))),
        training_indices=training_indices,
        training_distances=to_training,
        held_out_indices=held_out_indices,
        held_out_distances=to_held_out,
    )


def ct_score(generated: np.ndarray, held_out: np.ndarray) -> float:
    """Z-score of the Mann-Whitney U of distances N and M to the nearest training image (Meehan et al. 2020, section 3).

    Below -3, generated images are nearer to the training set than held-out ones are: copied, or more typical than real
    images; above 3, farther: underfitted. Over all images at once; `ct_cells` is the paper's average over clusters of the
    data. Raises `UsageError`.
    """
    if min(len(generated), len(held_out)) < 1:
        raise UsageError("the CT test needs distances of both kinds")
    ordered = np.sort(held_out)
    below = np.searchsorted(ordered, generated, "left") + np.searchsorted(ordered, generated, "right")
    n, m = len(generated), len(held_out)
    return float((below.sum() / 2 - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12))


def ct_cells(
    generated: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray,
    generated_distances: np.ndarray,
    held_out_distances: np.ndarray,
) -> float:
    """The CT test's C_T: `ct_score` in each of ten cells of the data, averaged by the share of held-out images in them.

    Meehan et al. 2020, section 4: so a generator that copies in one place does not hide behind what it lacks in another. The
    cells are clusters of the training images (k-means); those with few generated or few held-out images do not count, and
    where none counts all images are one cell. Features N D, M D, K D; distances N, M to the nearest training image.
    """
    centres = _clusters(training[:_CELL_IMAGES], min(_CELLS, len(training)))
    inside, real = nearest(generated, centres)[1], nearest(held_out, centres)[1]
    scores, shares = [], []
    for cell in range(len(centres)):
        ours, theirs = generated_distances[inside == cell], held_out_distances[real == cell]
        if min(len(ours), len(theirs)) >= _LEAST:
            scores.append(ct_score(ours, theirs))
            shares.append(len(theirs))
    return float(np.average(scores, weights=shares)) if scores else ct_score(generated_distances, held_out_distances)


def closeness(images: np.ndarray, training: np.ndarray) -> np.ndarray:
    """How far each of `images` N D is from its nearest training image, in units of how far that one's own nearest is: N.

    Of real images that were not trained on about half have more than 1, and a copy has much less; where the data lie close
    together, so may the images. The authenticity of Alaa et al. 2022, section 4.3, before its threshold of 1. An exact copy
    has 0; one that differs from a training image that lies twice in the data has infinity.
    """
    found, indices = nearest(images, training)
    chosen, places = np.unique(indices, return_inverse=True)
    own = np.empty(len(chosen))
    for rows, block in distances(training[chosen], training):
        block[np.arange(len(block)), chosen[rows]] = np.inf
        own[rows] = block.min(1)
    own = own[places]
    return np.where(found == 0, 0.0, np.divide(found, own, out=np.full(len(found), np.inf), where=own > 0))


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


def _clusters(x: np.ndarray, count: int) -> np.ndarray:
    """Centres, `count` D, of a few rounds of k-means (Lloyd 1982) on `x` N D, from vectors spread evenly over `x`."""
    centres = x[np.linspace(0, len(x) - 1, count).astype(int)].astype(np.float64)
    for _ in range(_ROUNDS):
        cells = nearest(x, centres)[1]
        # A cell that lost all its vectors stays where it was.
        centres = np.stack([x[cells == i].mean(0) if (cells == i).any() else centres[i] for i in range(count)])
    return centres


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference > 0 else (1.0 if value == 0 else math.inf)
