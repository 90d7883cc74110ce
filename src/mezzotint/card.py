"""The card: what weights are, what they cost and need, and what they were measured to be worth.

It travels inside the file it describes, as one JSON string under the metadata key `mezzotint`, in `.safetensors` and in
`.onnx` alike. Reading it needs neither torch, nor safetensors, nor onnx.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mezzotint.errors import InputError, ModelError

KEY = "mezzotint"
SUPER_RESOLUTION = "super-resolution"
GENERATION = "generation"

# No honest header of ours comes near this; larger ones are attacks (a 33 MB header costs seconds and a gigabyte).
_LARGEST_HEADER = 8 << 20


@dataclass(frozen=True)
class Card:
    """Facts about weights. Sizes in pixels; `halo` in low-resolution pixels; values of images lie in 0 to 1 for
    super-resolution and in -1 to 1 for generation.
    """

    name: str
    task: str  # SUPER_RESOLUTION or GENERATION
    network: str  # reference below mezzotint.models, such as "compact.Compact"
    arguments: dict[str, Any] = field(default_factory=dict)  # its constructor's keyword arguments
    description: str = ""
    in_channels: int = 3  # super-resolution
    out_channels: int = 3
    scale: int | None = None  # super-resolution: output side / input side
    halo: int | None = None  # super-resolution: how far around a pixel the network looks; exact tiling needs this much
    latent_dim: int | None = None  # generation
    size: tuple[int, int] | None = None  # generation: height, width
    labels: tuple[str, ...] = ()  # generation: class names in the order of their numbers; empty if unconditional
    parameters: int | None = None
    version: str = ""  # of mezzotint, when trained
    recipe: dict[str, Any] = field(default_factory=dict)
    steps: int | None = None
    minutes: float | None = None
    data: str = ""
    licence: str = ""
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)  # {"Set5": {"psnr_y": 31.2, "ssim_y": 0.88}}
    weights_sha256: str = ""  # over the tensors' bytes, in the order of their names

    def to_json(self) -> str:
        """The card as one line of JSON with sorted keys: equal cards give equal bytes. Empty facts are left out."""
        facts = {key: value for key, value in dataclasses.asdict(self).items() if value not in (None, "", {}, (), [])}
        return json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, source: str | Path = "card") -> Card:
        """Parse `to_json`'s output; facts of later versions are ignored. Raises `ModelError` naming `source`."""
        try:
            facts = json.loads(text)
            known = {f.name for f in dataclasses.fields(cls)}
            facts = {key: value for key, value in facts.items() if key in known}
            for key in ("size", "labels"):
                if key in facts:
                    facts[key] = tuple(facts[key])
            card = cls(**facts)
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelError(f"{source}: its mezzotint card is damaged ({error})") from error
        if card.task not in (SUPER_RESOLUTION, GENERATION):
            raise ModelError(f"{source}: unknown task '{card.task}' on its card")
        if card.task == SUPER_RESOLUTION and not (isinstance(card.scale, int) and 1 <= card.scale <= 16):
            raise ModelError(f"{source}: a super-resolution card needs a scale of 1 to 16, not {card.scale}")
        return card

    def replace(self, **facts: Any) -> Card:
        """A copy with some facts changed."""
        return dataclasses.replace(self, **facts)


def read_card(path: str | Path) -> Card:
    """The card inside a `.safetensors` or `.onnx` file. Raises `InputError` if unreadable, `ModelError` if no card."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            metadata = _safetensors_metadata(stream) if path.suffix == ".safetensors" else _onnx_metadata(stream)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, IndexError, struct.error) as error:
        raise ModelError(f"{path} is not a readable model file ({error})") from error
    if KEY not in metadata:
        raise ModelError(f"{path} carries no mezzotint card; it was not made by this tool")
    return Card.from_json(metadata[KEY], path)


def _safetensors_metadata(stream: Any) -> dict[str, str]:
    """Format: length of the header (u64 little endian), header (JSON), tensors."""
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > _LARGEST_HEADER:
        raise ValueError(f"its header claims {length} bytes")
    header = json.loads(stream.read(length))
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not strings")
    return metadata


def _onnx_metadata(stream: Any) -> dict[str, str]:
    """`ModelProto.metadata_props` (field 14), read by walking the top level of the protobuf; the graph is skipped."""
    end = stream.seek(0, 2)
    stream.seek(0)
    metadata = {}
    while stream.tell() < end:
        tag = _varint(stream)
        kind = tag & 7
        if kind == 0:
            _varint(stream)
        elif kind == 2:
            length = _varint(stream)
            if length > end - stream.tell():
                raise ValueError("it is truncated")
            if tag >> 3 == 14:
                if length > _LARGEST_HEADER:
                    raise ValueError(f"its metadata claim {length} bytes")
                entry = dict(_strings(stream.read(length)))
                metadata[entry.get(1, "")] = entry.get(2, "")
            else:
                stream.seek(length, 1)
        else:
            raise ValueError("it is not an ONNX file")
    return metadata


def _varint(stream: Any) -> int:
    value = shift = 0
    while shift < 64:
        (byte,) = stream.read(1) or b"\xff"
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7
    raise ValueError("it is truncated")


def _strings(data: bytes) -> Iterator[tuple[int, str]]:
    """The (field number, string) pairs of a StringStringEntryProto."""
    import io

    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        tag = _varint(stream)
        if tag & 7 != 2:
            raise ValueError("its metadata are damaged")
        yield tag >> 3, stream.read(_varint(stream)).decode("utf-8")
