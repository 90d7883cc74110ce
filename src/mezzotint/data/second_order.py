"""Second-order degradation: Wang et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic
Data", section 3 (arXiv 2107.10833). Blur, resize, noise and compression, twice: real pictures are saved more than once.

Deviations: resizing is antialiased, as imaging programs do it; noise counts light in 256 steps; the targets of training are
the pictures themselves, where the paper sharpens them. WebP, sharpening and clean samples are additions, off by default.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mezzotint.data import degradations as d
from mezzotint.errors import UsageError
from mezzotint.image.resize import imresize

__all__ = ["SecondOrder"]

Range = tuple[float, float]
Ranges = tuple[Range, Range]

_SMALLEST_KERNEL, _LARGEST_KERNEL = 7, 21
_METHODS: tuple[d.Resampling, ...] = ("area", "bilinear", "bicubic")


@dataclass(frozen=True)
class SecondOrder:
    """Makes a low-resolution image from a high-resolution one, differently each time. The defaults are the paper's.

    Pairs hold a value for the first and one for the second order; ranges are (low, high); shares are probabilities.
    Raises `UsageError` for shares and ranges that make no sense.
    """

    blur: Range = (1.0, 0.8)  # share that is blurred
    sinc: Range = (0.1, 0.1)  # of it, share by a sinc kernel
    # The rest: shares of Gaussian, generalised Gaussian and plateau kernels, each isotropic and of any direction.
    kernels: tuple[float, float, float, float, float, float] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    sigma: Ranges = ((0.2, 3.0), (0.2, 1.5))  # widths of kernels, in pixels of the image as it is then
    # Shares that are enlarged, reduced, left.
    resize: tuple[tuple[float, float, float], tuple[float, float, float]] = ((0.2, 0.7, 0.1), (0.3, 0.4, 0.3))
    factor: Ranges = ((0.15, 1.5), (0.3, 1.2))  # of resizing; in the second order relative to the final size
    gaussian: Range = (0.5, 0.5)  # share of Gaussian noise; the rest has Poisson noise
    noise: Ranges = ((1.0, 30.0), (1.0, 25.0))  # Gaussian: standard deviation in levels of 0 to 255
    poisson: Ranges = ((0.05, 3.0), (0.05, 2.5))  # Poisson: its scale
    grey: Range = (0.4, 0.4)  # share of noise without colour
    quality: Ranges = ((30.0, 95.0), (30.0, 95.0))  # of compression
    final_sinc: float = 0.8  # share that ends with a sinc filter, before or after the last compression
    webp: float = 0.0  # share of compressions that are WebP; the rest are JPEG
    sharpen: Range = (0.0, 0.0)  # amount of a camera's sharpening before the last compression
    clean: float = 0.0  # share that is only reduced, MATLAB-exactly

    def __post_init__(self) -> None:
        shares = (*self.blur, *self.sinc, *self.gaussian, *self.grey, self.final_sinc, self.webp, self.clean)
        if not all(0 <= share <= 1 for share in shares):
            raise UsageError("shares of a degradation (blur, sinc, gaussian, grey, final_sinc, webp, clean) are 0 to 1")
        for name in ("kernels", "resize"):
            for weights in [self.kernels] if name == "kernels" else self.resize:
                if min(weights) < 0 or not np.isclose(sum(weights), 1):
                    raise UsageError(f"the shares in {name} of a degradation must add up to 1, not {sum(weights):g}")
        lows = {"sigma": 0.01, "factor": 0.01, "noise": 0, "poisson": 0, "quality": 1, "sharpen": 0}
        for name, low in lows.items():
            value = getattr(self, name)
            for bounds in [value] if name == "sharpen" else value:
                if not low <= bounds[0] <= bounds[1] <= (100 if name == "quality" else np.inf):
                    raise UsageError(f"{name} of a degradation must be ranges (low, high) from {low}, not {bounds}")

    def __call__(self, hr: np.ndarray, scale: int, random: np.random.Generator) -> np.ndarray:
        """H W C uint8 -> H/scale W/scale C uint8; sides must be multiples of `scale`. Raises `UsageError`."""
        height, width = hr.shape[:2]
        if height % scale or width % scale:
            raise UsageError(f"{width} x {height} pixels cannot be reduced by {scale}; crop the image first")
        if random.random() < self.clean:
            return imresize(hr, 1 / scale)
        final = height // scale, width // scale
        image = self._blurred(d.to_floats(hr), 0, random)
        image = self._noisy(self._resized(image, (height, width), 0, random), 0, random)
        image = self._blurred(self._compressed(image, 0, random), 1, random)
        image = self._noisy(self._resized(image, final, 1, random), 1, random)
        # Either order occurs; compressing between the two would leave twisted lines (section 3.4).
        if random.random() < 0.5:
            image = self._finished(image, final, random)
            image = self._compressed(self._sharpened(image, random), 1, random)
        else:
            image = self._compressed(self._sharpened(image, random), 1, random)
            image = self._finished(image, final, random)
        return d.to_uint8(image)

    def _blurred(self, image: np.ndarray, order: int, random: np.random.Generator) -> np.ndarray:
        return d.blur(image, self._kernel(order, random)) if random.random() < self.blur[order] else image

    def _kernel(self, order: int, random: np.random.Generator) -> np.ndarray:
        size = _odd_size(random)
        if random.random() < self.sinc[order]:
            return d.sinc_kernel(size, random.uniform(np.pi / 3 if size < 13 else np.pi / 5, np.pi))
        kind, turned = divmod(int(random.choice(6, p=self.kernels)), 2)
        first, second = random.uniform(*self.sigma[order], 2)
        sigmas, angle = ((first, second), random.uniform(-np.pi, np.pi)) if turned else ((first, first), 0.0)
        if kind == 0:
            return d.gaussian_kernel(size, sigmas, angle)
        # Half of the shapes lie below 1, half above; the paper's ranges.
        low, high, make = ((0.5, 4.0, d.gaussian_kernel), (1.0, 2.0, d.plateau_kernel))[kind - 1]
        shape = random.uniform(low, 1) if random.random() < 0.5 else random.uniform(1, high)
        return make(size, sigmas, angle, shape)

    def _resized(self, image: np.ndarray, base: tuple[int, int], order: int, random: np.random.Generator) -> np.ndarray:
        """To `base` times a random factor."""
        low, high = self.factor[order]
        change = random.choice(3, p=self.resize[order])
        factor = (random.uniform(1, max(1, high)), random.uniform(min(1, low), 1), 1.0)[change]
        size = max(1, round(base[0] * factor)), max(1, round(base[1] * factor))
        return _to_size(image, size, random)

    def _noisy(self, image: np.ndarray, order: int, random: np.random.Generator) -> np.ndarray:
        grey = bool(random.random() < self.grey[order])
        if random.random() < self.gaussian[order]:
            return d.gaussian_noise(image, random, random.uniform(*self.noise[order]), grey)
        return d.poisson_noise(image, random, random.uniform(*self.poisson[order]), grey)

    def _compressed(self, image: np.ndarray, order: int, random: np.random.Generator) -> np.ndarray:
        low, high = self.quality[order]
        quality = int(random.integers(round(low), round(high), endpoint=True))
        return d.compress(image, quality, "WebP" if random.random() < self.webp else "JPEG")

    def _sharpened(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        amount = random.uniform(*self.sharpen)
        return d.sharpen(image, amount) if amount > 0 else image

    def _finished(self, image: np.ndarray, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
        """To the final size, then through the last sinc filter."""
        image = _to_size(image, size, random)
        if random.random() < self.final_sinc:
            image = d.blur(image, d.sinc_kernel(_odd_size(random), random.uniform(np.pi / 3, np.pi)))
        return image


def _odd_size(random: np.random.Generator) -> int:
    return 2 * int(random.integers(_SMALLEST_KERNEL // 2, _LARGEST_KERNEL // 2, endpoint=True)) + 1


def _to_size(image: np.ndarray, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    method = _METHODS[random.integers(len(_METHODS))]
    return image if image.shape[:2] == size else d.resize(image, size, method)
