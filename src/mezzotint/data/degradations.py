"""What happens to photographs between the lens and the download: blur, resizing, noise, compression, sharpening.

Plain functions to put in any order; `second_order.py` is one such chain. Images are H W C float32, C of 1 or 3, nominally 0
to 1; nothing is clipped except where an encoder needs it. Whatever is random comes from the generator that is given.
Kernels are square, of odd side, and sum to 1.

Sources: Wang et al. 2021, "Real-ESRGAN", sections 3.1 and 3.3 (arXiv 2107.10833) and the appendix on kernels; Liu et al.
2020, "Estimating Generalized Gaussian Blur Kernels for Out-of-Focus Image Deblurring", for generalised Gaussian and plateau.
"""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from PIL import Image

from mezzotint.errors import UsageError

# Parts of degradations, not degradations that a recipe could name.
__all__: list[str] = []

Resampling = Literal["area", "bilinear", "bicubic"]
Format = Literal["JPEG", "WebP"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
# Light is counted in as many steps as 8 bits have.
_LEVELS = 256


def gaussian_kernel(size: int, sigmas: tuple[float, float], angle: float = 0.0, shape: float = 1.0) -> np.ndarray:
    """exp(-q^shape / 2) with q = (x / sigma)^2 + (y / sigma)^2 along axes turned by `angle` radians: size x size.

    Equal `sigmas` (in pixels) make it isotropic. `shape` 1 is the Gaussian, below it has longer tails, above it is flatter.
    """
    return _normalized(np.exp(-0.5 * _ellipse(size, sigmas, angle) ** shape))


def plateau_kernel(size: int, sigmas: tuple[float, float], angle: float = 0.0, shape: float = 1.0) -> np.ndarray:
    """1 / (1 + q^shape), q as in `gaussian_kernel`: flat in the middle like the blur of a lens out of focus."""
    return _normalized(1 / (1 + _ellipse(size, sigmas, angle) ** shape))


def sinc_kernel(size: int, cutoff: float) -> np.ndarray:
    """The ideal circular low-pass filter, cut off to size x size: it rings, as sharpened and compressed pictures do.

    `cutoff` is the highest frequency that passes, in radians per pixel: pi passes nearly all.
    """
    _check_size(size)
    offset = np.arange(size) - size // 2
    # Few radii are different, and the Bessel function is what takes time.
    radius, place = np.unique(np.hypot(offset[:, None], offset), return_inverse=True)
    radius[0] = 1.0  # the limit is set below
    values = cutoff * _bessel_j1(cutoff * radius) / (2 * np.pi * radius)
    values[0] = cutoff**2 / (4 * np.pi)
    return _normalized(values[place.reshape(size, size)])


def blur(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve every channel with `kernel`; borders are mirrored. By FFT: the time does not depend on the kernel's side."""
    reach = kernel.shape[0] // 2
    planes = np.pad(np.moveaxis(image, 2, 0), ((0, 0), (reach, reach), (reach, reach)), "reflect")
    size = _fast_size(planes.shape[1]), _fast_size(planes.shape[2])
    spectrum = np.fft.rfft2(planes, size) * np.fft.rfft2(kernel.astype(image.dtype), size)
    # What wraps around falls on the first 2 * reach rows and columns, which belong to the border.
    whole = np.fft.irfft2(spectrum, size)
    inside = whole[:, 2 * reach : planes.shape[1], 2 * reach : planes.shape[2]]
    return np.ascontiguousarray(np.moveaxis(inside, 0, 2), np.float32)


def resize(image: np.ndarray, size: tuple[int, int], method: Resampling) -> np.ndarray:
    """To `size` = (height, width) by Pillow's box, triangle or cubic (a = -0.5) kernel, widened when it shrinks."""
    kernel = {
        "area": Image.Resampling.BOX,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
    }[method]
    planes = [Image.fromarray(plane).resize(size[::-1], kernel) for plane in np.moveaxis(image, 2, 0)]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def gaussian_noise(image: np.ndarray, random: np.random.Generator, sigma: float, grey: bool = False) -> np.ndarray:
    """Add noise of standard deviation `sigma`, in levels of 0 to 255; `grey` noise is the same in all channels."""
    height, width, channels = image.shape
    noise = random.standard_normal((height, width, 1 if grey else channels), np.float32)
    return image + np.float32(sigma / 255) * noise


def poisson_noise(image: np.ndarray, random: np.random.Generator, scale: float, grey: bool = False) -> np.ndarray:
    """Add the noise of counted light: of variance scale^2 * value / 256, so that bright pixels have more.

    `grey` noise comes from the luma and is the same in all channels. Deviation from Real-ESRGAN: it counts as many steps
    as the picture has levels, rounded up to a power of two, which for photographs is nearly always 256.
    """
    light = image @ _LUMA[:, None] if grey and image.shape[2] == 3 else image
    light = light.clip(0, 1)
    noise = random.poisson(light * _LEVELS).astype(np.float32) / _LEVELS - light
    return image + np.float32(scale) * noise


def compress(image: np.ndarray, quality: int, format_name: Format = "JPEG") -> np.ndarray:
    """What is left after saving as JPEG (4:2:0) or lossy WebP of `quality` 1 to 100; the image is clipped to 8 bits.

    Raises `UsageError`.
    """
    if not 1 <= quality <= 100:
        raise UsageError(f"quality goes from 1 to 100, not {quality}")
    pixels = to_uint8(image)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    stream = io.BytesIO()
    # WebP's fastest method: its artifacts are the same, only the file is larger.
    options = {"subsampling": "4:2:0"} if format_name == "JPEG" else {"method": 0}
    picture.save(stream, format_name, quality=quality, **options)
    decoded = np.asarray(Image.open(stream).convert(picture.mode))
    return decoded.reshape(image.shape).astype(np.float32) / np.float32(255)


def sharpen(image: np.ndarray, amount: float, sigma: float = 1.0) -> np.ndarray:
    """Unsharp masking, as cameras and phones do it: add `amount` times what a Gaussian blur of `sigma` takes away."""
    blurred = blur(image, gaussian_kernel(2 * int(np.ceil(3 * sigma)) + 1, (sigma, sigma)))
    return image + np.float32(amount) * (image - blurred)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """0 to 1, clipped, rounded half up -> uint8."""
    return np.floor(image.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def to_floats(image: np.ndarray) -> np.ndarray:
    """uint8 -> float32, 0 to 1."""
    return image.astype(np.float32) / np.float32(255)


def _ellipse(size: int, sigmas: tuple[float, float], angle: float) -> np.ndarray:
    """The q of `gaussian_kernel` at every pixel of a kernel."""
    _check_size(size)
    if min(sigmas) <= 0:
        raise UsageError(f"a kernel needs positive widths, not {sigmas}")
    offset = np.arange(size) - size // 2
    y, x = offset[:, None], offset
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2


def _check_size(size: int) -> None:
    if size < 1 or size % 2 == 0:
        raise UsageError(f"a kernel needs an odd side, not {size}")


def _normalized(kernel: np.ndarray) -> np.ndarray:
    return kernel / kernel.sum()


def _bessel_j1(x: np.ndarray) -> np.ndarray:
    """The Bessel function of the first kind and order 1, from Bessel's integral, exact to rounding for |x| below 100.

    The integrand is periodic and smooth, for which the plain mean over equal steps converges faster than any power.
    """
    t = np.pi * (np.arange(256) + 0.5) / 256
    return np.cos(t - x[..., None] * np.sin(t)).mean(axis=-1)


def _fast_size(side: int) -> int:
    """The next number without prime factors above 5, for which the FFT is fast."""
    while True:
        rest = side
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return side
        side += 1
