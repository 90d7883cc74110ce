import numpy as np
import pytest

from mezzotint.card import GENERATION, Card
from mezzotint.errors import QualityError, UsageError
from mezzotint.pipelines import load
from mezzotint.pipelines.generate import BATCH, Generator, noise
from mezzotint.pipelines.latent import every_class, frames, interpolate, slerp

CLASSES = ("Bag", "Coat", "Ankle boot")


class Fake:
    """A model that shows what it is given: an image is its own z, its first pixel the class."""

    precision = "f32"

    def __init__(self, labels=CLASSES):
        self.card = Card(name="fake", task=GENERATION, network="none", latent_dim=6, size=(2, 3), labels=labels)
        self.sizes = []

    def __call__(self, z, labels=None):
        self.sizes.append(len(z))
        images = z.reshape(len(z), 1, 2, 3) / 4
        if labels is not None:
            images[:, 0, 0, 0] = labels / 2
        return images


@pytest.fixture(scope="module")
def fashion():
    pytest.importorskip("openvino")
    return load("fashion-28", precision="f32", threads=1)


def walk(generator, *arguments, **options):
    return np.concatenate(list(interpolate(generator, *arguments, **options)))


def latents(n=2, size=4096):
    return [noise(0, i, (size,)) for i in range(n)]


def test_slerp_is_exact_at_its_ends():
    a, b = latents()
    for t, end in ((0, a), (1, b)):
        np.testing.assert_array_equal(slerp(a, b, t), end)
        assert slerp(a, b, t).dtype == np.float32


def test_slerp_keeps_the_length_that_a_straight_line_loses():
    a, b = latents()
    usual = np.sqrt(a.size)
    for t in (0.25, 0.5, 0.75):
        assert abs(np.linalg.norm(slerp(a, b, t)) / usual - 1) < 0.05
    assert np.linalg.norm((a + b) / 2) / usual < 0.75


def test_slerp_turns_evenly():
    a, b = np.array([3.0, 0], np.float32), np.array([0, 3.0], np.float32)
    np.testing.assert_allclose(slerp(a, b, 1 / 3), [3 * np.cos(np.pi / 6), 3 * np.sin(np.pi / 6)], rtol=1e-6)


@pytest.mark.parametrize("factor", [1, 2, -1, 0])
def test_slerp_of_latents_on_one_line_is_finite_and_straight(factor):
    a = noise(0, 0, (2, 3, 4))
    np.testing.assert_allclose(slerp(a, factor * a, 0.25), a * (0.75 + 0.25 * factor), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("label", [None, "all", 1, "coat"])
def test_at_its_images_a_walk_shows_what_generate_gives(label):
    numbers, generator = (4, 0, 19, 37), Generator(Fake())
    expected = generator.arrays(38, seed=3, label=label)[list(numbers)]
    np.testing.assert_array_equal(walk(generator, 3, numbers, 7, label)[::7], expected)
    np.testing.assert_array_equal(walk(generator, 3, numbers, 1, label), expected)


def test_the_shipped_generator_gives_its_images_to_the_bit_wherever_they_fall_in_a_batch(fashion):
    images = fashion.arrays(20, seed=5)
    for steps in (3, 5):
        np.testing.assert_array_equal(walk(fashion, 5, range(20), steps)[::steps], images)


def test_a_walk_of_the_shipped_generator_is_continuous(fashion):
    path = walk(fashion, 0, (0, 1), 32, label="Coat").astype(float)
    strides = np.sqrt(((path[1:] - path[:-1]) ** 2).mean(axis=(1, 2, 3)))
    whole = np.sqrt(((path[-1] - path[0]) ** 2).mean())
    assert 0 < strides.max() < whole / 4


def test_the_network_always_sees_full_batches():
    model = Fake(labels=())
    assert [len(batch) for batch in interpolate(Generator(model), numbers=(0, 1, 2), steps=10)] == [16, 5]
    assert model.sizes == [BATCH] * 2


def test_a_loop_comes_back_without_showing_its_start_twice():
    generator = Generator(Fake(labels=()))
    film = walk(generator, 1, (2, 5), 6, loop=True)
    assert len(film) == frames((2, 5), 6, loop=True) == 12
    np.testing.assert_array_equal(film[:7], walk(generator, 1, (2, 5), 6))
    np.testing.assert_array_equal(film[6:], walk(generator, 1, (5, 2), 6)[:-1])


def test_frames_between_classes_are_dissolves_of_the_same_noise():
    generator = Generator(Fake())
    film = walk(generator, 0, (3, 3, 3), 4, label=("Bag", 2, "1"))
    held = {label: generator.arrays(4, label=label)[3] for label in range(3)}
    for place, label in ((0, 0), (4, 2), (8, 1)):
        np.testing.assert_array_equal(film[place], held[label])
    np.testing.assert_array_equal(film[1], np.floor(0.75 * held[0] + 0.25 * held[2] + 0.5))
    np.testing.assert_array_equal(film[:, 1], np.broadcast_to(held[0][1], film[:, 1].shape))


def test_every_class_takes_the_same_walk():
    generator = Generator(Fake())
    walks = every_class(generator, 2, (0, 4), 5, truncation=1.0)
    assert walks.shape == (3, 6, 2, 3, 1) and walks.dtype == np.uint8
    for label in range(3):
        np.testing.assert_array_equal(walks[label], walk(generator, 2, (0, 4), 5, label, truncation=1.0))
    np.testing.assert_array_equal(walks[0, :, 1], walks[2, :, 1])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"numbers": ()}, "at least one image"),
        ({"numbers": (0, -2)}, "not -2"),
        ({"numbers": (0, 2**64)}, "numbered from 0"),
        ({"steps": 0}, "at least 1 step"),
        ({"seed": -1}, "seed"),
        ({"truncation": 0.0}, "truncation"),
        ({"label": 3}, "classes 0 to 2"),
        ({"label": "coats"}, "did you mean 'Coat'"),
        ({"label": ("Bag", "Coat", "Bag")}, "3 classes do not fit 2 images"),
    ],
)
def test_nonsense_is_refused_before_any_work(options, says):
    model = Fake()
    with pytest.raises(UsageError, match=says):
        interpolate(Generator(model), **options)
    assert not model.sizes


def test_classes_need_a_conditional_generator():
    generator = Generator(Fake(labels=()))
    for label in ("all", "Bag", ("Bag", "Bag")):
        with pytest.raises(UsageError, match="knows no classes"):
            interpolate(generator, label=label)
    with pytest.raises(UsageError, match="knows no classes"):
        every_class(generator)


def test_frames_that_are_not_finite_are_refused(monkeypatch):
    monkeypatch.setattr(Fake, "__call__", lambda self, z: np.full((len(z), 1, 2, 3), np.nan))
    with pytest.raises(QualityError, match="frame 0"):
        walk(Generator(Fake(labels=())))


def test_a_walk_through_given_latents():
    generator = Generator(Fake())
    z = np.stack(latents(3, 6))
    film = walk(generator, numbers=(2, 0), steps=4, label=("Coat", "Bag"), latents=z)
    ends = np.concatenate(list(generator.rendered(z[[2, 0]], np.array([1, 0]))))
    np.testing.assert_array_equal(film[[0, 4]], ends)
    assert every_class(generator, numbers=(0, 1, 2), steps=2, latents=z).shape == (3, 5, 2, 3, 1)
    with pytest.raises(UsageError, match="3 latents"):
        interpolate(generator, numbers=(0, 3), latents=z)
