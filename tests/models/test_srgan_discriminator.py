import pytest
import torch
from torch import nn

from mezzotint.models.srgan_discriminator import SRGANDiscriminator


def test_the_papers_layers():
    convolutions = [m for m in SRGANDiscriminator().modules() if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.stride[0]) for c in convolutions] == [
        (64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2),
    ]  # fmt: skip


def test_at_96_pixels_the_dense_layers_see_the_features_unaveraged():
    network = SRGANDiscriminator(channels=2).eval()
    with torch.no_grad():
        features = network.features(torch.randn(1, 3, 96, 96))
        assert features.shape == (1, 16, 6, 6) and torch.equal(network.head[0](features), features)


@pytest.mark.parametrize("size", [(1, 1), (33, 17), (96, 96)])
def test_one_logit_or_one_for_each_region(size):
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        assert SRGANDiscriminator(2).eval()(images).shape == (2,)
        regions = SRGANDiscriminator(2, head="patch").eval()(images)
    assert regions.shape == (2, 1, -(-size[0] // 16), -(-size[1] // 16))
