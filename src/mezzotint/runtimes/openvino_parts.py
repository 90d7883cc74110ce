"""An upscaler's graph taken apart for speed and exactness; each part computes what it did within the whole.

* The skip image (the input, enlarged by a fixed kernel) is added by a part of its own, in float32. In bfloat16, which has 8
  bits, it would be off by up to one and a half levels of 256, and 16-bit pictures would come out in steps.
* What runs at a higher resolution than the input, behind the first pixel shuffle, is a tail that can be run in small tiles:
  its tensors are the widest by far and then stay in the cache, and it looks only a few pixels around.
* Bytes in, bytes out: scaling, clipping and rounding are left to the runtime's threads. The last pixel shuffle is not: with
  the channels in the order row, column, colour it moves whole pixels, in numpy in a sixth of the time.
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
    looks around. `block`: what comes out is still to be shuffled into blocks of that side, by `shuffled`.
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
        tail, finish = _until(model, _skip_sum), _after(model, _skip_sum, with_lr=True)
    if cut := _cut(tail):
        trunk, tail, halo = _until(tail, _cut), _after(tail, _cut, with_lr=False), cut[1]
    return Parts(trunk, tail, finish, halo)


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
        _replace(node.output(0), total.output(0))
    return model


def for_bytes(parts: Parts) -> Parts:
    """The parts with lr and sr as uint8 B H W C, sr before its last pixel shuffle (`block`, `shuffled`); the last one also
    gives the sum of sr, finite only if all of it is.
    """
    trunk, tail, finish = parts.trunk, parts.tail, parts.finish
    if trunk is not None:
        trunk = _bytes_in(trunk, 0)
    else:
        tail = _bytes_in(tail, 0)
    if finish is None:
        tail, order, block = _bytes_out(tail)
    else:
        finish, order, block = _bytes_out(_bytes_in(finish, 1), after_tail=True)
        tail = _until(tail, lambda model: (_ordered(model.get_results()[0].input_value(0), order),))
    return Parts(trunk, tail, finish, parts.halo, block)


def shuffled(phases: np.ndarray, block: int, sr: np.ndarray, top: int, left: int) -> None:
    """Write phases, B h w block * block * C uint8, into sr, B H W C, from row `top` and column `left` on, multiples of
    `block`.
    """
    batch, height, width, channels = phases.shape
    row = channels // block  # of a block, in bytes
    pixels = np.dtype((np.void, row))
    blocks = sr.reshape(batch, sr.shape[1] // block, block, sr.shape[2] // block, row).view(pixels)[..., 0]
    rows, columns = top // block, left // block
    source = phases.reshape(batch, height, width, block, row).view(pixels)[..., 0]
    blocks[:, rows : rows + height, :, columns : columns + width] = source.transpose(0, 1, 3, 2)


def _bytes_in(model: Any, index: int) -> Any:
    import openvino
    from openvino import opset13 as ops

    model = model.clone()
    parameters = model.get_parameters()
    b, c, h, w = parameters[index].get_partial_shape()
    new = ops.parameter(openvino.PartialShape([b, h, w, c]), np.uint8)
    values = ops.divide(ops.convert(new, np.float32), np.float32(255))
    _replace(parameters[index].output(0), ops.transpose(values, np.array([0, 3, 1, 2])).output(0))
    parameters[index] = new
    return openvino.Model(model.get_results(), parameters)


def _bytes_out(model: Any, *, after_tail: bool = False) -> tuple[Any, np.ndarray, int]:
    """The model, the order of the channels in what comes out, and the side of the blocks that it is to be shuffled into.

    The first input of one that stands `after_tail`, the residual, is to come in the new order.
    """
    import openvino
    from openvino import opset13 as ops
    from openvino.passes import ConstantFolding, Manager

    model = model.clone()
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    values = model.get_results()[0].input_value(0)
    shuffle, block, order = values.get_node(), 1, np.arange(0)
    residual = model.get_parameters()[0].output(0) if after_tail else None
    if _can_be_left_out(shuffle, residual):
        facts = shuffle.get_attributes()
        values, block = shuffle.input_value(0), facts["block_size"]
        order = np.arange(values.get_partial_shape()[1].get_length())
        if facts["mode"] == "depth_first":
            order = order.reshape(-1, block * block).T.ravel()
        values = _ordered(values, order, residual)
    # Clips, scales and rounds to the nearest in one pass, half the time of doing it by single operations.
    levels = ops.fake_quantize(values, *(ops.constant(np.float32(bound)) for bound in (0, 1, 0, 255)), 256)
    picture = ops.transpose(ops.convert(levels, np.uint8), np.array([0, 2, 3, 1]))
    total = ops.reduce_sum(values, np.array([0, 1, 2, 3]))
    return openvino.Model([picture.output(0), total.output(0)], model.get_parameters()), order, block


def _can_be_left_out(node: Any, residual: Any) -> bool:
    """Whether a node is a pixel shuffle of known channels, right behind the sum with the residual, if there is one."""
    if node.get_type_name() != "DepthToSpace" or node.input_value(0).get_partial_shape()[1].is_dynamic:
        return False
    return residual is None or any(value == residual for value in node.input_value(0).get_node().input_values())


def _ordered(value: Any, order: np.ndarray, residual: Any = None) -> Any:
    """`value`, B C H W, with its channels in another order, by the order of weights where possible; `residual` has it."""
    from openvino import opset13 as ops

    node, shape = value.get_node(), value.get_partial_shape()
    kind, inputs = node.get_type_name(), node.input_values()
    # What an addition broadcasts over the channels has none to move.
    broadcast = shape.rank.is_static and (len(shape) < 3 or shape[len(shape) - 3] == 1)
    if not len(order) or broadcast or (residual is not None and value == residual):
        return value
    if kind == "Constant":
        return ops.constant(np.take(node.data, order, -3)).output(0)
    if kind == "Add":
        return ops.add(*(_ordered(part, order, residual) for part in inputs)).output(0)
    weights = inputs[1].get_node() if len(inputs) > 1 else node
    if kind in ("Convolution", "GroupConvolution") and weights.get_type_name() == "Constant":
        facts = node.get_attributes()
        places = facts["strides"], facts["pads_begin"], facts["pads_end"], facts["dilations"]
        kernel = _dense(weights.data) if kind == "GroupConvolution" else weights.data
        return ops.convolution(inputs[0], ops.constant(kernel[order]), *places, facts["auto_pad"]).output(0)
    return ops.gather(value, order, -3).output(0)


def _dense(kernel: np.ndarray) -> np.ndarray:
    """The kernel of a grouped convolution, G O I h w, as one of an ordinary convolution, GO GI h w."""
    groups, outputs, inputs = kernel.shape[:3]
    dense = np.zeros((groups, outputs, groups, inputs, *kernel.shape[3:]), kernel.dtype)
    for group in range(groups):
        dense[group, :, group] = kernel[group]
    return dense.reshape(groups * outputs, groups * inputs, *kernel.shape[3:])


def _until(model: Any, place: Callable[[Any], Any]) -> Any:
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
    _replace(value, new.output(0))
    return openvino.Model(model.get_results(), [new, *model.get_parameters()] if with_lr else [new])


def _replace(value: Any, other: Any) -> None:
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
