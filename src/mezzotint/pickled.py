"""What PyTorch's `.pth` files say about their tensors, read without running what they say. Needs no torch.

A `.pth` holds a pickle, a program for a stack machine that may call anything. This is such a machine that can do only what
saving tensors needs: numbers, strings, tuples, lists, dictionaries, and records of where a tensor's numbers lie. It imports
nothing and calls nothing; a program that names anything else is refused by that name. (`pickletools`, of the standard
library, only splits the bytes into instructions.)
"""

from __future__ import annotations

import math
import pickletools
from typing import Any, BinaryIO, NamedTuple

# An honest file of 700 tensors takes 30,000 steps.
_MOST_STEPS = 500_000

# Type of a storage -> type of its elements, as `.safetensors` files call them.
_STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16", "LongStorage": "I64",
    "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8", "BoolStorage": "BOOL",
}  # fmt: skip
_DICTIONARY, _PARAMETER = "collections.OrderedDict", "torch._utils._rebuild_parameter"
_TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_ALLOWED = {_DICTIONARY, _PARAMETER, *_TENSORS, *(f"torch.{name}" for name in _STORAGES)}


class Storage(NamedTuple):
    """A row of so many `numbers` in the file, known by `key`."""

    dtype: str
    key: str
    numbers: int


class Stored(NamedTuple):
    """A tensor: `shape` numbers of a storage from the number `offset` on, without gaps."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]


class _Name(NamedTuple):
    """Something to call or to build, by name only."""

    text: str


_MARK = object()


def read(stream: BinaryIO) -> Any:
    """The value that the pickle at `stream`'s position describes, tensors as `Stored`; the position is then behind it.

    Raises `ValueError` with what is wrong or not allowed.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for steps, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            if steps > _MOST_STEPS:
                raise ValueError(f"its pickle takes more than {_MOST_STEPS:,} steps")
            if operation.name == "STOP":
                return stack.pop()
            _step(operation.name, argument, stack, memo)
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("its pickle is damaged") from error
    raise ValueError("its pickle is truncated")


def _step(operation: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One instruction; an argument that it takes from the bytes is decoded already."""
    match operation:
        case "PROTO" | "FRAME":
            pass
        case (
            "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINSTRING"
            | "SHORT_BINSTRING" | "BINBYTES" | "SHORT_BINBYTES"
        ):  # fmt: skip
            stack.append(argument)
        case "NONE" | "NEWTRUE" | "NEWFALSE":
            stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[operation])
        case "MARK":
            stack.append(_MARK)
        case "EMPTY_DICT":
            stack.append({})
        case "EMPTY_LIST":
            stack.append([])
        case "EMPTY_TUPLE":
            stack.append(())
        case "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            items = [stack.pop() for _ in range(int(operation[-1]))]
            stack.append(tuple(reversed(items)))
        case "BINPUT" | "LONG_BINPUT":
            memo[argument] = stack[-1]
        case "MEMOIZE":
            memo[len(memo)] = stack[-1]
        case "BINGET" | "LONG_BINGET":
            stack.append(memo[argument])
        case "GLOBAL":
            stack.append(_name(*argument.split(" ", 1)))
        case "STACK_GLOBAL":
            name = stack.pop()
            stack.append(_name(stack.pop(), name))
        case "APPEND" | "APPENDS":
            items = [stack.pop()] if operation == "APPEND" else _since_mark(stack)
            _of(list, stack[-1]).extend(items)
        case "SETITEM" | "SETITEMS":
            items = [stack.pop(), stack.pop()][::-1] if operation == "SETITEM" else _since_mark(stack)
            for key, value in zip(items[::2], items[1::2], strict=True):
                # Only what compares in constant time: nested tuples can take for ever.
                if type(key) not in (str, int):
                    raise ValueError("its pickle has a dictionary whose keys are neither strings nor numbers")
                if key in _of(dict, stack[-1]):
                    raise ValueError(f"its pickle names '{str(key)[:80]}' twice")
                stack[-1][key] = value
        case "BINPERSID":
            stack.append(_storage(stack.pop()))
        case "REDUCE":
            arguments = _of(tuple, stack.pop())
            stack.append(_made(_of(_Name, stack.pop()).text, arguments))
        case "BUILD":
            # Attributes of a dictionary, which torch notes versions of modules in.
            stack.pop()
            _of(dict, stack[-1])
        case _:
            raise ValueError(f"its pickle uses {operation}, which saving tensors does not need")


def _since_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError("its pickle is damaged")
    return value


def _name(module: str, name: str) -> _Name:
    text = f"{module}.{name}"
    if text not in _ALLOWED:
        raise ValueError(f"its pickle names {text[:80]!r}, which saving tensors does not need; nothing of it was run")
    return _Name(text)


def _storage(identity: Any) -> Storage:
    """("storage", type, key, device, count), and in old files a sixth, None."""
    kind, storage, key, _, count, *view = _of(tuple, identity)
    if kind != "storage" or any(part is not None for part in view):
        raise ValueError("its pickle refers to something that is no storage of numbers")
    dtype = _STORAGES[_of(_Name, storage).text.rpartition(".")[2]]
    if not _naturals((count,)):
        raise ValueError("its pickle has a storage of an impossible size")
    return Storage(dtype, str(_of(str, key)), count)


def _made(name: str, arguments: tuple[Any, ...]) -> Any:
    """What calling `name` would give."""
    if name == _DICTIONARY and not arguments:
        return {}
    if name == _PARAMETER:
        return _of(Stored, arguments[0])
    if name not in _TENSORS:
        raise ValueError(f"its pickle calls {name}, which saving tensors does not need")
    storage, offset, shape, strides = arguments[:4]
    if not (_naturals((offset,)) and _naturals(shape) and _naturals(strides) and len(shape) == len(strides)):
        raise ValueError("its pickle has a tensor of an impossible shape")
    apart = 1
    for side, stride in zip(reversed(shape), reversed(strides), strict=True):
        if side > 1 and stride != apart:
            raise ValueError("its pickle has a tensor whose numbers do not lie in their order")
        apart *= side
    if offset + math.prod(shape) > _of(Storage, storage).numbers:
        raise ValueError(f"its pickle has a tensor of shape {list(shape)} in a storage of {storage.numbers} numbers")
    return Stored(storage, offset, shape)


def _naturals(values: Any) -> bool:
    """Whether `values` is a short tuple of whole numbers from 0 to 2**48."""
    return (
        type(values) is tuple and len(values) <= 8 and all(type(side) is int and 0 <= side < 1 << 48 for side in values)
    )
