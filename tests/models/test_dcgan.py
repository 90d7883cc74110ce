import pytest
import torch

from mezzotint.errors import UsageError
from mezzotint.models.dcgan import Discriminator, Generator


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (64, 64), (9, 37), (50, 75), (17, 8), (31, 33)])
@torch.no_grad()
def test_any_size_comes_out_exactly_and_goes_in(size):
    torch.manual_seed(0)
    generator = Generator(size, channels=2, latent_dim=5, out_channels=3).eval()
    images = generator(torch.randn(2, 5))
    assert images.shape == (2, 3, *size) and images.abs().max() <= 1
    assert Discriminator(size, channels=2, in_channels=3).eval()(images).shape == (2,)


def test_the_discriminator_sees_every_pixel_of_odd_sizes():
    torch.manual_seed(0)
    images = torch.randn(1, 1, 13, 27, requires_grad=True)
    Discriminator((13, 27), channels=2, batch_norm=False)(images).sum().backward()
    assert (images.grad != 0).all()


def test_the_papers_generator():
    paper = Generator(size=(64, 64), channels=128, latent_dim=100, out_channels=3)
    assert [tuple(up.weight.shape) for up in paper.ups] == [
        (1024, 512, 4, 4),
        (512, 256, 4, 4),
        (256, 128, 4, 4),
        (128, 3, 4, 4),
    ]
    assert paper.project.weight.shape == (1024 * 4 * 4, 100)
    assert paper.ups[0].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert [norm.num_features for norm in paper.norms] == [1024, 512, 256, 128]


def test_batch_norm_spares_the_discriminators_first_stage_and_can_be_left_out():
    def normed(network):
        return [type(norm).__name__ for norm in network.norms]

    assert normed(Discriminator()) == ["Identity", "BatchNorm2d", "BatchNorm2d"]
    assert normed(Discriminator(batch_norm=False)) == ["Identity"] * 3


def test_unconditional_networks_ignore_labels():
    generator, labels = Generator(channels=2).eval(), torch.tensor([3, 1])
    z = torch.randn(2, 128)
    assert torch.equal(generator(z), generator(z, labels))


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_sizes_without_room_for_one_halving_are_refused(network):
    with pytest.raises(UsageError, match="at least 8x8 pixels, not 7x32"):
        network((7, 32))
