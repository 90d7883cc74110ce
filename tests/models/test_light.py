import pytest
import torch

from mezzotint.models.light import Discriminator, Generator


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (31, 50), (64, 64), (9, 37)])
@torch.no_grad()
def test_any_size_comes_out_exactly_and_goes_in(size):
    images = Generator(size, channels=2, latent_dim=5, out_channels=4).eval()(torch.randn(2, 5))
    assert images.shape == (2, 4, *size) and images.abs().max() <= 1
    assert Discriminator(size, channels=2, in_channels=4).eval()(images).ndim == 2


@pytest.mark.parametrize(("side", "span", "count"), [(256, 4, 3), (64, 3, 2), (32, 2, 2), (16, 1, 2), (8, 1, 1)])
def test_a_stage_excites_one_that_is_up_to_sixteen_times_larger(side, span, count):
    generator = Generator((side, side), channels=2, widest=4)
    assert generator.span == span and len(generator.excitations) == count


def test_excitation_scales_the_channels_of_the_larger_stage_from_zero_to_one():
    torch.manual_seed(0)
    generator = Generator((16, 16), channels=3, latent_dim=5).eval()
    z = torch.randn(2, 5)
    with torch.no_grad():
        factors = generator.excitations[-1](torch.randn(2, 6, 8, 8))
        assert factors.shape == (2, 3, 1, 1) and factors.min() > 0 and factors.max() < 1
        # Held shut, nothing but the last bias comes through.
        generator.excitations[-1][-2].bias.fill_(-1e4)
        torch.testing.assert_close(
            generator(z), torch.tanh(generator.to_image.bias)[:, None, None].expand(2, 3, 16, 16)
        )


def test_every_pixel_reaches_the_logits_at_full_and_at_half_size():
    torch.manual_seed(0)
    discriminator = Discriminator((16, 24), channels=4).eval()
    images = torch.randn(1, 3, 16, 24, requires_grad=True)
    logits = discriminator(images)
    assert logits.shape == (1, 2 * 4 * 6)
    for part in logits.split(24, dim=1):
        (gradient,) = torch.autograd.grad(part.sum(), images, retain_graph=True)
        assert (gradient != 0).any(1).all()
