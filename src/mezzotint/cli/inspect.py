"""`mezzotint inspect`: what a model or an image file is and says about itself."""

from __future__ import annotations

import hashlib
import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mezzotint import catalog
from mezzotint.errors import ModelError

if TYPE_CHECKING:
    from mezzotint.image.metadata import Metadata


def inspect(
    file: str = typer.Argument(help="A model (file, run folder or name), a run that is not finished, or an image."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object."),
) -> None:
    """Show a model's card, tensors and checksum, what a run's doctor said, or an image's size, metadata and provenance.

    Exits with 5 if the weights of a .safetensors file are not those on its card, with 3 if an image is damaged.
    """
    path = Path(file)
    training = _run(path)
    if training and not (path / f"weights{catalog.DEPLOYED}").exists():
        facts = training
    elif path.is_file() and path.suffix not in (catalog.DEPLOYED, catalog.TRAINED):
        facts = _image(path)
    else:
        facts = _model(file) | ({"run": training} if training else {})
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        _print(facts)
    if facts.get("weights_match_card") is False:
        raise ModelError(f"{facts['file']} is damaged: its weights are not those on its card (SHA-256 differs)")


def _run(folder: Path) -> dict[str, Any]:
    """How far a run has come and what its doctor said, by step; nothing where no log is."""
    from mezzotint.training import log

    if not (folder / "log.jsonl").is_file():
        return {}
    lines = log.read(folder / "log.jsonl")
    facts: dict[str, Any] = {"kind": "run", "step": 0, "minutes": 0.0, "doctor": {}}
    for line in lines:
        facts |= {key: line[key] for key in ("step", "minutes") if key in line}
        if isinstance(line.get("said"), list) and line["said"]:
            facts["doctor"][f"step {line['step']}"] = "; ".join(map(str, line["said"]))
    return facts


def _model(name_or_path: str) -> dict[str, Any]:
    """Facts about a model, found without torch and, unless it is an ONNX file of others, without running it."""
    from mezzotint import runtimes

    card = runtimes.card(name_or_path)
    facts: dict[str, Any] = {"kind": "model", "file": None, "card": json.loads(card.to_json())}
    if card.macs and card.scale:
        # The measure of papers on small networks: 10^9 multiply-accumulates for a picture enlarged to 1280x720.
        facts["gmacs_for_1280x720"] = round(card.macs * 1280 * 720 / card.scale**2 / 1e9, 2)
    suffix = Path(name_or_path).suffix
    path = catalog.find(name_or_path, suffix if suffix == catalog.TRAINED else catalog.DEPLOYED)
    if path is None:
        return facts
    data = path.read_bytes()
    facts |= {"file": str(path), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if path.suffix == catalog.TRAINED:
        from mezzotint.tensors import digest, read_header

        _, tensors = read_header(path)
        facts["weights_match_card"] = digest(data, tensors) == card.weights_sha256
        facts["tensors"] = {name: f"{tensor.dtype} {list(tensor.shape)}" for name, tensor in sorted(tensors.items())}
    else:
        from mezzotint.runtimes import openvino

        facts |= openvino.describe(path)
    return facts


def _image(path: Path) -> dict[str, Any]:
    """Facts about an image, decoded once, so that damage is found."""
    from mezzotint.image import io

    picture = io.read(path, first_frame=True)
    channels = {1: "grey", 3: "RGB"}[picture.pixels.shape[2]]
    return {
        "kind": "image",
        "file": str(path),
        "bytes": path.stat().st_size,
        "format": picture.format,
        "lossless": picture.lossless,
        "width": picture.width,
        "height": picture.height,
        "mode": channels + (" + alpha" if picture.alpha is not None else ""),
        "bits": picture.pixels.dtype.itemsize * 8,
        "notes": list(picture.notes),
        **_metadata(picture.metadata),
    }


def _metadata(metadata: Metadata) -> dict[str, Any]:
    """What stands beside the pixels; `provenance` is what mezzotint notes in files it makes."""
    facts: dict[str, Any] = {}
    if metadata.dpi:
        facts["dpi"] = list(metadata.dpi)
    if metadata.icc:
        facts["icc"] = _profile_name(metadata.icc)
    if metadata.exif:
        facts["exif"] = _exif(metadata.exif)
    if metadata.xmp:
        facts["xmp_bytes"] = len(metadata.xmp)
        text = metadata.xmp.decode("utf-8", "replace")
        provenance = {key: html.unescape(value) for key, value in re.findall(r'\bmezzotint:(\w+)="([^"]*)"', text)}
        if source := re.search(r"DigitalSourceType[=>]\W?[^\"'<]*/(\w+)", text):
            provenance["source_type"] = source[1]
        if provenance:
            facts["provenance"] = provenance
    return facts


def _profile_name(icc: bytes) -> str:
    import io

    from PIL import ImageCms

    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "damaged"


def _exif(data: bytes) -> dict[str, str]:
    from PIL import ExifTags, Image

    exif = Image.Exif()
    try:
        exif.load(data)
        directories = (exif, *(exif.get_ifd(directory) for directory in (0x8769, 0x8825)))
        tags = {
            ExifTags.TAGS.get(tag, hex(tag)): value for directory in directories for tag, value in directory.items()
        }
    except Exception as error:  # damage has many exception types here
        return {"damaged": str(error)}
    return {name: str(value)[:200] for name, value in tags.items() if not isinstance(value, bytes)}


def _print(facts: dict[str, Any], indent: str = "") -> None:
    """One fact a line, nested ones indented; JSON's quoting keeps a hostile file's control characters off the terminal."""
    for key, value in facts.items():
        label = f"{indent}{_safe(key)}:"
        if isinstance(value, dict) and value:
            print(label)
            _print(value, indent + "  ")
        else:
            print(label, _safe(value) if isinstance(value, str) else json.dumps(value))


def _safe(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)
