"""A tiny generator whose images say what z was: what projection should find is known."""

import numpy as np
import pytest
import torch

from mezzotint.card import GENERATION, Card
from mezzotint.errors import LimitError, UsageError
from mezzotint.models import weights
from mezzotint.models.dcgan import Generator as Network
from mezzotint.models.features import SqueezeNet11
from mezzotint.pipelines.generate import Generator, noise
from mezzotint.runtimes import load
from mezzotint.training import projection
from mezzotint.training.projection import project

FAST = {"samples": 48, "starts": 3, "steps": 80}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Class-conditional, 16x12 grey."""
    arguments = {"size": (16, 12), "channels": 8, "latent_dim": 6, "out_channels": 1, "num_classes": 3}
    torch.manual_seed(3)
    network = Network(**arguments)
    for parameter in network.parameters():
        # Untrained, it makes nearly grey images of any noise.
        parameter.data *= 3
    card = Card(
        "small",
        GENERATION,
        "dcgan.Generator",
        arguments,
        latent_dim=6,
        size=(16, 12),
        out_channels=1,
        labels=("a", "b", "c"),
    )
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    weights.save(network.eval(), card, path)
    return path


@pytest.fixture(scope="module")
def made(model):
    """(the generator, an image of it that is none of the samples, of class b)."""
    generator = Generator(load(model, "pytorch", "f32"))
    return generator, generator.render(noise(9, 0, (6,))[None], np.array([1]))[0]


def test_an_image_of_the_generator_is_found_again(model, made):
    generator, image = made
    (found,) = project(model, [image], **FAST)
    assert found.psnr > 30 and found.psnr > found.sample_psnr + 6
    assert found.label == 1 and np.linalg.norm(found.z) <= np.sqrt(6) + 1 + 1e-4
    # What is reported is what `generate` shows of this z, and of that sample's number.
    np.testing.assert_array_equal(found.image, generator.render(found.z[None], np.array([1]))[0])
    np.testing.assert_array_equal(found.sample_image, generator.arrays(48)[found.sample])
    np.testing.assert_array_equal(found.target, image)


def test_equal_arguments_give_equal_latents_and_another_seed_others(model, made):
    first, again = (next(project(model, [made[1]], **FAST)) for _ in range(2))
    other = next(project(model, [made[1]], **FAST, seed=1))
    assert first.z.tobytes() == again.z.tobytes() and first.z.tobytes() != other.z.tobytes()


def test_no_steps_give_the_nearest_sample(model, made):
    found = next(project(model, [made[1]], samples=48, starts=1, steps=0))
    np.testing.assert_array_equal(found.image, found.sample_image)
    assert found.psnr == found.sample_psnr and found.sample % 3 == found.label


def test_a_class_that_is_named_is_kept_and_any_picture_is_fitted(model):
    picture = np.random.default_rng(0).integers(0, 256, (50, 31, 3), np.uint8)
    (found,) = project(model, [picture], "c", samples=6, starts=6, steps=2)
    assert found.label == 2 and found.target.shape == found.image.shape == (16, 12, 1)


def test_what_is_searched_leaves_torchs_random_state(model, made):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    list(project(model, [made[1]] * 2, samples=4, starts=2, steps=1))
    assert torch.equal(torch.get_rng_state(), state)


def test_features_change_what_is_near(model, made, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    safetensors.save_file(SqueezeNet11().state_dict(), tmp_path / "squeezenet.safetensors")
    compare = projection._comparison(tmp_path / "squeezenet.safetensors")
    x, y = torch.rand(2, 1, 16, 12) * 2 - 1, torch.rand(1, 1, 16, 12) * 2 - 1
    assert compare(x, y).shape == (2,) and (compare(x, y) > projection._pixels(x, y)).all()
    assert compare(y, y).item() == 0


def test_pixels_count_at_several_scales():
    flat, checked = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    checked[..., ::2, ::2] = checked[..., 1::2, 1::2] = -1
    assert projection._pixels(checked, flat) < 0.5 * projection._pixels(torch.ones(1, 1, 16, 16), flat)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"samples": 2, "starts": 3}, "3 starts out of 2"),
        ({"label": "d"}, "no class 'd'"),
        ({"model": "bicubic-x2"}, "does not generate"),
        ({"model": "compact-x4"}, "does not generate"),
    ],
)
def test_mistakes(model, made, arguments, says):
    with pytest.raises(UsageError, match=says):
        project(**{"model": model, "pictures": [made[1]], **arguments})


def test_more_samples_than_memory_holds_are_refused_before_any_is_made(model, made):
    with pytest.raises(LimitError, match="take fewer"):
        project(model, [made[1]], samples=10**12)
