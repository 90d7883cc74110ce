"""SRResNet's ways to begin: as bilinear enlargement, and from a network with the cheaper tail."""

import pytest
import torch
from torch.nn import functional as F

from mezzotint.errors import UsageError
from mezzotint.models import weights
from mezzotint.models.srresnet import SRResNet

LR = torch.rand(2, 3, 11, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("tail", ["direct", "staged"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_bilinear_start_is_bilinear_but_for_the_border(scale, tail, skip):
    torch.manual_seed(0)
    options = {"batch_norm": False, "tail": tail, "bilinear_skip": skip, "bilinear_start": True}
    network = SRResNet(scale=scale, channels=24, num_blocks=1, **options)
    expected = F.interpolate(LR, scale_factor=scale, mode="bilinear")
    inside = (..., slice(scale, -scale), slice(scale, -scale))
    with torch.no_grad():
        torch.testing.assert_close(network(LR)[inside], expected[inside], rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_staged_tail_takes_over_a_direct_one_exactly_and_can_learn(scale):
    torch.manual_seed(0)
    direct = SRResNet(scale=scale, channels=24, num_blocks=1, batch_norm=False, tail="direct")
    with torch.no_grad():
        for parameter in direct.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    staged = SRResNet(scale=scale, channels=24, num_blocks=1, batch_norm=False)
    weights.adopt(staged, direct)
    torch.testing.assert_close(staged(LR), direct(LR), rtol=1e-4, atol=1e-4)
    staged(LR).square().sum().backward()
    # The last kernel learns at once from every channel, those that say nothing yet included.
    assert (staged.tail[-1].weight.grad.abs().amax((0, 2, 3)) > 0).all()


def test_weights_of_the_same_shape_are_taken_over_whole():
    first, second = SRResNet(channels=8, num_blocks=1), SRResNet(channels=8, num_blocks=1)
    weights.adopt(second, first)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({}, {"num_blocks": 2}),
        ({}, {"channels": 16}),
        ({"channels": 8}, {"channels": 8, "tail": "direct"}),
        ({"scale": 2}, {"scale": 4, "tail": "direct"}),
    ],
    ids=["depth", "width", "too few channels for the tail", "scale"],
)
def test_what_does_not_fit_is_refused(options, source):
    small = {"channels": 24, "num_blocks": 1, "batch_norm": False}
    with pytest.raises(UsageError):
        weights.adopt(SRResNet(**small | options), SRResNet(**small | source))


def test_too_few_channels_for_a_bilinear_start():
    with pytest.raises(UsageError, match="6 channels"):
        SRResNet(channels=5, bilinear_start=True)
