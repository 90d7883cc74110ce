"""Muon: what it does to kernels, which kernels it takes, and that everything else is AdamW."""

import pytest
import torch
from torch import nn

from mezzotint.models.compact import Compact
from mezzotint.models.srresnet import SRResNet
from mezzotint.training.muon import Muon, hidden_kernels, orthogonalized


def test_matrices_become_nearly_orthogonal_and_keep_their_directions():
    torch.manual_seed(0)
    for shape in ((3, 16, 40), (3, 40, 16), (1, 8, 8)):
        matrices = torch.randn(shape) * torch.rand(shape[0], 1, shape[2]) * 1e-3
        result = orthogonalized(matrices)
        assert result.shape == matrices.shape
        values = torch.linalg.svdvals(result)
        assert values.min() > 0.5 and values.max() < 1.3
        # U V^T of the singular value decomposition is what the iteration approaches.
        u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
        cosine = nn.functional.cosine_similarity(result.flatten(1), (u @ vt).flatten(1))
        assert cosine.min() > 0.95


def test_nothing_comes_of_nothing():
    assert torch.equal(orthogonalized(torch.zeros(2, 4, 5)), torch.zeros(2, 4, 5))


@pytest.mark.parametrize("network", [Compact(channels=8, num_blocks=2), SRResNet(channels=8, num_blocks=2)])
def test_head_tail_and_vectors_are_not_for_muon(network):
    hidden = {id(kernel) for kernel in hidden_kernels(network)}
    assert hidden
    for name, parameter in network.named_parameters():
        inside = name.split(".")[0] not in ("head", "tail") and parameter.ndim >= 2
        assert (id(parameter) in hidden) == inside, name


def test_without_hidden_kernels_it_is_adamw():
    def trained(kind):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
        parameters = network if kind is Muon else network.parameters()
        optimizer = kind(parameters, lr=1e-2, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            network(torch.randn(7, 5)).square().mean().backward()
            optimizer.step()
        return network[0].weight.detach()

    torch.testing.assert_close(trained(Muon), trained(torch.optim.AdamW))


def test_a_step_has_the_size_of_the_rate_whatever_the_gradient():
    for scale in (1e-6, 1e3):
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 3, 3))
        optimizer = Muon(network, lr=1e-2)
        before = network[1].weight.detach().clone()
        (scale * network(torch.randn(2, 3, 9, 9)).square().sum()).backward()
        optimizer.step()
        size = (network[1].weight - before).square().mean().sqrt()
        assert 0.5 * 0.2e-2 < size < 2 * 0.2e-2
