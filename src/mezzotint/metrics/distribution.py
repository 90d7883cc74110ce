"""How far generated images are from real ones as distributions: distances, fidelity, diversity. NumPy, float64.

All but `sliced_wasserstein` take features N D of any encoder. A number is only comparable with numbers from the same
features and the same N, so it carries their name and never that of another ("FID" is Inception's). A finite sample of the
data itself does not score 0 either: measure one of the same size beside the generator.
"""

from __future__ import annotations

import numpy as np

from mezzotint.errors import UsageError
from mezzotint.metrics.neighbours import distances, radii

__all__ = [
    "density_coverage",
    "frechet_distance",
    "kernel_distance",
    "precision_recall",
    "realism",
    "sliced_wasserstein",
]

_BLOCK = 2048
_PATCH = 7
# Binomial taps of the Laplacian pyramid (Burt and Adelson 1983).
_TAPS = np.array([1, 4, 6, 4, 1]) / 16


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Frechet distance of the Gaussians fitted to `x` N D and `y` M D (Heusel et al. 2017, equation 6).

    |mx - my|^2 + tr(Sx + Sy - 2 (Sx^1/2 Sy Sx^1/2)^1/2), covariances divided by N - 1. The last trace is the sum of the
    singular values of A B^T for any Sx = A^T A and Sy = B^T B, here of the R of centred QR decompositions: never
    imaginary, no small eigenvalue squared away, and exact also for N below D. It falls with N: about 2 D samples are the
    least that mean something. Raises `UsageError` for less than two samples each or different D.
    """
    mean_x, root_x = _gaussian(x)
    mean_y, root_y = _gaussian(y)
    if len(mean_x) != len(mean_y):
        raise UsageError(f"features of {len(mean_x)} and {len(mean_y)} dimensions cannot be compared")
    shared = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    distance = ((mean_x - mean_y) ** 2).sum() + (root_x**2).sum() + (root_y**2).sum() - 2 * shared
    return max(0.0, float(distance))


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared maximum mean discrepancy of `x` N D and `y` M D under k(a, b) = (ab / D + 1)^3, unbiased (Binkowski et al.
    2018, section 4 and equation 4): 0 on average for equal distributions and at times negative, whatever N and M.

    Over all pairs at once, where the paper averages over random subsets: the same expectation, less noise.
    """
    if min(len(x), len(y)) < 2:
        raise UsageError(f"the kernel distance needs two samples of each kind, not {len(x)} and {len(y)}")
    within_x = (_kernel_sum(x, x) - _kernel_diagonal(x)) / (len(x) * (len(x) - 1))
    within_y = (_kernel_sum(y, y) - _kernel_diagonal(y)) / (len(y) * (len(y) - 1))
    return within_x + within_y - 2 * _kernel_sum(x, y) / (len(x) * len(y))


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Precision and recall of `fake` M D against `real` N D, 0 to 1 (Kynkaanniemi et al. 2019, section 2).

    Precision is the share of fakes inside the manifold of the real ones (some real vector is at least as near as that
    vector's own `k`-th neighbour), recall the share of real ones inside the manifold of the fakes. Take N = M.
    """
    radii_real, radii_fake = radii(real, k), radii(fake, k)
    precise, recalled = 0, np.zeros(len(real), bool)
    for rows, block in distances(fake, real):
        precise += int((block <= radii_real).any(1).sum())
        recalled |= (block <= radii_fake[rows, None]).any(0)
    return precise / len(fake), float(recalled.mean())


def realism(real: np.ndarray, fake: np.ndarray, k: int = 3) -> np.ndarray:
    """How realistic each of `fake` M D is beside `real` N D: M (Kynkaanniemi et al. 2019, section 5, equation 3).

    The largest of a real vector's radius (out to its `k`-th neighbour) over the fake's distance from it: above 1 it lies
    inside the manifold that `precision_recall` counts. As there in the paper, real vectors whose radius exceeds the median
    do not count, since in sparse regions anything would look real. Infinite for a vector equal to a real one.
    """
    reach = radii(real, k)
    kept = reach <= np.median(reach)
    found = np.empty(len(fake))
    for rows, block in distances(fake, real[kept]):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = reach[kept] / block
        found[rows] = np.where(np.isnan(ratios), np.inf, ratios).max(1)
    return found


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Density and coverage of `fake` M D against `real` N D (Naeem et al. 2020, equations 5 and 7).

    Density counts how many balls around real vectors (out to the `k`-th neighbour) a fake lies in, over k: about 1 for
    real data and above it for fakes crowded into dense regions. Coverage, 0 to 1, is the share of real balls with a fake
    in them. Both see only balls around real data, so outliers among the fakes cannot inflate them as they do recall.
    """
    radii_real = radii(real, k)
    inside, covered = 0, np.zeros(len(real), bool)
    for _, block in distances(fake, real):
        hits = block <= radii_real
        inside += int(hits.sum())
        covered |= hits.any(0)
    return inside / (k * len(fake)), float(covered.mean())


def sliced_wasserstein(
    real: np.ndarray, fake: np.ndarray, *, patches: int = 128, projections: int = 512, seed: int = 0
) -> np.ndarray:
    """Sliced Wasserstein distance of 7x7 patches at each level of the Laplacian pyramid, finest first (Karras et al.
    2018, section 5 and appendix; papers multiply by 1000). Needs no network.

    Images N H W C, of one size and in one scale of values; of both sets the first min(N, M). Levels go down to a smaller
    side of 14 pixels (the paper: 16). `patches` from each image; projections and places depend on `seed` only, so a set
    is exactly 0 from itself. As in the paper each channel of each set is normalised by its own mean and deviation, which
    makes it blind to overall brightness and contrast. Raises `UsageError` for other shapes or sides below 7.
    """
    if real.ndim != 4 or fake.ndim != 4 or real.shape[1:] != fake.shape[1:] or min(real.shape[1:3]) < _PATCH:
        raise UsageError(f"sets of images N H W C of one size, at least 7x7, not {real.shape} and {fake.shape}")
    count = min(len(real), len(fake))
    if count < 1:
        raise UsageError("no images to compare")
    values = []
    for level, (x, y) in enumerate(zip(_pyramid(real[:count]), _pyramid(fake[:count]), strict=True)):
        key = (seed, level)
        values.append(_sliced(_descriptors(x, patches, key), _descriptors(y, patches, key), projections, key))
    return np.array(values)


def _gaussian(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean D and a root R of the covariance, R^T R = S."""
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise UsageError(f"a Gaussian is fitted to two or more finite samples N D, not to {x.shape}")
    x = x.astype(np.float64)
    mean = x.mean(0)
    root: np.ndarray = np.linalg.qr((x - mean) / np.sqrt(len(x) - 1), mode="r")  # type: ignore[assignment]
    return mean, root


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    blocks = (x[start : start + _BLOCK] @ y.T for start in range(0, len(x), _BLOCK))
    return float(sum(_kernel(products, x.shape[1]).sum() for products in blocks))


def _kernel_diagonal(x: np.ndarray) -> float:
    return float(_kernel((x.astype(np.float64) ** 2).sum(1), x.shape[1]).sum())


def _kernel(products: np.ndarray, dimensions: int) -> np.ndarray:
    base = products / dimensions + 1
    # Not ** 3, which takes ten times as long.
    return base * base * base


def _pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Laplacian levels N H W C float32, finest first; the last one is the blurred rest."""
    levels, current = [], images.astype(np.float32)
    while min(current.shape[1:3]) >= 4 * _PATCH:
        coarse = _blur(_blur(current, 1), 2)[:, ::2, ::2]
        spread = np.zeros_like(current)
        spread[:, ::2, ::2] = coarse
        # Three of four pixels are zero, so the blur is quadrupled.
        levels.append(current - 4 * _blur(_blur(spread, 1), 2))
        current = coarse
    return [*levels, current]


def _blur(images: np.ndarray, axis: int) -> np.ndarray:
    edges = [(2, 2) if i == axis else (0, 0) for i in range(4)]
    padded = np.moveaxis(np.pad(images, edges, mode="reflect"), axis, 0)
    blurred = np.zeros_like(padded[: images.shape[axis]])
    for i, tap in enumerate(_TAPS):
        blurred += np.float32(tap) * padded[i : i + len(blurred)]
    return np.moveaxis(blurred, 0, axis)


def _descriptors(images: np.ndarray, patches: int, seed: tuple[int, int]) -> np.ndarray:
    """Random 7x7 patches, normalised by channel: N * patches x 49 C float32."""
    random = np.random.default_rng(seed)
    count, height, width, channels = images.shape
    windows = np.lib.stride_tricks.sliding_window_view(images, (_PATCH, _PATCH), axis=(1, 2))
    rows = random.integers(height - _PATCH + 1, size=(count, patches))
    columns = random.integers(width - _PATCH + 1, size=(count, patches))
    # N * patches x C x 7 x 7
    chosen = windows[np.arange(count)[:, None], rows, columns].reshape(-1, channels, _PATCH, _PATCH)
    deviation = chosen.std((0, 2, 3), keepdims=True, dtype=np.float64)
    normal = (chosen - chosen.mean((0, 2, 3), keepdims=True, dtype=np.float64)) / np.where(deviation > 0, deviation, 1)
    return normal.reshape(len(normal), -1).astype(np.float32)


def _sliced(x: np.ndarray, y: np.ndarray, projections: int, seed: tuple[int, int]) -> float:
    """Mean over random directions of the Wasserstein-1 distance on the line, which is that of sorted values."""
    directions = np.random.default_rng((*seed, 1)).standard_normal((projections, x.shape[1]))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    total = 0.0
    for start in range(0, projections, 16):
        lines = (np.sort(directions[start : start + 16] @ points.T, axis=1) for points in (x, y))
        total += float(np.abs(np.subtract(*lines)).mean(1, dtype=np.float64).sum())
    return total / projections
