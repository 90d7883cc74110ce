"""Each runtime computes the file it is given, at any size, from any thread, in silence."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from mezzotint import runtimes
from mezzotint.card import KEY, SUPER_RESOLUTION, Card
from mezzotint.errors import ModelError, UsageError
from mezzotint.image.resize import imresize
from mezzotint.models import weights
from mezzotint.models.srresnet import SRResNet

CARD = Card(name="blur", task=SUPER_RESOLUTION, network="blur.Blur", scale=1)
ONNX_READERS = ("openvino", "onnx")


@pytest.fixture
def blur(tmp_path: Path) -> Path:
    """A 3x3 mean, as an ONNX file made without our exporter."""
    kernel = numpy_helper.from_array(np.full((1, 1, 3, 3), 1 / 9, np.float32), "kernel")
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1, "height", "width"]) for name in ("lr", "sr")
    ]
    node = helper.make_node("Conv", ["lr", "kernel"], ["sr"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "blur", ports[:1], ports[1:], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {KEY: CARD.to_json()})
    save_model(model, tmp_path / "blur.onnx")
    return tmp_path / "blur.onnx"


def expected_blur(image: np.ndarray) -> np.ndarray:
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = image.shape[2:]
    return sum(padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9


@pytest.mark.parametrize("runtime", ONNX_READERS)
def test_any_size_gives_the_right_result(blur: Path, runtime: str) -> None:
    model = runtimes.load(blur, runtime, "f32", threads=1)
    assert model.card == CARD
    assert model.precision == "f32"
    for shape in ((1, 1, 8, 8), (1, 1, 13, 7), (2, 1, 1, 1), (1, 1, 8, 8)):
        image = np.random.default_rng(1).random(shape, dtype=np.float32)
        result = model(image)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected_blur(image), atol=1e-6)


@pytest.mark.parametrize("runtime", ONNX_READERS)
def test_a_result_stays_when_the_next_is_computed(blur: Path, runtime: str) -> None:
    model = runtimes.load(blur, runtime, "f32", threads=1)
    first = model(np.ones((1, 1, 8, 8), np.float32))
    copy = first.copy()
    model(np.zeros((1, 1, 8, 8), np.float32))
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("runtime", ONNX_READERS)
def test_inputs_that_are_views_or_read_only(blur: Path, runtime: str) -> None:
    model = runtimes.load(blur, runtime, "f32", threads=1)
    image = np.random.default_rng(2).random((1, 1, 9, 12), dtype=np.float32)
    image.flags.writeable = False
    before = image.copy()
    flipped = image[:, :, ::-1].swapaxes(2, 3)
    np.testing.assert_allclose(model(flipped), expected_blur(flipped), atol=1e-6)
    np.testing.assert_allclose(model(image), expected_blur(image), atol=1e-6)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("runtime", ONNX_READERS)
def test_threads_may_share_a_model(blur: Path, runtime: str) -> None:
    model = runtimes.load(blur, runtime, "f32", threads=1)
    wrong = []

    def work(seed: int) -> None:
        image = np.random.default_rng(seed).random((1, 1, 5 + seed, 9), dtype=np.float32)
        for _ in range(20):
            if not np.allclose(model(image), expected_blur(image), atol=1e-6):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("runtime", ONNX_READERS)
def test_a_damaged_graph_is_a_model_error_and_prints_nothing(
    blur: Path, runtime: str, capfd: pytest.CaptureFixture
) -> None:
    data = blur.read_bytes()
    blur.write_bytes(data.replace(b"Conv", b"Conx"))
    with pytest.raises(ModelError, match=r"blur\.onnx is damaged"):
        runtimes.load(blur, runtime)
    assert capfd.readouterr() == ("", "")


def test_pytorch_runs_the_trained_network(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    network = SRResNet(scale=3, channels=4, num_blocks=1)
    card = Card("t", SUPER_RESOLUTION, "srresnet.SRResNet", {"scale": 3, "channels": 4, "num_blocks": 1}, scale=3)
    weights.save(network, card, tmp_path / "t.safetensors")
    model = runtimes.load(tmp_path / "t.safetensors", "pytorch", "f32")
    image = np.random.default_rng(0).random((1, 3, 7, 9), dtype=np.float32)
    image.flags.writeable = False
    result = model(image[:, :, ::-1])
    assert model.precision == "f32"
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(image.copy()).flip(2)).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5)
    rough = runtimes.load(tmp_path / "t.safetensors", "pytorch", "bf16")
    assert rough.precision == "bf16"
    difference = np.abs(rough(image[:, :, ::-1]) - expected).max()
    assert 0 < difference < 0.05


def test_bicubic_is_a_model_like_any_other() -> None:
    model = runtimes.load("bicubic-x3")
    image = np.random.default_rng(0).random((1, 3, 5, 7), dtype=np.float32)
    expected = imresize(image[0].transpose(1, 2, 0), 3).transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(model(image), expected)
    assert model.precision == "f32"


def test_wrong_choices_name_the_right_ones(blur: Path) -> None:
    with pytest.raises(UsageError, match="openvino, onnx, pytorch"):
        runtimes.load(blur, "tensorrt")
    with pytest.raises(UsageError, match="auto, f32, bf16"):
        runtimes.load(blur, "openvino", "fp16")
    with pytest.raises(UsageError, match="f32 only"):
        runtimes.load(blur, "onnx", "bf16")
    with pytest.raises(UsageError, match="onnx runtime enlarges one picture at a time"):
        runtimes.load(blur, "onnx", streams=2)


@pytest.mark.parametrize(
    ("runtime", "package", "hint"),
    [("onnx", "onnxruntime", r"mezzotint\[onnx\]"), ("openvino", "openvino", "openvino")],
)
def test_a_missing_package_says_what_to_install(
    blur: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, package: str, hint: str
) -> None:
    from mezzotint.runtimes import openvino

    openvino.core.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"pip install .*{hint}"):
        runtimes.load(blur, runtime)
    monkeypatch.undo()
    openvino.core.cache_clear()


_FRESH = """
import sys
from mezzotint import runtimes
import numpy as np
model = runtimes.load(sys.argv[1])
model(np.zeros((1, 1, 4, 4), np.float32))
assert model.precision in ("f32", "bf16"), model.precision
loaded = [name for name in sys.modules if name.startswith(("openvino_telemetry", "torch", "onnxruntime"))]
assert not loaded, loaded
"""


def test_the_default_runtime_starts_without_torch_telemetry_or_a_word(blur: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-c", _FRESH, str(blur)]
    import os

    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HOME": str(home)}, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(home.iterdir())
