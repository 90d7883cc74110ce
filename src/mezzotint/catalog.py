"""Names of known weights -> files: what ships with the package, run folders, and files by path. Nothing is downloaded."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

from mezzotint.card import SUPER_RESOLUTION, Card, read_card
from mezzotint.errors import InputError, UsageError

SHIPPED = Path(__file__).parent / "weights"
# File suffixes by what a runtime reads; the first that exists is taken.
DEPLOYED, TRAINED, QUANTIZED = ".onnx", ".safetensors", ".int8.onnx"

_NO_INT8 = "has no int8 file; `mezzotint export {} {} --int8 --calibrate FOLDER` makes one"


@cache
def bicubic_cards() -> dict[str, Card]:
    """The built-in models that need no weights: MATLAB's bicubic, the baseline of every table."""
    return {
        f"bicubic-x{scale}": Card(
            name=f"bicubic-x{scale}",
            task=SUPER_RESOLUTION,
            network="bicubic",
            scale=scale,
            halo=3,
            parameters=0,
            description="Bicubic interpolation after MATLAB's imresize (Keys, a = -0.5): the baseline.",
            licence="Apache-2.0",
            data="none",
        )
        for scale in (2, 3, 4)
    }


def names() -> list[str]:
    """Names of all models that work without a download, sorted."""
    return sorted({*bicubic_cards(), *(path.stem for path in SHIPPED.glob(f"*{TRAINED}"))})


def find(name_or_path: str | Path, suffix: str = DEPLOYED) -> Path | None:
    """The file behind a shipped name, a run folder, a `.onnx` or a `.safetensors`; None for a built-in bicubic.

    `suffix` says which of the twin files is wanted; when a path names another one, its twin beside it is taken. A path to an
    int8 file is a deployed one too.
    Raises `UsageError` (unknown name) or `InputError` (missing file).
    """
    text = str(name_or_path)
    if text in bicubic_cards():
        return None
    path = Path(name_or_path)
    if path.is_dir():
        path = path / f"weights{suffix}"
        if not path.is_file():
            if suffix == QUANTIZED:
                raise InputError(f"{path.parent} {_NO_INT8.format(path.parent, path)}")
            begun = (path.parent / "checkpoint.safetensors").is_file()
            remedy = "; `mezzotint train` with --resume goes on with it" if begun else ""
            raise InputError(f"{path.parent} is not a finished run: it has no {path.name}{remedy}")
        return path
    if path.suffix in (DEPLOYED, TRAINED):
        quantized = path.name.endswith(QUANTIZED)
        if quantized and suffix == DEPLOYED and path.is_file():
            return path
        twin = (path.with_suffix("") if quantized else path).with_suffix(suffix)
        if twin.is_file():
            return twin
        if path.is_file():
            if suffix == QUANTIZED:
                raise InputError(f"{path} {_NO_INT8.format(path, twin)}")
            remedy = "; `mezzotint export` makes it" if suffix == DEPLOYED else ", which PyTorch needs"
            raise InputError(f"{path} has no {twin.name} beside it{remedy}")
        raise InputError(f"no such model file: {path}")
    if path.is_file():
        remedy = "; `mezzotint export` makes an .onnx of it" if path.suffix in (".pth", ".pt", ".ckpt") else ""
        raise UsageError(f"{path} is not a model: expected .onnx, .safetensors or a run folder{remedy}")
    shipped = SHIPPED / f"{text}{suffix}"
    if "/" not in text and shipped.is_file():
        return shipped
    if suffix == QUANTIZED and text in names():
        raise InputError(f"{text} {_NO_INT8.format(text, text + DEPLOYED)}")
    close = difflib.get_close_matches(text, names(), 1)
    hint = f"did you mean {close[0]}?" if close else f"known models: {', '.join(names())}"
    raise UsageError(f"no model named '{text}', and no such file or run folder; {hint}")


def card(name_or_path: str | Path) -> Card:
    """The card of a model, without loading it. Raises as `find` and `read_card`."""
    if str(name_or_path) in bicubic_cards():
        return bicubic_cards()[str(name_or_path)]
    path = Path(name_or_path)
    suffix = path.suffix if path.suffix in (DEPLOYED, TRAINED) else DEPLOYED
    found = find(name_or_path, suffix)
    assert found is not None
    return read_card(found)
