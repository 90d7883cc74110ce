import torch
from torch import nn

from mezzotint.training.ema import averaged


def numbers(network):
    return {key: float(value.sum()) for key, value in network.state_dict().items()}


def walk(decay, values):
    """The average of a single weight that takes `values` one after the other."""
    network = nn.Linear(1, 1, bias=False)
    average = averaged(network, decay)
    seen = []
    for value in values:
        with torch.no_grad():
            network.weight.fill_(value)
        average.update_parameters(network)
        seen.append(float(average.module.weight.detach()))
    return seen


def test_the_first_update_copies_and_later_ones_settle_at_the_decay():
    assert walk(0.9, [3.0]) == [3.0]
    expected, average = [], None
    values = [float(value) for value in range(1, 200)]
    for n, value in enumerate(values):
        decay = min(0.9, (1 + n) / (10 + n)) if n else 0.0
        average = value if average is None else decay * average + (1 - decay) * value
        expected.append(average)
    assert torch.allclose(torch.tensor(walk(0.9, values)), torch.tensor(expected), rtol=1e-5)


def test_without_decay_the_average_is_the_network():
    assert walk(0.0, [1.0, 5.0, -2.5]) == [1.0, 5.0, -2.5]


def test_batch_norm_statistics_are_averaged_and_counters_copied():
    network = nn.BatchNorm1d(1)
    average = averaged(network, 0.5)
    for value in (0.0, 10.0, 10.0):
        network.running_mean.fill_(value)
        network.num_batches_tracked += 1
        average.update_parameters(network)
    assert 5 < numbers(average.module)["running_mean"] < 10
    assert numbers(average.module)["num_batches_tracked"] == 3


def test_the_average_is_apart_from_the_network():
    network = nn.Linear(1, 1)
    average = averaged(network, 0.9)
    before = numbers(average.module)
    with torch.no_grad():
        network.weight.add_(1)
    assert numbers(average.module) == before
