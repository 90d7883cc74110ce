"""Every model that ships, found by being in its folder: honest card, equal runtimes, exact tiles, finite pictures."""

import itertools

import numpy as np
import pytest

from mezzotint import catalog, runtimes
from mezzotint.card import GENERATION, SUPER_RESOLUTION, read_card
from mezzotint.metrics.fidelity import psnr_lr
from mezzotint.models import weights
from mezzotint.pipelines import load

TRAINED = sorted(path.stem for path in catalog.SHIPPED.glob("*.safetensors"))
UPSCALERS = [name for name in catalog.names() if catalog.card(name).task == SUPER_RESOLUTION]
TRAINED_UPSCALERS = [name for name in UPSCALERS if name in TRAINED]
# dB: how well an enlarged picture, made small again, must be what it was; and how much worse than bicubic's it may be.
_SOUND, _WORSE = 36, 8
INT8 = [path.name.removesuffix(".int8.onnx") for path in catalog.SHIPPED.glob("*.int8.onnx")]
GENERATORS = [name for name in catalog.names() if catalog.card(name).task == GENERATION]


def picture(height: int, width: int) -> np.ndarray:
    """Smooth shapes, edges and noise, so that a network has something to do."""
    y, x = np.mgrid[:height, :width]
    waves = 120 + 60 * np.sin(x / 5)[..., None] * np.array([1, 0.5, -1]) + 40 * ((x + y) % 23 > 11)[..., None]
    return np.clip(waves + np.random.default_rng(0).normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


def test_something_ships():
    assert {"compact-x4", "fashion-28"} <= set(TRAINED)
    assert {
        path.name.removesuffix(".int8.onnx").removesuffix(".onnx") for path in catalog.SHIPPED.glob("*.onnx")
    } == set(TRAINED)
    assert {path.suffix for path in catalog.SHIPPED.iterdir()} <= {".onnx", ".safetensors"}


@pytest.mark.parametrize("name", TRAINED)
def test_the_card_says_what_one_must_know(name):
    card = read_card(catalog.SHIPPED / f"{name}.onnx")
    twin = read_card(catalog.SHIPPED / f"{name}.safetensors")
    assert card == twin
    assert card.name == name
    assert card.data and card.licence and card.recipe and card.steps and card.minutes and card.parameters
    assert card.macs and card.speed["seconds"] > 0
    if card.task == SUPER_RESOLUTION:
        assert {"Set5", "Set14", "CID22-valid"} <= set(card.metrics)


@pytest.mark.parametrize("name", TRAINED)
def test_runtimes_agree(name):
    pytest.importorskip("onnxruntime")
    models = [runtimes.load(name, runtime, "f32", 1) for runtime in ("openvino", "onnx", "pytorch")]
    card = models[0].card
    random = np.random.default_rng(1)
    if card.task == SUPER_RESOLUTION:
        inputs = [random.random((1, card.in_channels, 19, 27), np.float32)]
    else:
        inputs = [random.standard_normal((3, *card.latent_shape), np.float32)]
        inputs += [np.array([0, 1, 1])] if card.labels else []
    first, *others = [model(*inputs) for model in models]
    assert all(np.abs(first - other).max() < 1e-4 for other in others)


@pytest.mark.parametrize("name", INT8)
def test_int8_is_close_to_float32(name):
    """By its card on test sets, and here on a picture; in tiles as in one."""
    card = read_card(catalog.SHIPPED / f"{name}.int8.onnx")
    assert card.precision == "int8" and card.name == name
    assert card.weights_sha256 == read_card(catalog.SHIPPED / f"{name}.onnx").weights_sha256
    assert all(card.metrics[data]["psnr_y_lost"] < 0.05 for data in ("Set5", "Set14"))
    image = picture(60, 81)
    exact, rounded = (load(name, precision=precision, threads=1) for precision in ("f32", "int8"))
    assert np.abs(exact(image).astype(int) - rounded(image)).mean() < 2
    assert np.array_equal(rounded(image, tile=17), rounded(image, tile=0))


def extreme_pictures() -> list[np.ndarray]:
    """What photographs hardly ever show: saturated colours side by side, thin lines of them, and whole ramps."""
    random = np.random.default_rng(0)
    corners = np.array(list(itertools.product((0, 255), repeat=3)), np.uint8)
    y, x = (part * 255 // 63 for part in np.mgrid[:64, :64])
    pictures = [corners[random.integers(8, size=(8, 8))].repeat(8, 0).repeat(8, 1)]
    pictures += [np.stack(order, -1).astype(np.uint8) for order in itertools.permutations((x, y, 0 * x))]
    for colour in corners[1:]:
        lines = np.zeros((64, 64, 3), np.uint8)
        lines[:, 24:32] = lines[20:23] = colour
        pictures += [lines, 255 - lines]
    return pictures


@pytest.mark.parametrize("name", TRAINED_UPSCALERS)
def test_extreme_pictures_are_enlarged_soundly(name):
    """Made small again, the result is the picture about as well as bicubic's is. A network without normalisation can answer
    colours that it never saw with activations a thousand times as large as usual, and no test set of photographs tells.
    """
    upscaler, bicubic = load(name, threads=1), load(f"bicubic-x{catalog.card(name).scale}")
    for index, extreme in enumerate(extreme_pictures()):
        ours, usual = (psnr_lr(np.asarray(model(extreme)), extreme) for model in (upscaler, bicubic))
        assert ours > min(usual, _SOUND) - _WORSE, index


@pytest.mark.parametrize("name", UPSCALERS)
@pytest.mark.parametrize(("height", "width", "tile"), [(61, 83, 17), (90, 47, 32)])
def test_tiles_do_not_show(name, height, width, tile):
    upscaler = load(name, threads=1)
    image = picture(height, width)
    assert np.array_equal(upscaler(image, tile=tile), upscaler(image, tile=0))


@pytest.mark.parametrize("name", UPSCALERS)
def test_a_flat_picture_stays_flat(name):
    """What a network adds of its own to a picture without any detail must not be seen."""
    flat = np.full((24, 31, 3), (200, 90, 30), np.uint8)
    drift = np.abs(load(name, threads=1)(flat).astype(int) - flat[0, 0])
    assert drift[8:-8, 8:-8].max() <= 2


@pytest.mark.parametrize("name", GENERATORS)
def test_an_image_does_not_depend_on_the_count(name):
    generator = load(name, threads=1)
    few, many = (generator.arrays(n, seed=7, label=0 if generator.card.labels else None) for n in (3, 21))
    assert np.array_equal(few, many[:3])
    assert len({image.tobytes() for image in many}) == 21


@pytest.mark.parametrize("name", TRAINED)
def test_weights_can_be_trained_further(name):
    network, _ = weights.load(catalog.SHIPPED / f"{name}.safetensors")
    assert all(parameter.requires_grad for parameter in network.parameters())
