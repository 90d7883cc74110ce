"""Starting from weights that exist: merged kernels, tails of other scales."""

import pytest
import torch
from torch.nn import functional as F

from mezzotint.errors import UsageError
from mezzotint.models import weights
from mezzotint.models.compact import Compact
from mezzotint.models.reparameterization import ReparameterizedConv

SMALL = {"channels": 8, "num_blocks": 1}
LR = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(0))


def trained(**options):
    torch.manual_seed(0)
    network = Compact(**SMALL | options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize("source", [trained(), trained().fused()], ids=["as trained", "as deployed"])
@pytest.mark.parametrize("reparameterized", [True, False])
def test_deployed_and_trained_forms_start_from_each_other(source, reparameterized):
    if not reparameterized and any(isinstance(module, ReparameterizedConv) for module in source.modules()):
        source = source.fused()
    network = Compact(**SMALL, reparameterized=reparameterized)
    weights.adopt(network, source)
    torch.testing.assert_close(network(LR), source(LR), rtol=1e-4, atol=1e-4)
    network(LR).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("reparameterized", [True, False])
def test_a_tail_of_half_the_scale_begins_as_the_means_of_pixels(reparameterized):
    source = trained(scale=4).fused()
    network = Compact(**SMALL, scale=2, reparameterized=reparameterized)
    weights.adopt(network, source)
    means = F.avg_pool2d(source(LR) - source.skip(LR), 2)
    torch.testing.assert_close(network(LR) - network.skip(LR), means, rtol=1e-4, atol=1e-4)


def test_a_tail_of_another_scale_begins_near_the_resized_picture():
    source, network = trained(scale=4).fused(), Compact(**SMALL, scale=3)
    weights.adopt(network, source)
    expected = F.interpolate(source(LR) - source.skip(LR), scale_factor=3 / 4, mode="area")
    learnt = network(LR) - network.skip(LR)
    assert torch.corrcoef(torch.stack([expected.flatten(), learnt.flatten()]))[0, 1] > 0.9


def test_the_body_must_be_the_same():
    with pytest.raises(UsageError, match=r"'blocks\.1"):
        weights.adopt(Compact(channels=8, num_blocks=2), trained())
