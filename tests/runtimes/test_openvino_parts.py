"""A graph taken apart computes what it did: the skip image exactly, the tail in tiles, bytes as they would be rounded."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13 as ops

from mezzotint.card import SUPER_RESOLUTION, Card, read_card
from mezzotint.export.onnx import export_network
from mezzotint.models.compact import Compact
from mezzotint.models.srcnn import SRCNN
from mezzotint.models.srresnet import SRResNet
from mezzotint.runtimes import openvino as runtime
from mezzotint.runtimes.openvino_parts import Parts, handed_on_in_bf16, taken_apart
from mezzotint.runtimes.openvino_streams import Streams

RNG = np.random.default_rng(0)
NETWORKS = {
    "trunk, tail and skip": lambda: SRResNet(channels=8, num_blocks=1, bilinear_skip=True),
    "trunk and tail": lambda: SRResNet(channels=8, num_blocks=1),
    "skip": lambda: Compact(channels=8, num_blocks=1),
    "neither": lambda: SRResNet(channels=8, num_blocks=1, tail="direct"),
    "neither, all at high resolution": lambda: SRCNN(scale=2),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    for name, make in NETWORKS.items():
        torch.manual_seed(0)
        network = make().eval()
        card = Card(name, SUPER_RESOLUTION, "none", scale=network.scale, halo=network.halo)
        export_network(network, card, folder / f"{name}.onnx")
    return folder


def loaded(path: Path, precision: str = "f32") -> runtime.OpenVINO:
    return runtime.load(path, read_card(path), precision, 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parts_are_those_that_there_are(folder: Path, name: str) -> None:
    parts = taken_apart(openvino.Core().read_model(folder / f"{name}.onnx"))
    assert (parts.trunk is not None) == ("trunk" in name)
    assert (parts.finish is not None) == ("skip" in name)
    # 3x3 at 1x, 3x3 at 2x, and 9x9 at 4x, which the export makes 5x5 at 2x: 1 + 1 / 2 + 2 / 2.
    assert parts.halo == (3 if "trunk" in name else 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_together_they_compute_what_the_whole_does(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_TAIL_TILE", 7)
    path = folder / f"{name}.onnx"
    core = openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    whole = core.compile_model(core.read_model(path), "CPU", hints)
    model = loaded(path)
    for shape in ((1, 3, 5, 9), (2, 3, 31, 22)):
        lr = RNG.random(shape, np.float32)
        np.testing.assert_allclose(model(lr), whole([lr])[0], atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_tail_takes_features_in_bfloat16_as_what_they_are(folder: Path, name: str) -> None:
    parts = taken_apart(openvino.Core().read_model(folder / f"{name}.onnx"))
    narrow = handed_on_in_bf16(parts)
    if parts.trunk is None:
        assert narrow is parts
        return
    # In float32 else, so that this rounding is the whole difference.
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    models = {"f32": parts, "bf16": narrow}
    trunks, tails = (
        {kind: openvino.Core().compile_model(getattr(each, part), "CPU", hints) for kind, each in models.items()}
        for part in ("trunk", "tail")
    )
    lr = RNG.random((2, 3, 12, 9), np.float32)
    exact, raw = trunks["f32"]([lr])[0], trunks["bf16"]([lr])[0]
    features = torch.from_numpy(raw.view(np.int16)).view(torch.bfloat16).float().numpy()
    np.testing.assert_allclose(features, exact, rtol=2**-7)
    expected, found = tails["f32"]([features])[0], tails["bf16"]([runtime._tensor(raw)])[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_memory_of_a_tile_follows_the_channels_of_the_trunk_and_the_precision(folder: Path) -> None:
    torch.manual_seed(0)
    network = SRResNet(channels=16, num_blocks=1).eval()
    card = Card("wide", SUPER_RESOLUTION, "none", scale=network.scale, halo=network.halo)
    export_network(network, card, folder / "wide.onnx")
    narrow, wide = loaded(folder / "trunk and tail.onnx").working, loaded(folder / "wide.onnx").working
    assert wide == (narrow[0], 2 * narrow[1])
    assert loaded(folder / "neither.onnx").working[0] < narrow[0]
    if "BF16" in runtime.core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert loaded(folder / "wide.onnx", "bf16").working == narrow


@pytest.mark.parametrize("name", NETWORKS)
def test_bytes_are_the_floats_rounded(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_TAIL_TILE", 11)
    model = loaded(folder / f"{name}.onnx")
    lr = RNG.integers(0, 256, (2, 23, 18, 3), dtype=np.uint8)
    sr = model(np.ascontiguousarray((lr / np.float32(255)).transpose(0, 3, 1, 2)))
    expected = np.floor(np.clip(sr, 0, 1) * 255 + 0.5).transpose(0, 2, 3, 1)
    result = model.bytes(lr)
    assert result.dtype == np.uint8 and result.shape == expected.shape
    differing = result != expected
    assert differing.mean() < 1e-3 and np.abs(result - expected).max() <= 1  # halves may fall to either side


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", ["f32", "auto"])
def test_streams_compute_the_same_at_once(folder: Path, name: str, precision: str) -> None:
    path = folder / f"{name}.onnx"
    pictures = [RNG.integers(0, 256, (1, 9 + 3 * n, 11 + n, 3), dtype=np.uint8) for n in range(8)]

    def floats(picture: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray((picture / np.float32(255)).transpose(0, 3, 1, 2))

    one = runtime.load(path, read_card(path), precision, 1)
    alone = [(one.bytes(picture), one(floats(picture))) for picture in pictures]
    for streams in (2, 3):
        model = runtime.load(path, read_card(path), precision, 2, streams)
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda picture: (model.bytes(picture), model(floats(picture))), pictures))  # noqa: B023
        for before, now in zip(alone, together, strict=True):
            np.testing.assert_array_equal(before[0], now[0])
            np.testing.assert_array_equal(before[1], now[1])


def test_as_many_calls_at_once_as_there_are_streams() -> None:
    inside, full = [], threading.Barrier(2)

    class Request:
        def infer(self, inputs, **_):
            inside.append(self)
            full.wait(20)
            assert len(set(map(id, inside))) <= 2
            return [inputs[0]]

    parts = Parts(None, Request(), None, 0)
    streams = Streams(lambda: parts, lambda part, precision: [Request(), Request()], "f32")

    def call(value: int) -> int:
        with streams.one() as requests:
            return requests.tail.infer([value])[0]

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(call, range(6))) == list(range(6))
    assert len(inside) == 6 and len(set(map(id, inside))) == 2


def test_threads_are_bound_to_cores_only_where_they_have_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(runtime, "thread_limit", lambda: None)
    assert "ENABLE_CPU_PINNING" not in runtime._options(None, 1) | runtime._options(4, 1) | runtime._options(None, 4)
    assert runtime._options(1, 1)["ENABLE_CPU_PINNING"] is False and runtime._options(2, 2)["NUM_STREAMS"] == 2
    # A container's share of a machine.
    monkeypatch.setattr(runtime, "thread_limit", lambda: 2)
    assert runtime._options(None, 1)["ENABLE_CPU_PINNING"] is False


def ending(name: str) -> openvino.Model:
    """lr -> x2 or x4, with an end that moving channels could get wrong."""
    lr = ops.parameter(openvino.PartialShape([-1, 3, -1, -1]), np.float32)

    def convolved(value, channels: int):
        kernel = RNG.normal(0, 0.1, (channels, value.get_partial_shape()[1].get_length(), 3, 3)).astype(np.float32)
        return ops.convolution(value, ops.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1]).output(0)

    def fixed(scale: int):
        kernel = RNG.random((3, scale * scale, 1, 1, 1), np.float32)
        return ops.group_convolution(lr, ops.constant(kernel), [1, 1], [0, 0], [0, 0], [1, 1])

    def shuffled(value, mode: str = "depth_first"):
        return ops.depth_to_space(value, mode, 2)

    def constant(*shape: int):
        return ops.constant(RNG.normal(0, 0.1, shape).astype(np.float32))

    learned = convolved(lr.output(0), 12)
    made = {
        "a scalar added": lambda: shuffled(ops.add(learned, constant())),
        "one channel added": lambda: shuffled(ops.add(learned, convolved(lr.output(0), 1))),
        "a constant without a batch": lambda: shuffled(ops.add(learned, constant(12, 1, 1))),
        "blocks first": lambda: shuffled(ops.add(learned, constant(1, 12, 1, 1)), "blocks_first"),
        "an activation": lambda: shuffled(ops.relu(learned)),
        "lr itself in the sum": lambda: shuffled(ops.add(learned, ops.concat([lr, lr, lr, lr], 1))),
        "two shuffles behind a skip": lambda: shuffled(shuffled(ops.add(convolved(lr.output(0), 48), fixed(4)))),
        "a skip with a bias": lambda: shuffled(ops.add(learned, ops.add(fixed(2), constant(1, 12, 1, 1)))),
    }[name]()
    return openvino.Model([made.output(0)], [lr])


@pytest.mark.parametrize(
    "name",
    [
        "a scalar added", "one channel added", "a constant without a batch", "blocks first", "an activation",
        "lr itself in the sum", "two shuffles behind a skip", "a skip with a bias",
    ],
)  # fmt: skip
def test_bytes_are_right_however_a_network_ends(name: str) -> None:
    core, hints = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    whole = ending(name)
    card = Card(name, SUPER_RESOLUTION, "none", scale=2, halo=1)
    parts = taken_apart(whole)
    model = runtime.OpenVINO(
        parts, card, "f32", lambda part, _: [core.compile_model(part, "CPU", hints).create_infer_request()]
    )
    lr = RNG.integers(0, 256, (1, 9, 7, 3), dtype=np.uint8)
    floats = np.ascontiguousarray((lr / np.float32(255)).transpose(0, 3, 1, 2))
    sr = core.compile_model(whole, "CPU", hints)([floats])[0]
    expected = np.floor(np.clip(sr, 0, 1) * 255 + 0.5).transpose(0, 2, 3, 1)
    result = model.bytes(lr)
    assert result.shape == expected.shape and np.abs(result - expected).max() <= 1
    assert (result != expected).mean() < 0.01


def test_bytes_tell_what_is_no_number(folder: Path) -> None:
    model = loaded(folder / "skip.onnx")
    parts = model._parts
    sick = openvino.opset13.constant(np.float32("nan"))
    # As if the network had overflowed.
    result = parts.finish.get_results()[0]
    broken = openvino.opset13.add(result.input_value(0), sick)
    result.input(0).replace_source_output(broken.output(0))
    assert model.bytes(RNG.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)) is None


def test_the_skip_image_is_exact_beside_bfloat16(tmp_path: Path) -> None:
    network = SRResNet(channels=8, num_blocks=1, tail="direct", bilinear_skip=True, bilinear_start=True).eval()
    card = Card("start", SUPER_RESOLUTION, "none", scale=4, halo=network.halo)
    export_network(network, card, tmp_path / "start.onnx")
    lr = RNG.random((1, 3, 16, 16), np.float32)
    # Its learned part is nothing yet, so all that bfloat16 could spoil is the skip image.
    exact, rough = (loaded(tmp_path / "start.onnx", precision)(lr) for precision in ("f32", "bf16"))
    np.testing.assert_allclose(rough, exact, atol=1e-6)
