import pytest
import torch

from mezzotint.data import differentiable
from mezzotint.data.differentiable import augmented
from mezzotint.refs import resolve

NAMES = differentiable.__all__


def images(count=64, channels=3, size=(8, 6), seed=0):
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def applied(name, batch, seed=0):
    torch.manual_seed(seed)
    return resolve(f"differentiable.{name}", "data")(batch)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(8, 6), (7, 7), (1, 5)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_function_gives_images_of_the_same_shape_and_type(name, channels, size):
    batch = images(5, channels, size)
    result = applied(name, batch)
    assert result.shape == batch.shape and result.dtype == batch.dtype and torch.isfinite(result).all()


@pytest.mark.parametrize("name", NAMES)
def test_each_image_has_random_numbers_of_its_own(name):
    result = applied(name, images(1).expand(64, -1, -1, -1).contiguous())
    assert len(torch.unique(result, dim=0)) > 1


@pytest.mark.parametrize("name", NAMES)
def test_gradients_pass_twice_and_stay_with_their_image(name):
    batch = images(4).requires_grad_()
    torch.manual_seed(1)
    result = resolve(f"differentiable.{name}", "data")(batch)
    (gradient,) = torch.autograd.grad(result[2].square().sum(), batch, create_graph=True)
    assert gradient[2].abs().sum() > 0 and gradient[[0, 1, 3]].abs().sum() == 0
    gradient.square().sum().backward()
    assert batch.grad[2].abs().sum() > 0


def test_probability_is_the_share_of_images_that_change():
    batch = images(2000, 1, (4, 4))
    torch.manual_seed(0)
    changed = (augmented(batch, [differentiable.brightness], 0.3) != batch).flatten(1).any(1).float().mean()
    assert 0.25 < changed < 0.35
    assert augmented(batch, [differentiable.brightness], 0.0) is batch


def test_moving_by_whole_pixels_is_exact_and_mirrored_at_the_border():
    line = torch.tensor([1.0, 2, 3, 4, 5])
    weights = differentiable._interpolation(5, torch.ones(3), torch.tensor([0.0, 1.0, -2.0]))
    assert (weights @ line).tolist() == [[1, 2, 3, 4, 5], [2, 1, 2, 3, 4], [3, 4, 5, 4, 3]]


def test_enlarging_twice_interpolates_about_the_middle():
    weights = differentiable._interpolation(3, torch.tensor([2.0]), None)
    assert (weights @ torch.tensor([0.0, 1.0, 2.0])).tolist() == [[0.5, 1.0, 1.5]]


def test_constant_images_stay_so_wherever_pixels_go():
    batch = torch.full((16, 3, 8, 6), 0.25)
    for name in ("mirror", "turn", "translate", "zoom", "stretch"):
        assert torch.allclose(applied(name, batch), batch, atol=1e-6), name


def test_turns_are_quarter_turns_of_squares_and_half_turns_of_others():
    for size, turns in (((4, 4), (0, 1, 2, 3)), ((4, 6), (0, 2))):
        batch = images(40, 1, size)
        seen = set()
        for before, after in zip(batch, applied("turn", batch), strict=True):
            seen |= {count for count in turns if torch.equal(before.rot90(count, (1, 2)), after)}
        assert seen == set(turns)


def test_saturation_leaves_grey_and_transparency_alone():
    grey = images(8, 1).expand(-1, 3, -1, -1)
    assert torch.allclose(applied("saturation", grey), grey, atol=1e-6)
    rgba = images(8, 4)
    assert torch.equal(applied("saturation", rgba)[:, 3], rgba[:, 3])


def test_cutout_removes_a_quarter_at_most():
    share = (applied("cutout", torch.ones(200, 1, 16, 12)) == 0).float().mean((1, 2, 3))
    assert share.max() <= 0.26 and 0.1 < share.mean() < 0.25
