"""The parts of an upscaler made to take and give 8-bit pictures: bytes in, bytes out.

Scaling, clipping and rounding are left to the runtime's threads. The last pixel shuffle is not: with the channels in the
order row, column, colour it moves whole pixels, in numpy in a sixth of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mezzotint.runtimes.openvino_parts import Parts, replace, until


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
        tail = until(tail, lambda model: (_ordered(model.get_results()[0].input_value(0), order),))
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
    replace(parameters[index].output(0), ops.transpose(values, np.array([0, 3, 1, 2])).output(0))
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
