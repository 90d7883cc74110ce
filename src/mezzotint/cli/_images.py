"""What the commands that make images share: refusals before any work, enlarging, numbered files, progress."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mezzotint.errors import LimitError, UsageError
from mezzotint.hardware import memory

if TYPE_CHECKING:
    import numpy as np

    from mezzotint.card import Card
    from mezzotint.image.metadata import Metadata
    from mezzotint.pipelines.latent_file import Latents

# Fewer images than this are done before a progress bar would be read.
_MANY = 500
# What a folder holds: the names of its images have six digits.
_MOST_FILES = 1_000_000
_LARGEST_SCALE = 16


def generator_card(model: str) -> Card:
    """The card of a model, before it is loaded. Raises `UsageError` for one that does not generate."""
    from mezzotint import catalog
    from mezzotint.card import GENERATION

    card = catalog.card(model)
    if card.task != GENERATION:
        raise UsageError(f"{card.name} is a {card.task} model and cannot generate; see `mezzotint models`")
    return card


def given_latents(path: Path | None, card: Card, truncation: float | None) -> Latents | None:
    """The latents of `--latent`, if it was given; says when they are of other weights. Raises `UsageError`, `InputError`."""
    if path is None:
        return None
    from mezzotint.pipelines.latent_file import read_latents

    if truncation is not None:
        raise UsageError("--truncation is for noise that is drawn, and --latent gives the latents as they are")
    latents = read_latents(path, card)
    if latents.weights_sha256 and latents.weights_sha256 != card.weights_sha256:
        print(f"mezzotint: {path} was made with other weights than those of {card.name}", file=sys.stderr)
    return latents


def kind_of(output: str, kinds: Mapping[str, str]) -> str:
    """What the name of an output asks for: `kinds` by its suffix, else "folder". Raises `UsageError`."""
    if output == "-":
        raise UsageError("standard output takes no generated images: give -o the name of a file or folder")
    suffix = Path(output).suffix.lower()
    if output.endswith("/") or not suffix or Path(output).is_dir():
        return "folder"
    if suffix not in kinds:
        raise UsageError(f"{output}: expected one of {', '.join(kinds)}, or a folder, with / at its end")
    return kinds[suffix]


def check_count(count: int, card: Card, kind: str, sides: tuple[int, int] | None, scale: float | None) -> None:
    """Refuse, before any work, more images of `sides`, enlarged `scale` times, than a folder has names for, or than fit into
    memory where they go into one file. Raises `LimitError`.
    """
    if kind == "folder" and count > _MOST_FILES:
        raise LimitError(f"a folder gets at most {_MOST_FILES:,} images, not {count:,}: take fewer at a time")
    height, width = sides or card.size or (1, 1)
    # A scale that there is not is refused where it is used.
    larger = min(scale, _LARGEST_SCALE) if scale is not None and scale >= 1 else 1
    # As they are made, all together, and as they are laid out, which captions may do at twice the sides; a class each.
    copies = 12 if kind == "sheet" else 3
    needed = count * (copies * math.ceil(height * width * larger**2) * card.out_channels + 24)
    free = memory()
    if kind != "folder" and free is not None and needed > free[1]:
        raise LimitError(
            f"{count:,} images in one file need about {needed / 2**30:,.1f} GiB of memory and {free[1] / 2**30:,.1f} GiB "
            "are free; take fewer, or smaller ones"
        )


def check_free(files: list[Path], overwrite: bool) -> None:
    """Refuse before any work what could not be written after it, and make the folder."""
    from mezzotint.files import make_folder

    for file in files:
        if not overwrite and file.exists():
            raise UsageError(f"{file} exists; use --overwrite to replace it")
    make_folder(files[0].parent)


def enlarged(
    batches: Iterable[np.ndarray], scale: float, runtime: str, precision: str, threads: int | None
) -> tuple[Iterable[np.ndarray], dict[str, str]]:
    """The same images, enlarged by the best model for `scale`, and what to note about that."""
    import numpy as np

    from mezzotint import runtimes
    from mezzotint.pipelines.upscale import Upscaler, best_model

    name, note = best_model(scale)
    if note:
        print(f"mezzotint: {note}", file=sys.stderr)
    upscaler = Upscaler(runtimes.load(name, runtime, precision, threads))
    larger = (np.stack([upscaler(image, scale) for image in batch]) for batch in batches)
    return larger, {"Upscaler": name, "Scale": f"{scale:g}"}


def numbered(index: int) -> str:
    """The name of image `index` in a folder."""
    return f"{index:06d}.png"


def write_folder(folder: Path, batches: Iterable[np.ndarray], metadata: Metadata, overwrite: bool) -> Iterator[Path]:
    """One PNG for each image, as it is made; the number of images is bounded by the disk and not by memory."""
    from mezzotint.image.io import write
    from mezzotint.image.picture import Picture

    images = (image for batch in batches for image in batch)
    for index, image in enumerate(images):
        path = folder / numbered(index)
        opaque = image.shape[2] in (1, 3)
        picture = Picture(image) if opaque else Picture(image[..., :-1], image[..., -1])
        write(picture.replace(metadata=metadata), path, overwrite=overwrite)
        yield path


def with_progress(batches: Iterator[np.ndarray], n: int, quiet: bool) -> Iterable[np.ndarray]:
    """A progress bar on stderr, for a person who waits."""
    if quiet or n < _MANY or not sys.stderr.isatty():
        return batches
    from rich.console import Console
    from rich.progress import track

    from mezzotint.pipelines.generate import BATCH

    return track(batches, "generate", math.ceil(n / BATCH), console=Console(stderr=True), transient=True)
