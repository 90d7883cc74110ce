"""`mezzotint walk`."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mezzotint.errors import LimitError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from mezzotint.pipelines.generate import Generator
    from mezzotint.pipelines.latent_file import Latents

# All frames are held in memory; so many play for ten minutes.
_MOST_FRAMES = 10_000


def walk(
    model: str = typer.Option("fashion-28", "-m", "--model", help="Name, run folder or file."),
    seed: int = typer.Option(0, help="The seed whose images the walk goes through."),
    images: str | None = typer.Option(
        None, help="Their numbers, as `generate` counts them from 0. [default: 0,1,2,3, or all of --latent]"
    ),
    latent: Path | None = typer.Option(None, help="Walk through the latents of this file (`project`), not a seed's."),
    steps: int = typer.Option(16, help="Frames from one image to the next; 1 shows the images alone.", min=1),
    label: str | None = typer.Option(
        None, help="A class; or one for each image, with commas; every class side by side without it, or with 'all'."
    ),
    seeds: int = typer.Option(1, help="As many walks beside each other, of --seed and those after it.", min=1),
    loop: bool = typer.Option(False, "--loop", help="Come back to the first image, so that the film has no jump."),
    duration: int = typer.Option(60, help="Milliseconds that a frame of an animation is shown."),
    truncation: float | None = typer.Option(None, help="Draw noise beyond this anew: more typical, less varied."),
    upscale: float | None = typer.Option(None, help="Enlarge the images this many times by super-resolution."),
    columns: int | None = typer.Option(None, help="Width in images: of a sheet, or of a frame with classes.", min=1),
    output: str | None = typer.Option(
        None,
        "-o",
        "--output",
        help="Film (.gif, .webp, .apng, .mp4), sheet (.png, ...) or folder/. [default: MODEL-SEED.gif]",
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace results that exist."),
    runtime: str = typer.Option("auto", help="auto, openvino, onnx or pytorch."),
    precision: str = typer.Option("auto", help="auto, f32 or bf16."),
    threads: int | None = typer.Option(None, help="CPU threads; all by default.", min=1),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per file, and a summary."),
) -> None:
    """Walk from image to image of a seed: a film, a sheet with a row for each class or seed, or a folder of frames.

    Between images the noise is interpolated; between classes, which have nothing between them, pictures cross-dissolve.
    """
    import numpy as np

    from mezzotint import runtimes
    from mezzotint.cli._images import (
        check_count,
        check_free,
        enlarged,
        generator_card,
        given_latents,
        kind_of,
        numbered,
        write_folder,
    )
    from mezzotint.cli._signals import interruptible
    from mezzotint.image.animation import ANIMATED, check_animation, write_animation
    from mezzotint.image.formats import WRITTEN_SUFFIXES
    from mezzotint.image.grid import contact_sheet
    from mezzotint.image.io import write
    from mezzotint.image.metadata import GENERATED, Metadata
    from mezzotint.image.picture import Picture
    from mezzotint.pipelines.generate import ALL, Generator
    from mezzotint.pipelines.latent import frames

    card = generator_card(model)
    latents = given_latents(latent, card, truncation)
    if latents is not None and seeds > 1:
        raise UsageError("choose between --seeds and --latent, which takes the place of a seed")
    numbers = _numbers(images) if images is not None else list(range(len(latents.z) if latents is not None else 4))
    count = frames(numbers, steps, loop)
    if count > _MOST_FRAMES:
        raise LimitError(f"a walk has at most {_MOST_FRAMES:,} frames, not {count:,}: take fewer --steps")
    # As text, because a path forgets the slash that makes "out.d/" a folder.
    output = output or f"{card.name}-{seed}.gif"
    target = Path(output)
    kind = kind_of(output, dict.fromkeys(WRITTEN_SUFFIXES, "sheet") | dict.fromkeys(ANIMATED, "film"))
    if kind == "film":
        check_animation(target, duration)
    in_all = bool(card.labels) and (label == ALL or (label is None and latents is None))
    # Frames are put together from all walks before they are written, whatever becomes of them.
    check_count(count * (len(card.labels) if in_all else seeds), card, "film", None, upscale)
    check_free([target / numbered(index) for index in range(count)] if kind == "folder" else [target], overwrite)

    start = time.perf_counter()
    with interruptible("every file that is there is complete"):
        generator = Generator(runtimes.load(model, runtime, precision, threads))
        if in_all and seeds > 1:
            raise UsageError(f"choose between every class and {seeds} seeds: give a --label, or leave out --seeds")
        walks = _walks(
            generator, range(seed, seed + seeds), numbers, steps, ALL if in_all else label, truncation, loop, latents
        )
        where = f"images {','.join(map(str, numbers))}, {steps} steps"
        facts = generator.facts(seed if latent is None else None) | {"Walk": where}
        facts |= {"Seeds": str(seeds)} if latent is None else {"Latents": str(latent)}
        if upscale is not None:
            larger, enlarged_by = enlarged(walks, upscale, runtime, precision, threads)
            walks, facts = np.stack(list(larger)), facts | enlarged_by
        metadata = Metadata().stamped(GENERATED, facts)
        names = card.labels if in_all else None
        if kind == "sheet":
            captions = [name if place == 0 else "" for name in names for place in range(count)] if names else None
            # A row for each walk; a single long one is broken at the images it goes through.
            alone = len(walks) == 1 and count > steps + 1 and steps > 1
            sheet = contact_sheet(
                walks.reshape(-1, *walks.shape[2:]), columns or (steps if alone else count), captions=captions
            )
            write(Picture(sheet, metadata=metadata), target, overwrite=overwrite)
        else:
            stills = np.stack([contact_sheet(still, columns, captions=names) for still in walks.swapaxes(0, 1)])
            if kind == "film":
                note = "made by a model (trainedAlgorithmicMedia); " + "; ".join(f"{k}: {v}" for k, v in facts.items())
                write_animation(stills, target, duration, metadata, note, overwrite=overwrite)
            else:
                for index, path in enumerate(write_folder(target, [stills], metadata, overwrite)):
                    if as_json:
                        print(json.dumps({"output": str(path), "index": index}), flush=True)
    seconds = round(time.perf_counter() - start, 3)
    if not as_json:
        source = f"seed {seed}" if latent is None else latent.name
        print(f"{card.name}, {source}: {count} frame{'s' * (count > 1)} -> {output} ({seconds:.2f} s)")
        return
    if kind != "folder":
        print(json.dumps({"output": output, "frames": count}))
    settings = {
        "model": card.name,
        "seed": seed if latent is None else None,
        "latent": None if latent is None else str(latent),
        "images": numbers,
        "steps": steps,
        "label": label,
        "loop": loop,
        "seeds": seeds,
    }
    measured = {"frames": count, "precision": generator.model.precision, "upscale": upscale, "seconds": seconds}
    print(json.dumps({"summary": True, **settings, "output": output, **measured}))


def _numbers(images: str) -> list[int]:
    """The numbers in "0,5,9"."""
    parts = [part.strip() for part in images.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--images takes numbers from 0 with commas between them, such as 0,5,9, not '{images}'")
    return [int(part) for part in parts]


def _walks(
    generator: Generator,
    seeds: range,
    numbers: list[int],
    steps: int,
    label: str | None,
    truncation: float | None,
    loop: bool,
    latents: Latents | None,
) -> np.ndarray:
    """The frames, L F H W C uint8: of each class for the label "all", else of each seed. Latents bring their own classes."""
    import numpy as np

    from mezzotint.pipelines.generate import ALL
    from mezzotint.pipelines.latent import every_class, interpolate

    z = None if latents is None else latents.z
    if generator.card.labels and label == ALL:
        return every_class(generator, seeds[0], numbers, steps, truncation=truncation, loop=loop, latents=z)
    labels: str | list[str] | list[int] | None = label
    if generator.card.labels and label is None and latents is not None:
        classes = latents.classes(generator)
        # A number that no latent has is refused by the walk.
        labels = [int(classes[number % len(classes)]) for number in numbers]
    # A class whose own name has a comma in it is one class.
    if label is not None and label.lower() not in [name.lower() for name in generator.card.labels] and "," in label:
        labels = [part.strip() for part in label.split(",")]
    through = partial(interpolate, generator, truncation=truncation, loop=loop, latents=z)
    return np.stack([np.concatenate(list(through(seed, numbers, steps, labels))) for seed in seeds])
