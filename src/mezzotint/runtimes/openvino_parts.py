"""An upscaler's graph taken apart for speed and exactness; each part computes what it did within the whole.

* The skip image (the input, enlarged by a fixed kernel) is added by a part of its own, in float32. In bfloat16, which has 8
  bits, it would be off by up to one and a half levels of 256, and 16-bit pictures would come out in steps.
* What runs at a higher resolution than the input, behind the first pixel shuffle, is a tail that can be run in small tiles:
  its tensors are the widest by far and then stay in the cache, and it looks only a few pixels around.
* Where the tail computes in bfloat16, features are handed on to it in bfloat16: half the memory of what is largest.
* Feature maps that are only concatenated to be merged by a 1x1 convolution are merged one by one: no copies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np

# A fixed kernel for each channel, as a skip image has, is a GroupConvolution.
_LEARNED = {"Convolution", "MatMul", "ConvolutionBackpropData"}
# What a tail may consist of.
_POINTWISE = {"Add", "Multiply", "PRelu", "Relu", "LeakyRelu", "Clamp", "Sigmoid", "Tanh"}
# Steps from a value to its 8-bit form and back; they belong to the convolution behind them.
_ROUNDING = {"FakeQuantize", "Convert", "Subtract", "Multiply"}


@dataclass(frozen=True)
class Parts:
    """Models of OpenVINO. `trunk`: lr -> features, if there is a tail to be run in tiles. `tail`: features, or lr, ->
    residual, or sr if there is no `finish`. `finish`: (residual, lr) -> sr. `halo`: how many low-resolution pixels the tail
    looks around. `block`: what comes out is still to be shuffled into blocks of that side, by `openvino_bytes.shuffled`.
    """

    trunk: Any | None
    tail: Any
    finish: Any | None
    halo: int
    block: int = 1


def enlarges(model: Any) -> bool:
    """Whether it has one input and one output, both B C H W in float32."""
    return len(model.inputs) == len(model.outputs) == 1 and all(
        port.partial_shape.rank.is_static and len(port.partial_shape) == 4 and port.element_type.to_string() == "f32"
        for port in (*model.inputs, *model.outputs)
    )


def taken_apart(model: Any) -> Parts:
    """The parts of an upscaler, B C H W -> B C sH sW; `model` itself is not changed."""
    model = _merged_singly(_shuffled_once(model))
    trunk, tail, finish, halo = None, model, None, 0
    if _skip_sum(model):
        tail, finish = until(model, _skip_sum), _after(model, _skip_sum, with_lr=True)
    if cut := _cut(tail):
        trunk, tail, halo = until(tail, _cut), _after(tail, _cut, with_lr=False), cut[1]
    return Parts(trunk, tail, finish, halo)


def handed_on_in_bf16(parts: Parts) -> Parts:
    """The parts with bfloat16 between trunk and tail; numpy, which has no such type, sees these features as float16."""
    import openvino
    from openvino import opset13 as ops

    if parts.trunk is None:
        return parts
    trunk, tail = parts.trunk.clone(), parts.tail.clone()
    result, (features, *others) = trunk.get_results()[0].input(0), tail.get_parameters()
    result.replace_source_output(ops.convert(result.get_source_output(), "bf16").output(0))
    trunk.validate_nodes_and_infer_types()
    narrow = ops.parameter(features.get_partial_shape(), openvino.Type.bf16)
    replace(features.output(0), ops.convert(narrow, "f32").output(0))
    tail = openvino.Model(tail.get_results(), [narrow, *others])
    return Parts(trunk, tail, parts.finish, parts.halo, parts.block)


def _shuffled_once(model: Any) -> Any:
    """Two pixel shuffles that are summed as one of the sum: the same numbers, moved once."""
    from openvino import opset13 as ops

    model = model.clone()
    result = model.get_results()[0]
    total = result.input_value(0).get_node()
    shuffles = [value.get_node() for value in total.input_values()]
    kinds = [(node.get_type_name(), node.get_attributes()) for node in shuffles]
    if total.get_type_name() == "Add" and kinds[0] == kinds[1] and kinds[0][0] == "DepthToSpace":
        phases = ops.add(*(node.input_value(0) for node in shuffles))
        once = ops.depth_to_space(phases, kinds[0][1]["mode"], kinds[0][1]["block_size"])
        result.input(0).replace_source_output(once.output(0))
    return model


def _merged_singly(model: Any) -> Any:
    """The 1x1 convolution of concatenated feature maps as the sum of one for each of them."""
    from openvino import opset13 as ops

    model = model.clone()
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        joined, weights = (value.get_node() for value in node.input_values())
        alone = len(node.input_value(0).get_target_inputs()) == 1
        constant = weights.get_type_name() == "Constant" and weights.data.shape[2:] == (1, 1)
        if joined.get_type_name() != "Concat" or joined.get_axis() != 1 or not alone or not constant:
            continue
        facts = node.get_attributes()
        places = facts["strides"], facts["pads_begin"], facts["pads_end"], facts["dilations"], facts["auto_pad"]
        maps = joined.input_values()
        ends = np.cumsum([value.get_partial_shape()[1].get_length() for value in maps])
        total = None
        for value, kernel in zip(maps, np.split(weights.data, ends[:-1], axis=1), strict=True):
            part = ops.convolution(value, ops.constant(np.ascontiguousarray(kernel)), *places)
            total = part if total is None else ops.add(part, total)
        assert total is not None
        replace(node.output(0), total.output(0))
    return model


def until(model: Any, place: Callable[[Any], Any]) -> Any:
    """What computes the value that `place` finds in a model."""
    import openvino

    model = model.clone()
    return openvino.Model([place(model)[0]], model.get_parameters())


def _after(model: Any, place: Callable[[Any], Any], with_lr: bool) -> Any:
    """What computes the result from the value that `place` finds, and from lr if need be."""
    import openvino

    model = model.clone()
    value = place(model)[0]
    new = openvino.opset13.parameter(value.get_partial_shape(), value.get_element_type())
    replace(value, new.output(0))
    return openvino.Model(model.get_results(), [new, *model.get_parameters()] if with_lr else [new])


def replace(value: Any, other: Any) -> None:
    """Let all that takes `value` take `other`."""
    for target in value.get_target_inputs():
        target.replace_source_output(other)


def _skip_sum(model: Any) -> tuple[Any, Any] | None:
    """(learned operand, fixed operand) of the last sum, if that is how the network ends."""
    node = model.get_results()[0].input_value(0).get_node()
    while node.get_type_name() == "DepthToSpace":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Add":
        return None
    for learned, fixed in (node.input_values(), node.input_values()[::-1]):
        kinds = _kinds_above(fixed)
        if "Parameter" in kinds and not kinds & _LEARNED and _kinds_above(learned) & _LEARNED:
            return learned, fixed
    return None


def _kinds_above(value: Any) -> set[str]:
    """The types of all operations whose values `value` is computed from; shapes that are asked for are no values."""
    seen: dict[str, Any] = {}
    waiting = [value.get_node()]
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() not in seen:
            seen[node.get_friendly_name()] = node
            if node.get_type_name() != "ShapeOf":
                waiting += [source.get_node() for source in node.input_values()]
    return {node.get_type_name() for node in seen.values()}


def _cut(model: Any) -> tuple[Any, int] | None:
    """Where the tail begins, and its halo; None if nothing is convolved behind a pixel shuffle.

    A tail is a chain of plain convolutions, activations and pixel shuffles that begins with the last convolution at the
    resolution of the input.
    """
    chain, value = [], model.get_results()[0].input_value(0)
    while True:
        node = value.get_node()
        kind = node.get_type_name()
        if kind not in _POINTWISE | _ROUNDING | {"Convolution", "DepthToSpace"}:
            break
        data = [source for source in node.input_values() if "Parameter" in _kinds_above(source)]
        if len(data) != 1:
            break
        chain.append(node)
        value = data[0]
    chain.reverse()  # from the input on
    shuffles = [i for i, node in enumerate(chain) if node.get_type_name() == "DepthToSpace"]
    if not shuffles or not any(node.get_type_name() == "Convolution" for node in chain[shuffles[0] :]):
        return None
    early = [i for i in range(shuffles[0]) if chain[i].get_type_name() == "Convolution"]
    if not early:
        return None
    first = early[-1]
    while first and chain[first - 1].get_type_name() in _ROUNDING:
        first -= 1
    reach, resolution = Fraction(0), 1
    for node in chain[first:]:
        if node.get_type_name() == "Convolution":
            shape = node.input_value(1).get_shape()
            reach += Fraction(max(shape[2:]) // 2, resolution)
        elif node.get_type_name() == "DepthToSpace":
            resolution *= node.get_attributes()["block_size"]
    return chain[first].input_value(0), ceil(reach)
