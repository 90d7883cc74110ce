"""Which of our networks the weights of others are for: told by the names and shapes of their tensors alone.

| network | names as in |
|---|---|
| RRDB | BasicSR and Real-ESRGAN (`conv_first`, `body.N.rdbM.convK`, `conv_up1`, ...), ESRGAN's second form and BSRGAN (`RRDB_trunk.N.RDBM.convK`, `upconv1`, ...), ESRGAN's first form (`model.1.sub.N.RDBM.convK.0`, ...) |
| SRVGG | BasicSR's SRVGGNetCompact (`body.N`) |
| SPAN | the authors' code (`conv_1`, `block_N.cK_r`, ...), branches or merged kernels |
"""  # noqa: E501

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# This folder's `__all__` names networks that recipes and cards may refer to; the functions here are none.
__all__: list[str] = []

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Recognised:
    """A network of ours and how its tensors are called in the file."""

    architecture: str  # as others call it
    network: str  # reference below mezzotint.models
    arguments: dict[str, Any]
    style: str  # whose names these are
    theirs: dict[str, str]  # our name of a tensor -> theirs


def recognise(shapes: Shapes, scale: int | None = None) -> Recognised:
    """The network that tensors of these names and shapes are for. `scale` decides where they leave it open (ESRGAN's x3 and
    x2 look the same).

    Raises `ValueError` naming the tensor that is missing or has an impossible shape.
    """
    if "conv_1.sk.weight" in shapes or "conv_1.eval_conv.weight" in shapes:
        return _span(shapes)
    if "conv_first.weight" in shapes or "model.0.weight" in shapes:
        return _rrdb(shapes, scale)
    if "body.0.weight" in shapes:
        return _srvgg(shapes)
    some = ", ".join(f"'{name[:40]}'" for name in sorted(shapes)[:3])
    raise ValueError(f"its tensors ({some}, ...) are not those of ESRGAN/RRDB, SRVGGNetCompact or SPAN")


def _kernel(shapes: Shapes, name: str) -> tuple[int, int]:
    """Outputs and inputs of the convolution whose kernel has this name."""
    if name not in shapes:
        raise ValueError(f"'{name}' is missing")
    if len(shapes[name]) != 4 or 0 in shapes[name]:
        raise ValueError(f"'{name}' has shape {list(shapes[name])}, which is no kernel's")
    return shapes[name][0], shapes[name][1]


def _blocks(shapes: Shapes, pattern: str, each: int) -> int:
    """How many blocks there are, by the largest number that `pattern` finds, each of at least `each` tensors."""
    numbers = [int(found[1]) for name in shapes if (found := re.match(pattern, name))]
    blocks = max(numbers, default=-1) + 1
    if blocks * each > len(shapes):
        raise ValueError(f"it has {len(shapes)} tensors, too few for {blocks} blocks")
    return blocks


def _side(name: str, outputs: int, inputs: int) -> int:
    """The r of `outputs = inputs * r * r`."""
    side = math.isqrt(outputs // inputs)
    if outputs != inputs * side**2:
        raise ValueError(f"'{name}' has {outputs} channels where {inputs} times a square are due")
    return side


def _named(names: Mapping[str, str]) -> dict[str, str]:
    """Weights and biases of layers by the names of layers."""
    return {f"{our}.{kind}": f"{their}.{kind}" for our, their in names.items() for kind in ("weight", "bias")}


def _srvgg(shapes: Shapes) -> Recognised:
    layers = _blocks(shapes, r"body\.(\d{1,5})\.", 1)
    tail = f"body.{layers - 1}.weight"
    channels, colours = _kernel(shapes, "body.0.weight")
    outputs, _ = _kernel(shapes, tail)
    # A PReLU follows every convolution but the last.
    arguments = {
        "scale": _side(tail, outputs, colours),
        "channels": channels,
        "num_blocks": (layers - 3) // 2,
        "in_channels": colours,
    }
    names = [f"body.{layer}.{kind}" for layer in range(layers) for kind in ("weight", "bias")]
    theirs = {name: name for name in names if name.endswith("weight") or name.split(".")[1][-1] in "02468"}
    return Recognised("SRVGGNetCompact", "srvgg.SRVGG", arguments, "BasicSR", theirs)


def _span(shapes: Shapes) -> Recognised:
    blocks = _blocks(shapes, r"block_(\d{1,5})\.", 6) - 1
    whole = "sk" if "conv_1.sk.weight" in shapes else "eval_conv"
    channels, colours = _kernel(shapes, f"conv_1.{whole}.weight")
    outputs, _ = _kernel(shapes, "upsampler.0.weight")
    arguments = {
        "scale": _side("upsampler.0.weight", outputs, colours),
        "channels": channels,
        "num_blocks": blocks,
        "in_channels": colours,
        # A buffer that programs which train without the mean colour leave in the file.
        "normalized": "no_norm" not in shapes,
        "reparameterized": False,
    }
    places = {"head": "conv_1", "last": "conv_2"}
    places |= {f"blocks.{n}.convolutions.{k}": f"block_{n + 1}.c{k + 1}_r" for n in range(blocks) for k in range(3)}
    names = {our: f"{their}.eval_conv" for our, their in places.items()}
    theirs = _named(names | {"merge": "conv_cat", "tail": "upsampler.0"})
    return Recognised("SPAN", "span.SPAN", arguments, "the authors' code", theirs)


def _rrdb_names(shapes: Shapes) -> tuple[str, int, Callable[[int, int, int], str], dict[str, str]]:
    """Whose names they are; how many blocks; the name of convolution k of dense block m of block n; the other layers."""
    if "model.0.weight" in shapes:
        blocks = _blocks(shapes, r"model\.1\.sub\.(\d{1,5})\.RDB", 30)
        numbers = sorted(int(found[1]) for name in shapes if (found := re.fullmatch(r"model\.(\d{1,2})\.weight", name)))
        if len(numbers) < 3:
            raise ValueError("its last layers, 'model.N.weight', are missing")
        enlarging = numbers[1:-2]
        ends = {"head": "model.0", "merge": f"model.1.sub.{blocks}"}
        ends |= {f"stages.{n}.convolution": f"model.{number}" for n, number in enumerate(enlarging)}
        ends |= {"tail.0": f"model.{numbers[-2]}", "tail.2": f"model.{numbers[-1]}"}
        return "ESRGAN, first form", blocks, lambda n, m, k: f"model.1.sub.{n}.RDB{m + 1}.conv{k + 1}.0", ends
    basicsr = "RRDB_trunk.0.RDB1.conv1.weight" not in shapes
    body, dense, merge, stage, before = (
        ("body", "rdb", "conv_body", "conv_up", "conv_hr")
        if basicsr
        else ("RRDB_trunk", "RDB", "trunk_conv", "upconv", "HRconv")
    )
    blocks = _blocks(shapes, rf"{body}\.(\d{{1,5}})\.{dense}", 30)
    ends = {"head": "conv_first", "merge": merge, "tail.0": before, "tail.2": "conv_last"}
    ends |= {f"stages.{n}.convolution": f"{stage}{n + 1}" for n in range(5) if f"{stage}{n + 1}.weight" in shapes}
    style = "BasicSR" if basicsr else "ESRGAN, second form"
    return style, blocks, lambda n, m, k: f"{body}.{n}.{dense}{m + 1}.conv{k + 1}", ends


def _rrdb(shapes: Shapes, scale: int | None) -> Recognised:
    style, blocks, dense, ends = _rrdb_names(shapes)
    channels, inputs = _kernel(shapes, f"{ends['head']}.weight")
    colours, _ = _kernel(shapes, f"{ends['tail.2']}.weight")
    growth, _ = _kernel(shapes, dense(0, 0, 0) + ".weight") if blocks else (None, None)
    unshuffle = _side(f"{ends['head']}.weight", inputs, colours)
    stages = sum(our.startswith("stages.") for our in ends)
    total = 3 if scale == 3 and stages == 1 else 2**stages
    if total % unshuffle:
        raise ValueError(f"'{ends['head']}.weight' has {inputs} inputs, more than {total} times enlarging undoes")
    arguments = {
        "scale": total // unshuffle,
        "channels": channels,
        "num_blocks": blocks,
        "in_channels": colours,
        "growth": growth,
        "unshuffle": unshuffle,
    }
    places = ends | {
        f"blocks.{n}.body.{m}.convolutions.{k}": dense(n, m, k)
        for n in range(blocks)
        for m in range(3)
        for k in range(5)
    }
    return Recognised("ESRGAN (RRDBNet)", "rrdb.RRDB", arguments, style, _named(places))
