"""`mezzotint project`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import typer

from mezzotint.errors import UsageError


def project(
    pictures: list[Path] = typer.Argument(help="Pictures, cropped in the middle to what the model makes."),
    model: str = typer.Option("fashion-28", "-m", "--model", help="Name, run folder or .safetensors."),
    label: str | None = typer.Option(None, help="Its class; without one, classes compete."),
    output: Path | None = typer.Option(
        None, "-o", "--output", help="Sheet; the latents go beside it as .json. [default: MODEL-projection.png]"
    ),
    seed: int = typer.Option(0, help="Of the samples to begin from."),
    samples: int = typer.Option(1024, help="How many of the seed's images are looked at.", min=1),
    starts: int = typer.Option(8, help="How many of the nearest are improved.", min=1),
    steps: int = typer.Option(300, help="Steps of Adam; 0 takes the nearest sample.", min=0),
    features: Path | None = typer.Option(
        None, help="A .safetensors file of SqueezeNet 1.1: compare by what it sees, too, not by pixels alone."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace results that exist."),
    threads: int | None = typer.Option(None, help="CPU threads; all by default.", min=1),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per picture, and a summary."),
) -> None:
    """Find the noise (and class) whose image is nearest to a picture: what of it the generator can make. Needs `train`.

    Writes a sheet, picture | nearest of the samples | projection, and the latents, which `generate` and `walk` take as
    --latent. PSNR is over all channels, in dB, at the model's size.
    """
    import numpy as np

    from mezzotint.cli._images import check_free, generator_card
    from mezzotint.cli._signals import interruptible
    from mezzotint.data.sources import decode
    from mezzotint.image.formats import WRITTEN_SUFFIXES
    from mezzotint.image.grid import contact_sheet
    from mezzotint.image.io import write
    from mezzotint.image.metadata import GENERATED, Metadata
    from mezzotint.image.picture import Picture
    from mezzotint.pipelines.latent_file import write_latents
    from mezzotint.training import projection

    card = generator_card(model)
    output = output or Path(f"{card.name}-projection.png")
    if output.suffix.lower() not in WRITTEN_SUFFIXES:
        raise UsageError(f"{output}: the sheet's name ends with one of {', '.join(WRITTEN_SUFFIXES)}")
    latents = output.with_suffix(".json")
    check_free([output, latents], overwrite)
    start = time.perf_counter()
    with interruptible("nothing was written"):
        images = [decode(_read(picture), str(picture)) for picture in pictures]
        options = {"seed": seed, "samples": samples, "starts": starts, "steps": steps}
        found, facts = [], []
        for picture, one in zip(
            pictures,
            projection.project(model, images, label, features=features, threads=threads, **options),
            strict=True,
        ):
            found.append(one)
            name = card.labels[one.label] if card.labels else None
            psnr = {"psnr": _rounded(one.psnr), "sample": one.sample, "sample_psnr": _rounded(one.sample_psnr)}
            facts.append({"picture": picture.name, "label": name, **psnr})
            if as_json:
                print(json.dumps(facts[-1], ensure_ascii=False), flush=True)
            else:
                print(
                    f"{picture.name}: {one.psnr:.2f} dB{f', {name}' if name else ''}; "
                    f"the nearest of {samples} samples, number {one.sample}, has {one.sample_psnr:.2f} dB",
                    flush=True,
                )
        rows = [image for one in found for image in (one.target, one.sample_image, one.image)]
        captions = [text for one in found for text in ("picture", "sample", "projection")]
        made_by = {
            "Projection": ", ".join(picture.name for picture in pictures),
            "Samples": f"{samples} of seed {seed}",
        }
        metadata = Metadata().stamped(
            GENERATED, {"Model": card.name, "Weights": f"sha256:{card.weights_sha256}"} | made_by
        )
        sheet = contact_sheet(np.stack(rows), columns=3, captions=captions)
        write_latents(latents, card, np.stack([one.z for one in found]), facts, overwrite=overwrite)
        write(Picture(sheet, metadata=metadata), output, overwrite=overwrite)
    seconds = round(time.perf_counter() - start, 3)
    if as_json:
        summary = {"summary": True, "model": card.name, "output": str(output), "latents": str(latents), **options}
        print(json.dumps({**summary, "seconds": seconds}))
    else:
        print(f"-> {output}, {latents} ({seconds:.2f} s)")


def _read(path: Path) -> bytes:
    from mezzotint.errors import InputError

    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _rounded(psnr: float) -> float | None:
    """In JSON there is no infinity."""
    return None if psnr == float("inf") else round(psnr, 4)
