"""ONNX files of others: what they take and give is found, and pictures go through them as through ours."""

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model
from PIL import Image

from mezzotint import runtimes
from mezzotint.cli import main
from mezzotint.errors import ModelError

PICTURE = np.random.default_rng(0).random((1, 3, 50, 45), dtype=np.float32)


def save(path, nodes, shape, *, out=None, kind=TensorProto.FLOAT, constants=(), opset=18, **facts):
    """A file of `nodes` from "x" to "y"; `constants` are pairs of a name and an array."""
    ports = [helper.make_tensor_value_info(n, kind, s) for n, s in (("x", shape), ("y", out or [None] * len(shape)))]
    weights = [numpy_helper.from_array(array, name) for name, array in constants]
    graph = helper.make_graph(nodes, "theirs", ports[:1], ports[1:], weights)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def enlarging(path, scale=2, channels=3, batch="b", sides=("h", "w"), half=False, folded=1, middle=(), last=False):
    """A network that repeats pixels: a convolution to as many channels as the folded picture needs, and a shuffle."""
    dtype = np.float16 if half else np.float32
    place = np.arange(channels)
    kernel = np.zeros((channels * scale**2 * folded**2, channels * folded**2, 1, 1), dtype)
    side = scale * folded
    for row in range(side):
        for column in range(side):
            of = place * side**2 + row * side + column
            kernel[of, ((row // scale) * folded + column // scale) * channels + place] = 1
    nodes = [helper.make_node("SpaceToDepth", ["x"], ["folded"], blocksize=folded)] if folded > 1 else []
    nodes += [
        helper.make_node("Conv", ["folded" if folded > 1 else "x", "kernel"], ["wide"]),
        helper.make_node("DepthToSpace", ["wide"], ["large"], blocksize=side, mode="CRD"),
        *middle,
        helper.make_node("Identity", ["made" if middle else "large"], ["y"]),
    ]
    shape = [batch, channels, *sides]
    if last:
        nodes[-1] = helper.make_node("Transpose", ["large"], ["y"], perm=[0, 2, 3, 1])
        nodes = [helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]), *nodes]
        nodes[1].input[0] = "first"
        shape = [batch, *sides, channels]
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    return save(path, nodes, shape, kind=kind, constants=[("kernel", kernel)])


def repeated(picture, scale):
    return picture.repeat(scale, 2).repeat(scale, 3)


FLOOR = [helper.make_node("Floor", ["large"], ["made"])]

CASES = {
    "any size": ({}, {}),
    "four times": ({"scale": 4}, {"scale": 4}),
    "three times": ({"scale": 3}, {"scale": 3}),
    "once": ({"scale": 1}, {"scale": 1}),
    "one channel": ({"channels": 1}, {"in_channels": 1}),
    "batch of two": ({"batch": 2}, {}),
    "float16": ({"half": True}, {}),
    "fixed sides": ({"sides": (24, 32), "batch": 1}, {"halo": None}),
    "large fixed sides": ({"sides": (96, 100)}, {"halo": None}),
    "even sides": ({"folded": 2}, {"alignment": 2}),
    "multiples of four": ({"folded": 4, "scale": 1}, {"alignment": 4, "scale": 1}),
    "channels last": ({"last": True}, {}),
    "channels last, fixed": ({"last": True, "sides": (32, 24)}, {"halo": None}),
    "0 to 255": ({"middle": FLOOR}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_they_take_and_give_is_found(tmp_path, case):
    options, facts = CASES[case]
    path = enlarging(tmp_path / "theirs.onnx", **options)
    card = runtimes.card(path)
    expected = {"scale": 2, "in_channels": 3, "halo": 32, "alignment": 1} | facts
    assert {key: getattr(card, key) for key in expected} == expected
    assert card.arguments["range"] == ("0 to 255" if case == "0 to 255" else "0 to 1")
    assert card.name == "theirs" and card.source["file"] == "theirs.onnx"
    model = runtimes.load(path, threads=1)
    assert model.precision == "f32"
    picture = PICTURE[:, : card.in_channels]
    atol = {"float16": 1e-3, "0 to 255": 1 / 255}.get(case, 1e-6)
    for part in (picture, picture[:, :, :7, :9], picture[:, :, :, :3]):
        result = model(np.ascontiguousarray(part))
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, repeated(part, card.scale), atol=atol)


def test_onnx_runtime_runs_them_too(tmp_path):
    path = enlarging(tmp_path / "theirs.onnx", sides=(24, 32), batch=1)
    model = runtimes.load(path, "onnx", threads=1)
    np.testing.assert_allclose(model(PICTURE), repeated(PICTURE, 2), atol=1e-6)


def test_windows_of_a_fixed_size_do_not_show(tmp_path):
    """A mean of 9 x 9 pixels looks past the border of a window."""
    kernel = np.zeros((3, 3, 9, 9), np.float32)
    kernel[range(3), range(3)] = 1 / 81
    nodes = [helper.make_node("Conv", ["x", "kernel"], ["y"], pads=[4] * 4)]
    fixed = save(tmp_path / "fixed.onnx", nodes, [1, 3, 40, 44], constants=[("kernel", kernel)])
    free = save(tmp_path / "free.onnx", nodes, [1, 3, None, None], constants=[("kernel", kernel)])
    picture = np.random.default_rng(1).random((1, 3, 100, 131), dtype=np.float32)
    windows, whole = (runtimes.load(path, threads=1)(picture) for path in (fixed, free))
    np.testing.assert_allclose(windows, whole, atol=1e-6)


def test_the_command_takes_a_file_without_a_card(tmp_path, capsys):
    path = enlarging(tmp_path / "theirs.onnx", scale=3, folded=2)
    pixels = (PICTURE[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for options in ([], ["--tile", "8", "--overwrite"]):
        with pytest.raises(SystemExit) as end:
            main(["upscale", str(tmp_path / "a.png"), "-m", str(path), *options])
        assert not end.value.code, capsys.readouterr().err
        result = np.asarray(Image.open(tmp_path / "a_x3.png"))
        np.testing.assert_array_equal(result, pixels.repeat(3, 0).repeat(3, 1))


def test_they_can_be_inspected(tmp_path, capsys):
    path = enlarging(tmp_path / "theirs.onnx", scale=3)
    with pytest.raises(SystemExit) as end:
        main(["inspect", str(path), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert not end.value.code and facts["card"]["scale"] == 3 and facts["operations"]["DepthToSpace"] == 1


def one_node(path, operation, shape=("b", 3, "h", "w"), **attributes):
    return save(path, [helper.make_node(operation, ["x"], ["y"], **attributes)], list(shape))


@pytest.mark.parametrize(("make", "words"), [
    (lambda path: one_node(path, "AveragePool", kernel_shape=[2, 2], strides=[2, 2]), "which is no upscaling"),
    (lambda path: one_node(path, "GlobalAveragePool"), "which is no upscaling"),
    (lambda path: one_node(path, "Identity", shape=("b", 12, "h", "w")), "takes 12 channels"),
    (lambda path: one_node(path, "Identity", shape=("b", 3)), "has 2 dimensions"),
    (lambda path: one_node(path, "Identity", shape=("b", 3, 8, "w")), "one side of its input is fixed"),
    (lambda path: one_node(path, "DepthToSpace", shape=("b", "c", "h", "w"), blocksize=2), "not used"),
    (lambda path: one_node(path, "ReduceMean", keepdims=1), "makes the shape"),
    (lambda path: one_node(path, "Identity", shape=("b", 3, "h", "w")) and enlarging(path, scale=17), "no upscaling"),
])  # fmt: skip
def test_what_is_no_upscaler_is_refused(tmp_path, make, words):
    make(tmp_path / "theirs.onnx")
    with pytest.raises(ModelError, match=words):
        runtimes.card(tmp_path / "theirs.onnx")
