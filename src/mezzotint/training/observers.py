"""What is looked at during training: validation metrics and sample sheets in the run folder."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import nn

from mezzotint.data.batches import Degradation
from mezzotint.data.images import ImageSet
from mezzotint.files import write_bytes
from mezzotint.image.grid import contact_sheet
from mezzotint.image.resize import imresize
from mezzotint.metrics.fidelity import psnr_y
from mezzotint.recipes.model import Recipe

if TYPE_CHECKING:
    from mezzotint.training.loop import Observer

# More validation images than this, or larger ones, buy no better choice for their time and memory; crops keep the sheets
# readable.
_IMAGES, _LARGEST, _SHEET_ROWS, _CROP = 16, 1024, 4, 192
# dB: an image without any error, such as a plain white one, must not outweigh all others.
_PERFECT = 100.0


def super_resolution(
    samples: Path,
    images: ImageSet,
    scale: int,
    device: torch.device,
    degrade: Degradation | None = None,
    judge: bool = True,
) -> Observer:
    """PSNR-Y over at most 16 images (of large ones the middle) in the papers' protocol, and a sheet of crops: bicubic, ours,
    original.

    Without `judge` PSNR is only noted: by it, the best state of a network that learns texture would be its first.
    The low-resolution images are the twins of `images` if it has any, or made by `degrade`, the same ones every time.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, _IMAGES).astype(int)).tolist()
    originals, reduced = [], []
    for index, number in enumerate(chosen):
        if images.twins:
            hr, lr = _middle_of_pair(images[number], images.twins[number], _LARGEST // scale)
        else:
            hr = _middle(images[number], _LARGEST)
            hr = hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale]
            lr = degrade(hr, scale, np.random.default_rng(index)) if degrade else imresize(hr, 1 / scale)
        originals.append(hr)
        reduced.append(lr)

    @torch.inference_mode()
    def observe(network: nn.Module, step: int) -> tuple[dict[str, float], float | None]:
        network.eval()
        enlarged = []
        for lr in reduced:
            x = torch.from_numpy(lr).permute(2, 0, 1)[None].float().div(255).to(device)
            y = network(x)[0].permute(1, 2, 0).float().cpu().numpy()
            enlarged.append(np.floor(np.clip(np.nan_to_num(y), 0, 1) * 255 + 0.5).astype(np.uint8))
        network.train()
        scores = [min(_PERFECT, psnr_y(sr, hr, scale)) for sr, hr in zip(enlarged, originals, strict=True)]
        score = float(np.mean(scores))
        rows = []
        for lr, sr, hr in list(zip(reduced, enlarged, originals, strict=True))[:_SHEET_ROWS]:
            rows += [_middle(picture, _CROP) for picture in (imresize(lr, scale), sr, hr)]
        _save(samples / f"{step:08d}.png", contact_sheet(np.stack(_same_size(rows)), columns=3))
        return {"psnr_y": round(score, 4)}, score if judge else None

    return observe


def generation(samples: Path, recipe: Recipe, device: torch.device) -> Observer:
    """A sheet of 80 samples from the same noise every time; with classes, one row for each of the first eight to ten."""
    classes = recipe.generator.arguments.get("num_classes", 0)
    columns = 8
    count = columns * min(10, classes or 10)

    @torch.inference_mode()
    def observe(network: nn.Module, step: int) -> tuple[dict[str, float], float | None]:
        network.eval()
        z = torch.randn(count, *latent_shape(network), generator=torch.Generator().manual_seed(recipe.seed)).to(device)
        labels = (torch.arange(count) // columns).to(device) if classes else None
        fake = network(z, labels).float().cpu().clamp(-1, 1)
        network.train()
        images = ((fake + 1) * 127.5 + 0.5).floor().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        # Without opacity, the colours are as they look on white.
        images = images[..., : 3 if images.shape[3] > 2 else 1]
        _save(samples / f"{step:08d}.png", contact_sheet(images, columns=columns))
        return {"contrast": round(float(fake.std(0).mean()), 4)}, None

    return observe


def nothing(network: nn.Module, step: int) -> tuple[dict[str, float], float | None]:
    """The observer of a process that does not lead its run; it waits for the one that does."""
    return {}, None


def latent_shape(generator: nn.Module) -> tuple[int, ...]:
    """Shape of one latent without the batch: (latent_dim,), or C H W for networks that turn noise images into images."""
    shape: int | tuple[int, ...] = generator.latent_dim  # type: ignore[assignment]
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape[:2]
    rows, columns = min(side, height), min(side, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns]


def _middle_of_pair(hr: np.ndarray, lr: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The same part of both, `side` low-resolution pixels at most."""
    scale, small = hr.shape[0] // lr.shape[0], _middle(lr, side)
    y, x = ((whole - part) // 2 * scale for whole, part in zip(lr.shape[:2], small.shape[:2], strict=True))
    return hr[y : y + small.shape[0] * scale, x : x + small.shape[1] * scale], small


def _same_size(images: list[np.ndarray]) -> list[np.ndarray]:
    rows, columns = min(image.shape[0] for image in images), min(image.shape[1] for image in images)
    return [image[:rows, :columns] for image in images]


def _save(path: Path, sheet: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(sheet.squeeze()).save(stream, "PNG")
    write_bytes(path, stream.getvalue())
