import numpy as np
import pytest
from PIL import Image

import mezzotint
from mezzotint.card import GENERATION, KEY, SUPER_RESOLUTION, Card
from mezzotint.errors import LimitError, QualityError, UsageError
from mezzotint.pipelines import load
from mezzotint.pipelines.generate import BATCH, Generator

CLASSES = ("Bag", "Coat", "Ankle boot")


class Fake:
    """A model that shows what it is given: an image is its own z, its first pixel the class."""

    precision = "f32"

    def __init__(self, labels=CLASSES, shape=(1, 2, 3), latent_dim=None):
        self.card = Card(
            name="fake",
            task=GENERATION,
            network="none",
            latent_dim=latent_dim or int(np.prod(shape)),
            size=shape[1:],
            out_channels=shape[0],
            labels=labels,
        )
        self.shape, self.calls = shape, []

    def __call__(self, z, labels=None):
        self.calls.append((z, labels))
        images = z.reshape(len(z), *self.shape) / 4
        if labels is not None:
            images[:, :, 0, 0] = labels[:, None] / 10
        return images


class Constant:
    """A model that gives the same images for any noise."""

    precision = "f32"

    def __init__(self, images):
        self.card, self.images = Fake(labels=()).card, images

    def __call__(self, z):
        return self.images


def noise(model=None, n=2, **options):
    model = model or Fake()
    Generator(model).arrays(n, **options)
    return np.concatenate([z for z, _ in model.calls])[:n]


@pytest.mark.parametrize("n", [1, 7, BATCH, BATCH + 1, 3 * BATCH])
def test_image_i_is_the_same_whatever_n(n):
    many = Generator(Fake()).arrays(3 * BATCH, seed=5)
    assert many.shape == (3 * BATCH, 2, 3, 1) and many.dtype == np.uint8
    np.testing.assert_array_equal(Generator(Fake()).arrays(n, seed=5), many[:n])


def test_the_network_always_sees_full_batches():
    model = Fake()
    Generator(model).arrays(BATCH + 3)
    assert [z.shape for z, _ in model.calls] == [(BATCH, 6)] * 2
    assert all(labels.shape == (BATCH,) and labels.dtype == np.int64 for _, labels in model.calls)


def test_noise_depends_on_seed_and_index_alone():
    first = noise(seed=3)
    np.testing.assert_array_equal(noise(seed=3, label=1), first)
    assert not np.isin(noise(seed=4), first).any() and not np.isin(first[0], first[1]).any()


def test_seeds_people_have_written_down_keep_their_images():
    expected = [[0.059911035, 0.015559634, -1.1644385], [-1.431463, 1.6707169, -0.40272397]]
    np.testing.assert_allclose(noise(seed=0)[:, :3], expected, rtol=1e-6)


def test_noise_is_standard_normal():
    z = noise(Fake(shape=(1, 30, 40)), n=48)
    assert z.dtype == np.float32 and abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02


@pytest.mark.filterwarnings("error")
def test_truncation_beyond_any_noise_changes_nothing():
    np.testing.assert_array_equal(noise(n=3, seed=1, truncation=1e300), noise(n=3, seed=1))


def test_truncation_bounds_the_noise_and_keeps_what_lay_within():
    free, bounded = noise(n=40, seed=1), noise(n=40, seed=1, truncation=0.7)
    assert np.abs(bounded).max() <= 0.7 < np.abs(free).max()
    within = np.abs(free) <= 0.7
    np.testing.assert_array_equal(bounded[within], free[within])


def test_noise_may_be_an_image():
    model = Fake(labels=(), shape=(3, 4, 5), latent_dim=(3, 4, 5))
    assert noise(model, n=3).shape == (3, 3, 4, 5)


def test_values_are_rounded_and_clipped_to_eight_bits():
    values = np.array([-1, 1, 0, -9, 9, 100 / 127.5 - 1], np.float32)
    model = Constant(np.broadcast_to(values.reshape(1, 2, 3), (BATCH, 1, 2, 3)))
    assert Generator(model).arrays(1).ravel().tolist() == [0, 255, 128, 0, 255, 100]


def test_labels_by_number_name_and_in_turn():
    generator = Generator(Fake())
    assert generator.labels(5).tolist() == generator.labels(5, "all").tolist() == [0, 1, 2, 0, 1]
    for label in (2, "2", "Ankle boot", "ankle BOOT"):
        labels = generator.labels(2, label)
        assert labels.tolist() == [2, 2] and labels.dtype == np.int64
    assert Generator(Fake(labels=())).labels(3).tolist() == [-1, -1, -1]


def test_each_image_is_made_as_its_class():
    images = Generator(Fake()).arrays(BATCH + 2, label="all")
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.floor((np.arange(BATCH + 2) % 3) / 10 * 127.5 + 128))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"label": 3}, "classes 0 to 2, not 3"),
        ({"label": -1}, "classes 0 to 2, not -1"),
        ({"label": "boot"}, "no class 'boot'"),
        ({"label": "coats"}, "did you mean 'Coat'"),
        ({"n": 0}, "at least 1 image"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"truncation": 0.0}, "truncation"),
        ({"truncation": float("nan")}, "truncation"),
    ],
)
def test_nonsense_is_refused_before_any_work(options, says):
    model = Fake()
    with pytest.raises(UsageError, match=says):
        Generator(model).batches(**options)
    assert not model.calls


def test_a_label_needs_a_conditional_model():
    with pytest.raises(UsageError, match="knows no classes"):
        Generator(Fake(labels=())).arrays(2, label="all")


def test_only_generators_generate():
    model = Fake()
    model.card = Card(name="x4", task=SUPER_RESOLUTION, network="none", scale=4)
    with pytest.raises(UsageError, match="cannot generate"):
        Generator(model)


def test_images_that_are_not_finite_are_refused():
    model = Constant(np.full((BATCH, 1, 2, 3), np.nan))
    with pytest.raises(QualityError, match="not finite"):
        Generator(model).arrays(1)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_called_it_gives_pillow_images(channels, mode):
    generator = Generator(Fake(shape=(channels, 2, 3)))
    images = generator(3, seed=7, label="Coat")
    assert [image.mode for image in images] == [mode] * 3 and images[0].size == (3, 2)
    arrays = generator.arrays(3, seed=7, label="Coat")
    np.testing.assert_array_equal(np.asarray(images[1]).reshape(2, 3, channels), arrays[1])


def test_called_with_noise_it_is_the_network_alone():
    z = np.random.default_rng(0).standard_normal((5, 6))
    images = Generator(Fake())(z, [0, 1, 2, 0, 1])
    assert images.dtype == np.float32 and images.shape == (5, 1, 2, 3)
    np.testing.assert_allclose(images[:, 0, 1], z[:, 3:] / 4, rtol=1e-6)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A conditional network of random weights in an `.onnx` file: z and class -> dense -> transposed convolution."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info, set_model_props
    from onnx.numpy_helper import from_array

    random = np.random.default_rng(0)
    weights = {
        "table": random.standard_normal((3, 12), np.float32),
        "dense": random.standard_normal((24, 16 * 6 * 4), np.float32) / 5,
        "shape": np.array([-1, 16, 6, 4]),
        "kernel": random.standard_normal((16, 3, 4, 4), np.float32) / 8,
    }
    nodes = [
        make_node("Gather", ["table", "labels"], ["class"]),
        make_node("Concat", ["z", "class"], ["code"], axis=1),
        make_node("MatMul", ["code", "dense"], ["flat"]),
        make_node("Reshape", ["flat", "shape"], ["coarse"]),
        make_node("Relu", ["coarse"], ["features"]),
        make_node("ConvTranspose", ["features", "kernel"], ["fine"], strides=[2, 2], pads=[1, 1, 1, 1]),
        make_node("Tanh", ["fine"], ["images"]),
    ]
    inputs = [make_tensor_value_info("z", 1, ["batch", 12]), make_tensor_value_info("labels", 7, ["batch"])]
    outputs = [make_tensor_value_info("images", 1, ["batch", 3, 12, 8])]
    graph = make_graph(nodes, "small", inputs, outputs, [from_array(array, name) for name, array in weights.items()])
    model = make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=9)
    card = Card(name="small", task=GENERATION, network="none", latent_dim=12, size=(12, 8), labels=CLASSES)
    set_model_props(model, {KEY: card.to_json()})
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    onnx.save(model, path)
    return path


def test_a_real_network_in_openvino_gives_the_same_bytes_whatever_n(network):
    generator = load(network, threads=1)
    assert isinstance(generator, Generator)
    many = generator.arrays(35, seed=2)
    assert many.shape == (35, 12, 8, 3) and len({image.tobytes() for image in many}) == 35
    for n in (1, 16, 17):
        np.testing.assert_array_equal(load(network, threads=1).arrays(n, seed=2), many[:n])


def test_the_public_function_takes_a_file(network):
    images = mezzotint.generate(network, n=4, seed=2, threads=1)
    assert [image.size for image in images] == [(8, 12)] * 4 and isinstance(images[0], Image.Image)


class Texture:
    """A model that makes an image of noise into an image of its size: the noise itself."""

    precision = "f32"

    def __init__(self, channels=3):
        self.card = Card("texture", GENERATION, "none", latent_dim=(channels, 8, 6), size=(8, 6), out_channels=channels)
        self.shapes = []

    def __call__(self, z):
        self.shapes.append(z.shape)
        return z / 2


def test_an_image_of_noise_is_made_in_any_size_in_batches_of_as_many_pixels():
    model = Texture()
    assert Generator(model).arrays(17).shape == (17, 8, 6, 3) and model.shapes == [(16, 3, 8, 6)] * 2
    model.shapes.clear()
    large = Generator(model).arrays(5, seed=2, size=(16, 24))
    assert large.shape == (5, 16, 24, 3) and model.shapes == [(2, 3, 16, 24)] * 3
    np.testing.assert_array_equal(Generator(model).arrays(1, seed=2, size=(16, 24))[0], large[0])
    assert Generator(model).arrays(2, size=(1, 1)).shape == (2, 1, 1, 3)


@pytest.mark.parametrize(
    ("model", "size", "error", "message"),
    [
        (Fake(labels=()), (9, 9), UsageError, "fake makes images of one size"),
        (Texture(), (0, 5), UsageError, "at least 1x1 pixels, not 5x0"),
        (Texture(), (3000, 3000), LimitError, "images of 3000x3000 are beyond the limit of 4,194,304 pixels"),
    ],
)
def test_sizes_that_cannot_be_made_are_refused(model, size, error, message):
    with pytest.raises(error, match=message):
        Generator(model).batches(1, size=size)


@pytest.mark.parametrize(("channels", "mode"), [(2, "LA"), (4, "RGBA")])
def test_opacity_comes_with_colours_by_themselves(channels, mode):
    # On white, half opaque, black is middle grey; where nothing is seen, white.
    planes = np.full((16, channels, 1, 2), 0.0, np.float32)
    planes[:, -1, :, 1] = -1
    model = Constant(planes)
    model.card = Card("clear", GENERATION, "none", latent_dim=2, size=(1, 2), out_channels=channels)
    (image,) = Generator(model)(1)
    assert image.mode == mode
    pixels = np.asarray(image)
    assert pixels[0, 0].tolist() == [2] * (channels - 1) + [128]
    assert pixels[0, 1].tolist() == [255] * (channels - 1) + [0]
