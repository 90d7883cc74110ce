"""A result that is not a number, or black where the picture is not, never reaches a file."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint import pipelines, runtimes
from mezzotint.card import KEY, SUPER_RESOLUTION, Card
from mezzotint.cli import main
from mezzotint.errors import QualityError
from mezzotint.pipelines.soundness import fault
from mezzotint.pipelines.upscale import Upscaler

DARK, BRIGHT = np.full((8, 8, 3), 60, np.uint8), np.full((8, 8, 3), 250, np.uint8)


@pytest.fixture
def overflowing(tmp_path: Path) -> Path:
    """An ONNX file that repeats pixels, x2, and gives NaN for values above 0.9, as its square root of a difference."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    card = Card(name="overflowing", task=SUPER_RESOLUTION, network="none", scale=2, in_channels=3, halo=0)
    numbers = {"scales": [1, 1, 2, 2], "limit": [0.9], "none": [0.0]}
    weights = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in numbers.items()]
    ports = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3, "height", "width"])
        for name in ("lr", "sr")
    ]
    nodes = [
        helper.make_node("Resize", ["lr", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Sub", ["limit", "large"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["root"]),
        helper.make_node("Mul", ["root", "none"], ["nothing"]),
        helper.make_node("Add", ["large", "nothing"], ["sr"]),
    ]
    graph = helper.make_graph(nodes, "overflowing", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {KEY: card.to_json()})
    onnx.save_model(model, tmp_path / "overflowing.onnx")
    return tmp_path / "overflowing.onnx"


def run(*arguments: object) -> int:
    try:
        main(["upscale", *map(str, arguments)])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_file_is_written_or_the_command_ends_with_seven(overflowing, tmp_path, runtime, capsys):
    for name, pixels in (("dark", DARK), ("bright", BRIGHT)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    options = ("-m", overflowing, "--runtime", runtime, "--precision", "f32")
    assert run(tmp_path / "dark.png", *options) == 0
    assert (np.asarray(Image.open(tmp_path / "dark_x2.png")) == 60).all()
    assert run(tmp_path / "bright.png", *options) == 7
    assert "not numbers" in capsys.readouterr().err and not (tmp_path / "bright_x2.png").exists()
    # In one tile of many, and in one picture of several: the others are done.
    part = np.concatenate([DARK] * 9, 1)
    part[2, 60] = 255
    Image.fromarray(part).save(tmp_path / "part.png")
    pictures = [tmp_path / f"{name}.png" for name in ("bright", "part", "dark")]
    assert run(*pictures, *options, "--tile", 16, "-o", tmp_path / "out") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dark.png"]


class Answers:
    """A model with the same answer to everything."""

    def __init__(self, value, precision):
        self.card = Card("answers", SUPER_RESOLUTION, "none", scale=2, in_channels=3, halo=0)
        self.value, self.precision = value, precision

    def __call__(self, lr):
        large = lr.repeat(2, 2).repeat(2, 3)
        return large if self.value is None else np.full_like(large, self.value)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_what_short_numbers_spoil_is_done_again_in_float32(monkeypatch, wrong):
    loaded = []

    def load(name, runtime, precision="auto", **options):
        loaded.append(precision)
        return Answers(None, "f32") if precision == "f32" else Answers(wrong, "bf16")

    monkeypatch.setattr(runtimes, "load", load)
    upscaler = pipelines.load("answers")
    assert (upscaler(BRIGHT) == 250).all() and upscaler.model.precision == "f32"
    assert (upscaler(DARK) == 60).all() and loaded == ["auto", "f32"]
    monkeypatch.setattr(runtimes, "load", lambda name, runtime, precision="auto", **options: Answers(wrong, precision))
    with pytest.raises(QualityError):
        pipelines.load("answers")(BRIGHT)


def test_two_threads_that_find_it_at_once_are_both_mended():
    together, loaded = threading.Barrier(2), []

    class Late(Answers):
        def __call__(self, lr):
            together.wait(20)
            return super().__call__(lr)

    def exact():
        loaded.append(1)
        return Answers(None, "f32")

    upscaler = Upscaler(Late(np.nan, "bf16"), exact=exact, streams=2)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(upscaler, [BRIGHT, DARK]))
    assert (results[0] == 250).all() and (results[1] == 60).all() and loaded == [1]


def test_dark_pictures_may_be_black_and_small_lights_are_kept():
    lr = np.zeros((1, 3, 8, 8), np.float32)
    assert not fault(lr, lr) and not fault(lr + 0.01, lr)
    assert fault(lr + 0.1, lr) and not fault(lr + 0.1, lr + 0.1)
    spot = lr.copy()
    spot[0, 0, 3, 3] = 1
    assert not fault(spot, lr + 0.001)
