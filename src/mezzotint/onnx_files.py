"""What an ONNX file asks for, checked before a runtime reads it: no other files, no loops, no sizes beyond its own bytes.

The format is protobuf: messages of numbered fields, some of which are messages (onnx/onnx.proto). Walked here without any
package, tensors' numbers skipped, in time that grows with the number of fields.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path

from mezzotint.errors import InputError, ModelError

_LARGEST_FILE = 1 << 30
# ESRGAN's has about 20,000.
_MOST_FIELDS = 1_000_000

# Bytes for each number of a tensor's data type, by its code in TensorProto.
_WIDTHS = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
_DOMAINS = ("", "ai.onnx")


def check(path: str | Path) -> None:
    """Raise `ModelError` if the file is no ONNX model, or one that reads other files, branches, or claims more numbers than
    it holds; `InputError` if it cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            if (size := stream.seek(0, 2)) > _LARGEST_FILE:
                raise ValueError(f"it has {size} bytes, more than {_LARGEST_FILE}")
            if not size:
                raise ValueError("it is empty")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _Walk(data).model()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not a usable ONNX file ({error})") from error


class _Walk:
    """One pass over a file; a message is where it begins and ends in it."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.left = data, _MOST_FIELDS

    def model(self) -> None:
        graphs = 0
        for number, value in self.fields((0, len(self.data))):
            if number == 7:
                graphs += 1
                self.graph(self.message(value))
            elif number == 25:
                raise ValueError("it defines functions of its own; export it with them inlined")
        if graphs != 1:
            raise ValueError("it holds no network" if not graphs else "it holds several networks")

    def graph(self, place: tuple[int, int]) -> None:
        for number, value in self.fields(place):
            if number == 1:
                self.node(self.message(value))
            elif number == 5:
                self.tensor(self.message(value))
            elif number == 15:
                raise ValueError("it holds sparse tensors")

    def node(self, place: tuple[int, int]) -> None:
        kind = domain = ""
        for number, value in self.fields(place):
            if number in (4, 7):
                text = self.text(value)
                kind, domain = (text, domain) if number == 4 else (kind, text)
            elif number == 5:
                self.attribute(self.message(value))
        if domain not in _DOMAINS:
            raise ValueError(f"its operation {domain[:40]!r}.{kind[:40]!r} is none of ONNX's own")

    def attribute(self, place: tuple[int, int]) -> None:
        for number, value in self.fields(place):
            if number in (5, 10):
                self.tensor(self.message(value))
            elif number in (6, 11):
                raise ValueError("it branches or loops (If, Loop, Scan), which no upscaler needs")
            elif number in (22, 23):
                raise ValueError("it holds sparse tensors")

    def tensor(self, place: tuple[int, int]) -> None:
        dims: list[int] = []
        kind = raw = typed = 0
        has_raw = False
        for number, value in self.fields(place):
            if number == 1:
                dims += [value] if isinstance(value, int) else self.varints(value)
            elif number == 2 and isinstance(value, int):
                kind = value
            elif number in (4, 5, 7, 10, 11):
                typed += 8 if isinstance(value, int) else value[1] - value[0]
            elif number == 9:
                begin, end = self.message(value)
                has_raw, raw = True, end - begin
            elif number == 13 or (number == 14 and value != 0):
                raise ValueError("it keeps its weights in another file; save it as one")
        if kind not in _WIDTHS:
            raise ValueError(f"it holds a tensor of the type {kind}, which is no number")
        if len(dims) > 8 or any(side >= 1 << 40 for side in dims):  # negative ones are huge here
            raise ValueError("it holds a tensor of an impossible shape")
        count = math.prod(dims)
        if (has_raw and raw != count * _WIDTHS[kind]) or (not has_raw and count > typed):
            raise ValueError(f"it holds a tensor of shape {dims} with other than {count} numbers")

    def fields(self, place: tuple[int, int]) -> Iterator[tuple[int, int | tuple[int, int]]]:
        """(number, value) of each field: a whole number, or where its bytes begin and end."""
        position, end = place
        while position < end:
            self.left -= 1
            if self.left < 0:
                raise ValueError(f"it has more than {_MOST_FIELDS:,} fields")
            tag, position = self.varint(position, end)
            if tag & 7 == 0:
                value, position = self.varint(position, end)
                yield tag >> 3, value
                continue
            if tag & 7 == 2:
                length, position = self.varint(position, end)
            elif tag & 7 in (1, 5):
                length = 8 if tag & 7 == 1 else 4
            else:
                raise ValueError("it is damaged, or something else")
            if length > end - position:
                raise ValueError("it is truncated, or something else")
            yield tag >> 3, (position, position + length)
            position += length

    def varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                break
            byte = self.data[position]
            value |= (byte & 0x7F) << shift
            position += 1
            if byte < 0x80:
                return value, position
        raise ValueError("it is truncated, or something else")

    def varints(self, place: tuple[int, int]) -> list[int]:
        position, end = place
        if end - position > 100:
            raise ValueError("it holds a tensor of an impossible shape")
        values = []
        while position < end:
            value, position = self.varint(position, end)
            values.append(value)
        return values

    def message(self, value: int | tuple[int, int]) -> tuple[int, int]:
        if isinstance(value, int):
            raise ValueError("it is damaged, or something else")
        return value

    def text(self, value: int | tuple[int, int]) -> str:
        begin, end = self.message(value)
        return self.data[begin : min(end, begin + 200)].decode("utf-8", "replace")
