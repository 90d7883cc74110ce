"""The header of a `.safetensors` file: which tensors it holds, checked before a byte of them is read. Needs no torch.

Format: length of the header (u64, little endian), header (JSON), the tensors' bytes without gaps.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from mezzotint.errors import InputError, ModelError

# No honest file of ours comes near these; larger ones are attacks (a 33 MB header costs seconds and a gigabyte).
LARGEST_HEADER = 8 << 20
MOST_TENSORS = 20_000

# Bytes per element of the types that weights may have.
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class Tensor:
    """One entry of the header; its bytes lie in the file from `begin` up to `end`."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors by name of a `.safetensors` file, sizes checked against the file's length.

    Raises `InputError` if it cannot be read, `ModelError` if it is damaged or larger than honest files are.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            if length > LARGEST_HEADER:
                raise ValueError(f"its header claims {length} bytes")
            if len(start) < 8 or 8 + length > size:
                raise ValueError("it is truncated, or no .safetensors file")
            header = json.loads(stream.read(length))
        return _metadata(header), _tensors(header, 8 + length, size)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not a readable model file ({error})") from error


def digest(data: bytes | memoryview, tensors: dict[str, Tensor]) -> str:
    """SHA-256 over the tensors' bytes in the order of their names; `data` is the whole file."""
    total, view = hashlib.sha256(), memoryview(data)
    for name in sorted(tensors):
        total.update(view[tensors[name].begin : tensors[name].end])
    return total.hexdigest()


def _metadata(header: object) -> dict[str, str]:
    metadata = header.pop("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not strings")
    return metadata


def _tensors(header: dict[str, object], start: int, size: int) -> dict[str, Tensor]:
    """Every entry checked: a known type, a shape that fits its bytes, and bytes that fill the file without gaps."""
    if len(header) > MOST_TENSORS:
        raise ValueError(f"its header lists {len(header)} tensors")
    tensors = {}
    for name, entry in header.items():
        if not isinstance(entry, dict):
            raise ValueError(f"the entry of tensor '{name[:80]}' is damaged")
        dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        if dtype not in WIDTHS or not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
            raise ValueError(f"the entry of tensor '{name[:80]}' is damaged")
        if offsets[1] - offsets[0] != math.prod(shape) * WIDTHS[dtype]:
            raise ValueError(f"the size of tensor '{name[:80]}' does not fit its shape")
        tensors[name] = Tensor(dtype, tuple(shape), start + offsets[0], start + offsets[1])
    end = start
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != end:
            raise ValueError("its tensors overlap or leave gaps")
        end = tensor.end
    if end != size:
        raise ValueError(f"its tensors end at byte {end} and the file at {size}; it is truncated or padded")
    return tensors


def _naturals(values: object) -> TypeGuard[list[int]]:
    """Whether `values` is a short list of whole numbers from 0 to 2**48 (so that products stay cheap)."""
    return (
        isinstance(values, list)
        and len(values) <= 8
        and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
    )
