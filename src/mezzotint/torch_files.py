"""The tensors of a PyTorch `.pth` file: where they lie in it, checked before a byte of them is read. Needs no torch.

Two forms: since PyTorch 1.6 a zip archive of `data.pkl` and one uncompressed member for each storage; before, a chain of
pickles and then each storage's length and bytes. Either way a tensor's numbers lie in one piece in the file, as in a
`.safetensors`, and are described by the same `Tensor`.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from mezzotint import pickled
from mezzotint.errors import InputError, ModelError
from mezzotint.tensors import LARGEST_HEADER, MOST_TENSORS, WIDTHS, Tensor

LARGEST_FILE = 1 << 30

# What training programs keep weights under, the averaged ones first.
_WRAPPERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model")
# The first number in a file of the old form, and the version after it (torch/serialization.py).
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


def read_header(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` by name; of the several sets a training program may keep, the averaged one.

    Together they are no longer than the file. Raises `InputError` if it cannot be read, `ModelError` if it is damaged,
    names anything but tensors, or is larger than honest files are.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            if size > LARGEST_FILE:
                raise ValueError(f"it has {size} bytes, more than {LARGEST_FILE}")
            stream.seek(0)
            start = stream.read(4)
            value, spans = _archive(stream, size) if start == b"PK\x03\x04" else _chain(stream, size)
        return _tensors(_weights(value), spans, size)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"{path} is not a readable model file ({error})") from error


def _archive(stream: BinaryIO, size: int) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The pickled value, and where each storage begins and ends, by its key."""
    _check_entries(stream, size)
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("its archive has a name twice")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its archive is compressed, as PyTorch's are not")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its archive claims more bytes than the file has")
        pickles = [entry for entry in entries if entry.filename.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1 or pickles[0].file_size > LARGEST_HEADER:
            raise ValueError("it is no archive of PyTorch: it needs one data.pkl of modest size")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"'{damaged[:80]}' in its archive is damaged")
        folder = pickles[0].filename.removesuffix("data.pkl")
        for entry in entries:
            if entry.filename == f"{folder}byteorder" and archive.read(entry) != b"little":
                raise ValueError("its numbers have their bytes in the other order")
        value = pickled.read(io.BytesIO(archive.read(pickles[0])))
    spans = {}
    for entry in entries:
        if entry.filename.startswith(f"{folder}data/"):
            stream.seek(entry.header_offset)
            name_length, extra_length = struct.unpack("<26xHH", stream.read(30))
            begin = entry.header_offset + 30 + name_length + extra_length
            spans[entry.filename.removeprefix(f"{folder}data/")] = begin, begin + entry.file_size
    return value, spans


def _check_entries(stream: BinaryIO, size: int) -> None:
    """Refuse an archive with too many entries before the library makes an object of each."""
    stream.seek(max(0, size - 98))
    tail = stream.read()
    if len(tail) < 22 or tail[-22:-18] != _END or tail[-2:] != b"\0\0":
        raise ValueError("its archive is truncated, or something follows it")
    count, length = struct.unpack("<10xHI6x", tail[-22:])
    if tail[-42:-38] == _LOCATOR_64:
        if len(tail) < 98 or tail[:4] != _END_64:
            raise ValueError("its archive is damaged")
        count, length = struct.unpack("<32xQQ8x", tail[:56])
    if count > MOST_TENSORS or length > LARGEST_HEADER:
        raise ValueError(f"its archive lists {count} members")


def _chain(stream: BinaryIO, size: int) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The same of the old form."""
    stream.seek(0)
    head = io.BytesIO(stream.read(LARGEST_HEADER))
    try:
        magic, version = pickled.read(head), pickled.read(head)
    except ValueError:
        magic = version = None
    if magic != _MAGIC or version != _VERSION:
        raise ValueError("it is no file of weights that PyTorch saved")
    system, value, keys = pickled.read(head), pickled.read(head), pickled.read(head)
    if not isinstance(system, dict) or system.get("little_endian") is not True or not isinstance(keys, list):
        raise ValueError("it is damaged, or its numbers have their bytes in the other order")
    storages = {tensor.storage.key: tensor.storage for tensor in _stored(value)}
    spans, position = {}, head.tell()
    for key in keys:
        if not isinstance(key, str) or key not in storages or key in spans:
            raise ValueError("its list of storages is damaged")
        stream.seek(position)
        count = int.from_bytes(stream.read(8), "little")
        begin, end = position + 8, position + 8 + count * WIDTHS[storages[key].dtype]
        if count != storages[key].numbers or end > size:
            raise ValueError("it is truncated, or a storage has another size than the tensors in it")
        spans[key], position = (begin, end), end
    return value, spans


def _stored(value: Any) -> list[pickled.Stored]:
    """The tensors in a value, at any depth."""
    found: list[pickled.Stored] = []
    ahead, seen = [value], set()
    while ahead:
        value = ahead.pop()
        if isinstance(value, pickled.Stored):
            found.append(value)
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            ahead.extend(value.values() if isinstance(value, dict) else value)
    return found


def _weights(value: Any) -> dict[str, pickled.Stored]:
    """The named tensors that are meant, taken out of their wrappers."""
    while isinstance(value, dict):
        wrapper = next((name for name in _WRAPPERS if isinstance(value.get(name), dict)), None)
        if wrapper is None:
            break
        value = value.pop(wrapper)
    named = value if isinstance(value, dict) else {}
    weights = {name: tensor for name, tensor in named.items() if isinstance(tensor, pickled.Stored)}
    if not weights or not all(isinstance(name, str) for name in weights):
        raise ValueError("it holds no named tensors")
    return weights


def _tensors(weights: dict[str, pickled.Stored], spans: dict[str, tuple[int, int]], size: int) -> dict[str, Tensor]:
    """Each with its place in the file."""
    tensors = {}
    for name, (storage, offset, shape) in weights.items():
        width = WIDTHS[storage.dtype]
        begin, end = spans.get(storage.key, (0, -1))
        if end - begin != storage.numbers * width:
            raise ValueError(f"the storage of tensor '{name[:80]}' is missing or has another size than it claims")
        begin += offset * width
        tensors[name] = Tensor(storage.dtype, shape, begin, begin + math.prod(shape) * width)
    if len(tensors) > MOST_TENSORS or sum(tensor.end - tensor.begin for tensor in tensors.values()) > size:
        raise ValueError("its tensors share their bytes and would take more memory than the file has")
    return tensors
