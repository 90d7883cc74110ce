"""The directory of a TIFF file: the numbers that say how its pixels lie, read and rewritten (TIFF 6.0, section 2)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mezzotint.errors import InputError

_CODES = {3: "H", 4: "I", 16: "Q"}
_MOST_ENTRIES = 4096


@dataclass(frozen=True)
class Directory:
    """Entries as they stand, tag -> type, count and bytes, and where the next directory is (0: nowhere)."""

    order: str
    big: bool  # BigTIFF: 8 bytes for every place and count
    entries: dict[int, tuple[int, int, bytes]]
    following: int

    def numbers(self, data: bytes, tag: int) -> list[int]:
        """The whole numbers of an entry; none if it is absent or of another type. Raises `ValueError`."""
        kind, count, value = self.entries.get(tag, (0, 0, b""))
        code = _CODES.get(kind)
        if code is None:
            return []
        size = count * struct.calcsize(self.order + code)
        place = 0
        if size > len(value):
            (place,) = struct.unpack(self.order + ("Q" if self.big else "I"), value)
            value = data
        if place + size > len(value):
            raise ValueError("its directory points beyond its end")
        return list(struct.unpack_from(f"{self.order}{count}{code}", value, place))

    def number(self, data: bytes, tag: int, default: int) -> int:
        """The first of `numbers`, or `default`."""
        return next(iter(self.numbers(data, tag)), default)

    def after(self, data: bytes) -> Directory:
        """The directory that follows. Raises `ValueError`."""
        return _read(data, self.following, self.order, self.big)


def first(data: bytes) -> Directory:
    """The first directory of a TIFF or BigTIFF file. Raises `ValueError`, `InputError`."""
    order, big = {b"II": "<", b"MM": ">"}[data[:2]], data[2:4] in (b"+\0", b"\0+")
    if big and order == ">":
        raise InputError("BigTIFF of the byte order MM is not read; convert it to a plain TIFF")
    if len(data) < 16:
        raise ValueError("it is truncated")
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    return _read(data, start, order, big)


def _read(data: bytes, start: int, order: str, big: bool) -> Directory:
    count_code, entry, next_code = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    try:
        (count,) = struct.unpack_from(order + count_code, data, start)
        if count > _MOST_ENTRIES:
            raise ValueError(f"its directory claims {count} entries")
        place, entries = start + struct.calcsize(order + count_code), {}
        for _ in range(count):
            tag, *rest = struct.unpack_from(order + entry, data, place)
            entries[tag] = (rest[0], rest[1], rest[2])
            place += struct.calcsize(order + entry)
        (following,) = struct.unpack_from(order + next_code, data, place)
    except struct.error as error:
        raise ValueError("its directory is truncated") from error
    return Directory(order, big, entries, following)


def with_directory(
    data: bytes, directory: Directory, changed: Mapping[int, list[int]], gone: Collection[int] = ()
) -> bytes:
    """The same file whose first and only directory has other numbers under some tags, and some tags no more."""
    order, big = directory.order, directory.big
    room, code, kind = (8, "Q", 16) if big else (4, "I", 4)
    kept = {tag: entry for tag, entry in directory.entries.items() if tag not in gone}
    arrays, start = b"", len(data) + len(data) % 2
    for tag, numbers in changed.items():
        body = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(body) > room:
            place = start + len(arrays)
            arrays += body
            body = struct.pack(order + code, place)
        kept[tag] = (kind, len(numbers), body)
    entry = order + ("HHQ8s" if big else "HHI4s")
    table = struct.pack(order + ("Q" if big else "H"), len(kept))
    table += b"".join(struct.pack(entry, tag, *kept[tag]) for tag in sorted(kept)) + bytes(room)
    head = data[: 8 if big else 4] + struct.pack(order + code, start + len(arrays))
    return b"".join([head, memoryview(data)[len(head) :], bytes(len(data) % 2), arrays, table])
