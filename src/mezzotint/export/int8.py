"""Eight-bit upscalers: an `.onnx` whose inner convolutions compute in int8, made from one in float32 without training.

Post-training quantisation after Nagel et al. 2021, "A White Paper on Neural Network Quantization" (arXiv 2106.08295):
weights per output channel, symmetric (section 2.4); activations per tensor, over the range that they have on calibration
pictures (3.1); the mean error of each channel, which rounding the weights leaves, taken into its bias (2.3, 3.3). Written as
ONNX's QuantizeLinear and DequantizeLinear, which every runtime reads.

The first and the last convolution and the skip image stay as they are: the eye would see their rounding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint import catalog, files
from mezzotint.card import KEY, SUPER_RESOLUTION, Card, read_card
from mezzotint.errors import UsageError, missing_extra
from mezzotint.export.output import check_output
from mezzotint.runtimes import openvino

# What corrections of the biases in front change is corrected once more.
_ROUNDS = 2


def export(
    source: str | Path,
    output: str | Path,
    pictures: Sequence[np.ndarray],
    measure: Callable[[Path], dict[str, dict[str, float]]],
    *,
    overwrite: bool = False,
    threads: int | None = None,
) -> Card:
    """Write the int8 form of a model's `.onnx`, with a card that says what `measure` finds the new file to be worth.

    `NAME.int8.onnx` beside `NAME.onnx` is what `--precision int8` takes. Raises `UsageError` (also if `output` exists and
    `overwrite` is not given), `InputError`, `ModelError`, `OutputError`, and what `measure` raises.
    """
    path = catalog.find(source)
    if path is None:
        raise UsageError(f"'{source}' is built in and has no weights to quantise")
    check_output(Path(output), overwrite)
    card = read_card(path)
    if card.task != SUPER_RESOLUTION or card.precision:
        raise UsageError(f"{path} is not an upscaler in float32, which int8 is made from")
    card = card.replace(precision="int8", metrics={}, speed={})
    data = quantized(path.read_bytes(), pictures, card, threads)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / Path(output).name
        trial.write_bytes(data)
        card = card.replace(metrics=measure(trial))
    files.write_bytes(output, _with_card(data, card), overwrite=overwrite)
    return card


def quantized(data: bytes, pictures: Sequence[np.ndarray], card: Card, threads: int | None = None) -> bytes:
    """The int8 form of an `.onnx` file, calibrated on `pictures`, 1 C H W, values 0 to 1, with `card` inside.

    Raises `UsageError` if there are no pictures, nothing to quantise, or onnx is missing.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise missing_extra("onnx", "train") from error

    if not pictures:
        raise UsageError("int8 needs pictures to calibrate with")
    model = onnx.load_from_string(data)
    convolutions = _inner_convolutions(model.graph)
    if not convolutions:
        raise UsageError(f"{card.name} has no convolutions between its first and last that could be quantised")
    # A pixel shuffle only moves numbers, so what comes out of it is rounded before it, where it can be.
    before = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DepthToSpace"}
    inputs = sorted({before.get(node.input[0], node.input[0]) for node in convolutions})
    outputs = [node.output[0] for node in convolutions]
    lowest, highest = (dict.fromkeys(inputs, 0.0) for _ in range(2))
    means = dict.fromkeys(outputs, np.float32(0))
    observe = _observer(model, [*inputs, *outputs], threads)
    for picture in pictures:
        values = observe(picture)
        for name in inputs:
            lowest[name] = min(lowest[name], float(values[name].min()))
            highest[name] = max(highest[name], float(values[name].max()))
        for name in outputs:
            means[name] = means[name] + values[name].mean((0, 2, 3)) / len(pictures)
    ranges = {name: (lowest[name], highest[name]) for name in inputs}
    corrections = {name: np.zeros_like(mean) for name, mean in means.items()}
    for _ in range(_ROUNDS):
        observe = _observer(_rewritten(model, convolutions, ranges, corrections), outputs, threads)
        found = [observe(picture) for picture in pictures]
        for name in outputs:
            corrections[name] += means[name] - np.mean([values[name].mean((0, 2, 3)) for values in found], axis=0)
    result = _rewritten(model, convolutions, ranges, corrections)
    onnx.checker.check_model(result)
    return _with_card(result.SerializeToString(), card)


def _with_card(data: bytes, card: Card) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    onnx.helper.set_model_props(model, {KEY: card.to_json()})
    return model.SerializeToString(deterministic=True)


def _inner_convolutions(graph: Any) -> list[Any]:
    """Plain convolutions but for those that no other precedes, and those that none follows."""
    convolutions = [node for node in graph.node if node.op_type == "Conv" and _attribute(node, "group", 1) == 1]
    behind = _reached(graph.node, {name for node in convolutions for name in node.output}, forward=True)
    before = _reached(graph.node, {name for node in convolutions for name in node.input[:1]}, forward=False)
    return [node for node in convolutions if node.input[0] in behind and node.output[0] in before]


def _reached(nodes: Sequence[Any], names: set[str], forward: bool) -> set[str]:
    """`names` and all values that are computed from them or, not `forward`, that they are computed from."""
    reached = set(names)
    # Nodes of an ONNX graph stand in the order in which they can be computed.
    for node in nodes if forward else reversed(nodes):
        sources, results = (node.input, node.output) if forward else (node.output, node.input)
        if reached & set(sources):
            reached |= set(results)
    return reached


def _rewritten(
    model: Any, convolutions: Sequence[Any], ranges: dict[str, tuple[float, float]], corrections: dict[str, np.ndarray]
) -> Any:
    """A copy of `model` with int8 weights and corrected biases in `convolutions`, and with the values of `ranges` in 8 bits.

    Sums and pixel shuffles take those values in 8 bits, too, so that a layer can write them so in the first place.
    """
    import onnx
    from onnx import helper, numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stored = {entry.name: entry for entry in model.graph.initializer}
    outputs = {node.output[0] for node in convolutions}
    nodes: list[Any] = []
    constants: dict[str, np.ndarray] = {}

    def in_eight_bits(value: str, kept: str, scale: np.ndarray, zero: np.ndarray) -> str:
        """The name of what `kept` stands for; it holds `value` rounded, or is a constant itself."""
        constants.update({f"{value}.scale": scale, f"{value}.zero": zero})
        inputs = [kept, f"{value}.scale", f"{value}.zero"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{value}.rounded"], axis=0 if scale.ndim else None))
        return f"{value}.rounded"

    for original in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        if node.op_type in ("Add", "DepthToSpace") or node.output[0] in outputs:
            node.input[:] = [f"{name}.rounded" if name in ranges else name for name in node.input]
        if node.output[0] in outputs:
            source, weight, *bias = node.input
            kernel = numpy_helper.to_array(stored[weight])
            scales = np.maximum(np.abs(kernel).max((1, 2, 3)) / 127, 1e-12).astype(np.float32)
            constants[f"{weight}.int8"] = np.rint(kernel / scales[:, None, None, None]).astype(np.int8)
            rounded = in_eight_bits(weight, f"{weight}.int8", scales, np.zeros(len(scales), np.int8))
            old = numpy_helper.to_array(stored[bias[0]]) if bias else np.float32(0)
            constants[f"{weight}.bias"] = (old + corrections[node.output[0]]).astype(np.float32)
            node.input[:] = [source, rounded, f"{weight}.bias"]
        nodes.append(node)
        for value in set(node.output) & ranges.keys():
            low, high = ranges[value]
            scale = np.asarray(max(high - low, 1e-6) / 255, np.float32)
            zero = np.asarray(round(-low / float(scale)), np.uint8)
            inputs = [value, f"{value}.scale", f"{value}.zero"]
            nodes.append(helper.make_node("QuantizeLinear", inputs, [f"{value}.int8"]))
            in_eight_bits(value, f"{value}.int8", scale, zero)
    used = {name for node in nodes for name in node.input}
    kept = [entry for name, entry in stored.items() if name in used]
    for field, entries in (
        (copy.graph.node, nodes),
        (copy.graph.initializer, [*kept, *(numpy_helper.from_array(v, k) for k, v in constants.items())]),
    ):
        del field[:]
        field.extend(entries)
    return copy


def _observer(model: Any, names: Sequence[str], threads: int | None) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """What tells the values of `names` within the model for an lr."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    core = openvino.core()
    options = {"INFERENCE_PRECISION_HINT": "f32", **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
    compiled = core.compile_model(core.read_model(watched.SerializeToString()), "CPU", options)
    return lambda lr: dict(zip(names, compiled([lr]).values(), strict=True))


def _attribute(node: Any, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)
