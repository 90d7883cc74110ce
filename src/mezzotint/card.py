"""The card: what weights are, what they cost and need, and what they were measured to be worth.

It travels inside the file it describes, as one JSON string under the metadata key `mezzotint`, in `.safetensors` and in
`.onnx` alike. Reading it needs neither torch, nor safetensors, nor onnx.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mezzotint.errors import InputError, ModelError, NoCardError
from mezzotint.tensors import LARGEST_HEADER, read_header

KEY = "mezzotint"
SUPER_RESOLUTION = "super-resolution"
GENERATION = "generation"

# Top-level fields of an ONNX file: an honest one has about ten.
_MOST_FIELDS = 10_000


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
    precision: str = ""  # "int8" if its inner convolutions are stored and computed so
    in_channels: int = 3  # super-resolution
    out_channels: int = 3  # of 2 or 4 the last is opacity, and the colours are as they look on white
    scale: int | None = None  # super-resolution: output side / input side
    halo: int | None = None  # super-resolution: how far around a pixel the network looks; exact tiling needs this much
    alignment: int | None = None  # super-resolution: exact tiles begin at multiples of this; None: anywhere
    latent_dim: int | tuple[int, ...] | None = None  # generation: how many numbers, or C H W of noise of any size
    size: tuple[int, int] | None = None  # generation: height, width
    labels: tuple[str, ...] = ()  # generation: class names in the order of their numbers; empty if unconditional
    parameters: int | None = None
    # Multiply-accumulates of convolutions and matrix products: for a low-resolution pixel, or for an image generated.
    macs: int | None = None
    speed: dict[str, Any] = field(
        default_factory=dict
    )  # what one picture took: seconds, input, processor, threads, ...
    version: str = ""  # of mezzotint, when trained
    recipe: dict[str, Any] = field(default_factory=dict)
    parents: tuple[dict[str, Any], ...] = ()  # of weights in between: name, weights_sha256, share of each
    steps: int | None = None
    minutes: float | None = None
    data: str = ""
    licence: str = ""
    # Weights of others: file, sha256, architecture, names of its tensors.
    source: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)  # {"Set5": {"psnr_y": 31.2, "ssim_y": 0.88}}
    weights_sha256: str = ""  # over the tensors' bytes, in the order of their names

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Generation: the shape of one z, without the batch."""
        return self.latent_dim if isinstance(self.latent_dim, tuple) else (self.latent_dim or 0,)

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
            for key in ("size", "labels", "latent_dim", "parents"):
                if isinstance(facts.get(key), list):
                    facts[key] = tuple(facts[key])
            card = cls(**facts)
            for key, hint in get_type_hints(cls).items():
                if not _fits(getattr(card, key), hint):
                    raise ValueError(f"its '{key}' is not of the type {hint}")
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{source}: its mezzotint card is damaged ({error})") from error
        if card.task not in (SUPER_RESOLUTION, GENERATION):
            raise ModelError(f"{source}: unknown task '{card.task}' on its card")
        if card.task == SUPER_RESOLUTION and not (isinstance(card.scale, int) and 1 <= card.scale <= 16):
            raise ModelError(f"{source}: a super-resolution card needs a scale of 1 to 16, not {card.scale}")
        return card

    def replace(self, **facts: Any) -> Card:
        """A copy with some facts changed."""
        return dataclasses.replace(self, **facts)


def _fits(value: object, hint: Any) -> bool:
    """Whether `value` is of the type that `hint` annotates, for the kinds of annotations that cards have."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return any(_fits(value, part) for part in parts)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, parts[0]) and _fits(v, parts[1]) for k, v in value.items())
    if origin is tuple:
        endless = parts[-1] is Ellipsis
        return (
            isinstance(value, tuple)
            and (endless or len(value) == len(parts))
            and all(_fits(item, parts[0]) for item in value)
        )
    if hint is float:
        return type(value) in (int, float)
    return hint is Any or type(value) is hint


def read_card(path: str | Path) -> Card:
    """The card inside a `.safetensors` or `.onnx` file. Raises `InputError` if unreadable, `ModelError` if no card."""
    path = Path(path)
    if path.suffix == ".safetensors":
        metadata, _ = read_header(path)
    else:
        try:
            with path.open("rb") as stream:
                metadata = _onnx_metadata(stream)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        except (ValueError, IndexError) as error:
            raise ModelError(f"{path} is not a readable model file ({error})") from error
    if KEY not in metadata:
        raise NoCardError(f"{path} carries no mezzotint card; `mezzotint export` reads some weights of others")
    return Card.from_json(metadata[KEY], path)


def _onnx_metadata(stream: Any) -> dict[str, str]:
    """`ModelProto.metadata_props` (field 14), read by walking the top level of the protobuf; the graph is skipped."""
    end = stream.seek(0, 2)
    stream.seek(0)
    metadata: dict[str, str] = {}
    for _ in range(_MOST_FIELDS):
        if stream.tell() == end:
            return metadata
        tag = _varint(stream)
        kind = tag & 7
        if kind == 0:
            _varint(stream)
        elif kind == 2:
            length = _varint(stream)
            if length > end - stream.tell():
                raise ValueError("it is truncated")
            if tag >> 3 == 14:
                if length > LARGEST_HEADER:
                    raise ValueError(f"its metadata claim {length} bytes")
                entry = dict(_strings(stream.read(length)))
                metadata[entry.get(1, "")] = entry.get(2, "")
            else:
                stream.seek(length, 1)
        else:
            raise ValueError("it is not an ONNX file")
    raise ValueError("it is not an ONNX file")


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
