"""`mezzotint generate`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mezzotint.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from mezzotint.image.metadata import Metadata

ARRAYS = ".npz"
# With more classes than this, a sheet does not get one column for each.
_MOST_COLUMNS = 16


def generate(
    model: str = typer.Option("fashion-28", "-m", "--model", help="Name, run folder or file."),
    n: int | None = typer.Option(None, "-n", help="How many images. [default: 16, or all of --latent]", min=1),
    seed: int = typer.Option(0, help="The same seed gives the same images, whatever -n."),
    label: str | None = typer.Option(None, help="Name or number of a class; 'all' goes through them in turn."),
    truncation: float | None = typer.Option(None, help="Draw noise beyond this anew: more typical, less varied."),
    size: str | None = typer.Option(
        None, metavar="WxH", help="Width and height, of textures, which may have any size."
    ),
    latent: Path | None = typer.Option(None, help="The images of this file's latents (`project`), not a seed's."),
    real: Path | None = typer.Option(
        None, help="The images it was trained on (folder, zip, IDX file): drop what copies them; see --best-of."
    ),
    best_of: int | None = typer.Option(
        None, help="With --real: take the most realistic of so many candidates for each image. [default: 4]", min=1
    ),
    reference: Path | None = typer.Option(
        None, help="With --real: held-out images, to know how near new ones come. [default: a part of --real]"
    ),
    features: Path | None = typer.Option(
        None, help="With --real: judge realism by this .safetensors file of SqueezeNet 1.1, not by thumbnails."
    ),
    upscale: float | None = typer.Option(None, help="Enlarge the images this many times by super-resolution."),
    columns: int | None = typer.Option(None, help="Width of the sheet, in images.", min=1),
    output: str | None = typer.Option(
        None, "-o", "--output", help="Sheet (.png, ...), folder/, or .npz with arrays. [default: MODEL-SEED.png]"
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace results that exist."),
    runtime: str = typer.Option("auto", help="auto, openvino, onnx or pytorch."),
    precision: str = typer.Option("auto", help="auto, f32 or bf16."),
    threads: int | None = typer.Option(None, help="CPU threads; all by default.", min=1),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per file, and a summary."),
) -> None:
    """Make images from noise: a sheet of them, a folder, or arrays. Pictures carry the note that a model made them."""
    from mezzotint import runtimes
    from mezzotint.cli._images import (
        check_count,
        check_free,
        enlarged,
        generator_card,
        given_latents,
        kind_of,
        numbered,
        with_progress,
        write_folder,
    )
    from mezzotint.cli._signals import interruptible
    from mezzotint.image.formats import WRITTEN_SUFFIXES
    from mezzotint.image.metadata import GENERATED, Metadata
    from mezzotint.pipelines.generate import ALL, Generator

    card, sides = generator_card(model), _sides(size)
    latents = given_latents(latent, card, truncation)
    if latents is not None and n is not None and n > len(latents.z):
        raise UsageError(f"{latent} holds {len(latents.z)} latents, fewer than -n {n}")
    if real is None and (best_of or reference or features):
        raise UsageError("--best-of, --reference and --features choose by comparison with real images: give --real")
    if real is not None and latents is not None:
        raise UsageError("--real chooses among candidates of a seed, and --latent gives the latents as they are")
    if sides is not None and (real is not None or latents is not None):
        raise UsageError("--size is for images of a seed alone, without --real and --latent")
    n = n or (16 if latents is None else len(latents.z))
    # As text, because a path forgets the slash that makes "out.d/" a folder.
    output = output or f"{card.name}-{seed}.png"
    target = Path(output)
    kind = kind_of(output, dict.fromkeys(WRITTEN_SUFFIXES, "sheet") | {ARRAYS: "arrays"})
    check_count(n, card, kind, sides, upscale)
    check_free([target / numbered(index) for index in range(n)] if kind == "folder" else [target], overwrite)

    start, chosen = time.perf_counter(), None
    with interruptible("every file that is there is complete"):
        generator = Generator(runtimes.load(model, runtime, precision, threads))
        if real is not None:
            from mezzotint.evaluation.selection import select

            how: dict[str, Any] = {"label": label, "truncation": truncation, "features": features, "threads": threads}
            chosen = select(generator, n, best_of or 4, real, reference, seed=seed, **how)
            n, labels, drawn = len(chosen.images), chosen.labels, iter([chosen.images])
            facts = generator.facts(seed) | {"Images": " ".join(map(str, chosen.numbers))}
        elif latents is None:
            labels, facts = generator.labels(n, label), generator.facts(seed)
            drawn = generator.batches(n, seed, label, truncation, sides)
        else:
            labels = latents.classes(generator, label)[:n]
            facts = {**generator.facts(), "Latents": str(latent)}
            drawn = generator.rendered(latents.z[:n], labels)
        batches = with_progress(drawn, n, as_json)
        if upscale is not None:
            batches, enlarged_by = enlarged(batches, upscale, runtime, precision, threads)
            facts |= enlarged_by
        metadata = Metadata().stamped(GENERATED, facts)
        if kind == "folder":
            for index, path in enumerate(write_folder(target, batches, metadata, overwrite)):
                if as_json:
                    print(json.dumps({"output": str(path), "index": index, "label": int(labels[index])}), flush=True)
        elif kind == "arrays":
            _write_arrays(target, batches, labels, overwrite)
        else:
            every_class = bool(card.labels) and label in (None, ALL)
            if every_class and latents is None and columns is None and len(card.labels) <= _MOST_COLUMNS:
                columns = len(card.labels)
            captions = [card.labels[number] for number in labels] if every_class and n > 1 else None
            _write_sheet(target, batches, metadata, columns, captions, overwrite)
    seconds = round(time.perf_counter() - start, 3)
    if not as_json:
        source = f"seed {seed}" if latent is None else latent.name
        print(f"{card.name}, {source}: {n} image{'s' * (n > 1)} -> {output} ({seconds:.2f} s)")
        if chosen is not None:
            print(chosen.told())
        return
    if kind != "folder":
        print(json.dumps({"output": output, "n": n}))
    settings = {"model": card.name, "n": n, "seed": seed, "size": size, "output": output}
    settings |= {"precision": generator.model.precision}
    if latent is not None:
        settings |= {"seed": None, "latent": str(latent)}
    if chosen is not None:
        settings |= chosen.facts()
    print(json.dumps({"summary": True, **settings, "upscale": upscale, "seconds": seconds}))


def _sides(size: str | None) -> tuple[int, int] | None:
    """Height and width of "384x256"."""
    if size is None:
        return None
    width, _, height = size.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--size takes WIDTHxHEIGHT in pixels, such as 384x256, not '{size}'")
    return int(height), int(width)


def _write_arrays(target: Path, batches: Iterable[np.ndarray], labels: np.ndarray, overwrite: bool) -> None:
    """`images` N H W C uint8 and `labels` N int64; uncompressed, so that equal images give equal bytes everywhere."""
    import numpy as np

    from mezzotint.files import atomic_write

    images = np.concatenate(list(batches))
    with atomic_write(target, overwrite=overwrite) as stream:
        np.savez(stream, images=images, labels=labels)


def _write_sheet(
    target: Path,
    batches: Iterable[np.ndarray],
    metadata: Metadata,
    columns: int | None,
    captions: list[str] | None,
    overwrite: bool,
) -> None:
    import numpy as np

    from mezzotint.image.grid import contact_sheet
    from mezzotint.image.io import write
    from mezzotint.image.picture import Picture

    sheet = contact_sheet(np.concatenate(list(batches)), columns, captions=captions)
    write(Picture(sheet, metadata=metadata), target, overwrite=overwrite)
