import math

import pytest
import torch

from mezzotint.errors import UsageError
from mezzotint.models.sngan import Discriminator, Generator


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (31, 50), (64, 64), (9, 37)])
@torch.no_grad()
def test_any_size_comes_out_exactly_and_goes_in(size):
    images = Generator(size, channels=2, latent_dim=5, out_channels=4).eval()(torch.randn(2, 5))
    assert images.shape == (2, 4, *size) and images.abs().max() <= 1
    assert Discriminator(size, channels=2, in_channels=4).eval()(images).shape == (2,)


def test_the_papers_networks_for_cifar_10():
    """Tables 4a and 4b: 4x4x256, three blocks up to 32x32; two blocks of 128 down to 8x8, two more at that size."""
    generator = Generator((32, 32), channels=256, widest=256)
    assert generator.sizes == [(4, 4), (8, 8), (16, 16), (32, 32)]
    assert {(block.first.in_channels, block.second.out_channels) for block in generator.blocks} == {(256, 256)}
    discriminator = Discriminator((32, 32), channels=128, widest=128)
    assert [block.halves for block in discriminator.blocks] == [True, True, False, False]
    assert discriminator.head.in_features == 128
    with torch.no_grad():
        assert discriminator.blocks(torch.zeros(1, 3, 32, 32)).shape == (1, 128, 8, 8)


def test_every_layer_of_the_discriminator_keeps_a_largest_singular_value_of_one():
    torch.manual_seed(0)
    discriminator = Discriminator((8, 8), channels=4, widest=8, num_classes=3)
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter *= 5
        for _ in range(50):
            discriminator(torch.randn(2, 3, 8, 8), torch.tensor([0, 2]))
    weights = [module.weight for module in discriminator.eval().modules() if hasattr(module, "parametrizations")]
    assert len(weights) == 9
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_a_class_has_a_scale_and_a_shift_of_its_own_in_every_block():
    generator = Generator((16, 16), channels=4, latent_dim=6, num_classes=3).eval()
    norms = [norm for block in generator.blocks for norm in block.norms]
    assert len(norms) == 4 and all(norm.affine.num_embeddings == 3 for norm in norms)
    z, labels = torch.randn(1, 6).repeat(2, 1), torch.tensor([0, 1])
    with torch.no_grad():
        first, second = generator(z, labels)
        # Untrained, all classes are alike.
        torch.testing.assert_close(first, second)
        norms[0].affine.weight[1, : norms[0].norm.num_features] *= 2
        first, second = generator(z, labels)
    assert not torch.allclose(first, second)


def test_the_projection_scores_the_class():
    discriminator = Discriminator((8, 8), channels=4, num_classes=3).eval()
    images = torch.randn(1, 3, 8, 8).repeat(3, 1, 1, 1)
    with torch.no_grad():
        logits = discriminator(images, torch.arange(3))
    assert len(set(logits.tolist())) == 3 and all(math.isfinite(logit) for logit in logits)


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_sizes_without_room_for_one_halving_are_refused(network):
    with pytest.raises(UsageError, match="at least 8x8 pixels, not 7x32"):
        network((7, 32))
