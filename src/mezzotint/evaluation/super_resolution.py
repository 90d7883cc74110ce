"""Super-resolution over a data set, by the protocol that published tables share.

The image is cropped to a multiple of the scale and shrunk by MATLAB's bicubic on 8 bits, rounding after each pass; the
prediction is rounded to 8 bits (half up); `scale` pixels are cut off each side; PSNR and SSIM are taken on the Y of
BT.601 (Wang et al. 2004 for SSIM). A grey image is its own Y: turning it into RGB first would squeeze it into 16 to 235
and flatter the result by 1.3 dB, which lifts the mean of Set14 by 0.09. LPIPS, where it is asked for, sees the whole
picture in RGB. For photographs, a recipe's degradation can take the place of MATLAB's bicubic.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint import refs, runtimes
from mezzotint.card import SUPER_RESOLUTION
from mezzotint.data.pairs import find_pairs, load_pair
from mezzotint.data.sources import open_source
from mezzotint.errors import InputError, ModelError, QualityError, UsageError
from mezzotint.evaluation.report import Failure, Report, Result
from mezzotint.image.tiling import run_tiled
from mezzotint.metrics.fidelity import psnr_lr, psnr_rgb, psnr_y, ssim_y
from mezzotint.metrics.perceptual import SMALLEST_SQUEEZE, lpips_squeeze

PROTOCOLS = ("y", "rgb")
# Low-resolution pixels. 64 channels of a million float32 pixels are a quarter of a gigabyte, several times over.
_LARGEST_WHOLE = 1 << 20
_TILE = 512


def evaluate(
    model: str | Path | runtimes.Model,
    data: str | Path,
    *,
    protocol: str = "y",
    runtime: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    ensemble: bool = False,
    lpips: tuple[str | Path, str | Path] | None = None,
    degrade: str | Path | None = None,
    seed: int | None = None,
    on_result: Callable[[Result | Failure], None] | None = None,
    on_images: Callable[[str, np.ndarray, np.ndarray, np.ndarray], None] | None = None,
) -> Report:
    """Measure a super-resolution model, given by name, run folder, file, or loaded.

    `data` is a folder or zip of high-resolution images, or one with the sub-folders `HR` and `LR`. `protocol` chooses
    the headline PSNR, "y" or "rgb"; the report has both. `ensemble` asks a model given by name eight times. `lpips`
    adds LPIPS v0.1, from two `.safetensors` files, SqueezeNet 1.1 and the heads, and needs torch. `degrade` names a recipe,
    or a TOML file with a table `[degradation]`, that makes the low resolution; an image's random numbers depend on its name
    and on `seed` (by default the recipe's), and its own seed is in its result. `on_result` is called
    after each image, `on_images` with the name, lr, sr and hr of each that was measured, H W C uint8. Images that cannot be
    evaluated are listed in the report's `failures`.

    Raises `UsageError` (protocol, unknown model, a model that generates, `degrade` for data that bring their own low
    resolution), `InputError` (no data, or not one usable image), `ModelError` (a damaged file, an output of the wrong
    size), `QualityError` (an output that is not finite).
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol '{protocol}'; choose {' or '.join(PROTOCOLS)}")
    named = isinstance(model, str | Path)
    card = runtimes.card(model) if isinstance(model, str | Path) else model.card
    if card.task != SUPER_RESOLUTION or card.scale is None:
        raise UsageError(f"{card.name} generates images; evaluate_generator measures that")
    source = open_source(data)
    pairs = find_pairs(source, card.scale)
    if degrade is not None and any(pair.lr is not None for pair in pairs):
        raise UsageError(f"{data} brings its own low resolution, in the folder LR; give its folder HR to degrade that")
    degraded, degradation = _degradation(degrade, seed) if degrade is not None else (None, {})
    network = model
    if isinstance(network, str | Path):
        network = runtimes.load(network, runtime, precision, threads, ensemble=ensemble)
    perceptual, lpips_files = _perceptual(lpips, threads) if lpips else (None, {})
    name = str(model) if named else card.name
    report = Report(name, str(data), card.scale, protocol, lpips_files=lpips_files, degradation=degradation)
    # Runtimes allocate and choose kernels at their first call, which is not the image's time.
    network(np.zeros((1, card.in_channels, 32, 32), np.float32))
    for pair in pairs:
        row: Result | Failure
        try:
            # The border that is cut off on each side, and one window of SSIM.
            hr, lr = load_pair(source, pair, card.scale, least=2 * card.scale + 11)
            if perceptual and min(hr.shape[:2]) < SMALLEST_SQUEEZE:
                least = f"{SMALLEST_SQUEEZE} x {SMALLEST_SQUEEZE}"
                raise InputError(f"{pair.name} is too small for LPIPS: {hr.shape[1]} x {hr.shape[0]}, needs {least}")
        except InputError as error:
            row = Failure(pair.name, str(error))
            report.failures.append(row)
        else:
            image_seed = zlib.crc32(f"{degradation['seed']} {pair.name}".encode()) if degraded else None
            if degraded:
                lr = degraded(hr, card.scale, np.random.default_rng(image_seed))
            started = time.perf_counter()
            sr = super_resolve(network, lr)
            seconds = time.perf_counter() - started
            psnr, psnr_all, ssim = (metric(sr, hr, card.scale) for metric in (psnr_y, psnr_rgb, ssim_y))
            distance = perceptual(sr, hr) if perceptual else None
            consistency, (height, width) = psnr_lr(sr, lr), hr.shape[:2]
            row = Result(pair.name, psnr, psnr_all, ssim, consistency, seconds, height, width, distance, image_seed)
            report.results.append(row)
            if on_images:
                on_images(pair.name, lr, sr, hr)
        if on_result:
            on_result(row)
    if not report.results:
        raise InputError(f"none of the {len(pairs)} images in {data} could be evaluated; {report.failures[0].error}")
    return report


def _degradation(
    recipe: str | Path, seed: int | None
) -> tuple[Callable[[np.ndarray, int, np.random.Generator], np.ndarray], dict[str, Any]]:
    """What makes low resolution, and its description for the report."""
    from mezzotint.recipes import degradation

    component, default = degradation.read(recipe)
    chain = refs.resolve(component.name, "data")(**component.arguments)
    return chain, {"recipe": str(recipe), "seed": default if seed is None else seed, **component.model_dump()}


def _perceptual(
    files: tuple[str | Path, str | Path], threads: int | None
) -> tuple[Callable[[np.ndarray, np.ndarray], float], dict[str, Any]]:
    """LPIPS as a function of two pictures, and what it is computed with."""
    from mezzotint.evaluation import features

    features.use_threads(threads)
    network, facts = features.load_lpips_squeeze(*files)
    return lambda image, reference: lpips_squeeze(image, reference, network), facts


def super_resolve(network: runtimes.Model, lr: np.ndarray) -> np.ndarray:
    """Run a network on an image, H W C uint8, and round its answer to 8 bits, half up: sH sW C uint8.

    A network for colour sees a grey image as three equal channels, and their mean is its answer; a network for one
    channel takes a colour image channel by channel. Raises `ModelError` when the answer has another size, and
    `QualityError` when it is not finite.
    """
    planes = lr.transpose(2, 0, 1)[None].astype(np.float32) / 255
    channels = network.card.in_channels
    if planes.shape[1] == channels:
        sr = _run(network, planes)
    elif planes.shape[1] == 1:
        sr = _run(network, planes.repeat(channels, axis=1)).mean(1, keepdims=True, dtype=np.float64)
    else:
        sr = np.concatenate([_run(network, plane[None, None]) for plane in planes[0]], axis=1)
    if not np.isfinite(sr).all():
        raise QualityError(
            f"{network.card.name} gave values that are not finite; its weights or this precision are bad"
        )
    # In float64, so that a value just below a half is not rounded up by the multiplication.
    rounded = np.floor(sr[0].astype(np.float64).clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    scale = network.card.scale or 1
    if rounded.shape != (lr.shape[0] * scale, lr.shape[1] * scale, lr.shape[2]):
        raise ModelError(f"{network.card.name} made {rounded.shape} of {lr.shape}, which is not {scale} times as large")
    return np.ascontiguousarray(rounded)


def _run(network: runtimes.Model, planes: np.ndarray) -> np.ndarray:
    """The network on a whole image, or on its tiles when activations would fill the memory: the values are the same."""
    card = network.card
    if card.scale is None or card.halo is None or planes.shape[2] * planes.shape[3] <= _LARGEST_WHOLE:
        return network(np.ascontiguousarray(planes))
    alignment = card.alignment or 1
    return run_tiled(lambda part: network(np.ascontiguousarray(part)), planes, card.scale, card.halo, _TILE, alignment)
