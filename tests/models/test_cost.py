"""Counted cost against counts by hand and the figure that papers print."""

import pytest
from torch import nn

from mezzotint.card import GENERATION, SUPER_RESOLUTION, Card, read_card
from mezzotint.errors import ModelError
from mezzotint.export.onnx import export_network
from mezzotint.models import weights
from mezzotint.models.compact import Compact
from mezzotint.models.cost import multiplications
from mezzotint.models.dcgan import Generator
from mezzotint.models.srresnet import SRResNet


def test_srresnet_costs_what_papers_print():
    """127.8 G multiply-accumulates for an output of 1280x720, the usual measure of papers on small networks."""
    assert multiplications(SRResNet(), (1, 3, 180, 320)) / 1e9 == pytest.approx(127.8, abs=0.05)


def test_srresnet_by_hand():
    head, body, merge = 81 * 3 * 64, 16 * 2 * 9 * 64 * 64, 9 * 64 * 64
    steps = 9 * 64 * 256 * (1 + 4)  # the second at twice the height and width
    tail = 81 * 64 * 3 * 16
    card = weights.counted(SRResNet(), Card("it", SUPER_RESOLUTION, "srresnet.SRResNet", scale=4))
    assert card.macs == head + body + merge + steps + tail


def test_an_export_counts_the_deployed_form_and_its_bilinear_skip_too(tmp_path):
    head, blocks, merge, tail = 9 * 3 * 8, 2 * 3 * 9 * 8 * 8, 3 * 8 * 8, 9 * 8 * 12
    skip = 9 * 12  # one 3x3 kernel for each output
    card = Card("it", SUPER_RESOLUTION, "compact.Compact", scale=2)
    path = export_network(Compact(scale=2, channels=8, num_blocks=2), card, tmp_path / "compact.onnx")
    assert read_card(path).macs == head + blocks + merge + tail + skip


def test_a_batch_costs_as_many_times_and_groups_divide():
    grouped = nn.Conv2d(8, 12, 3, padding=1, groups=4)
    assert multiplications(grouped, (5, 8, 7, 6)) == 5 * 7 * 6 * 12 * 2 * 9
    assert multiplications(nn.Linear(10, 3), (4, 10)) == 4 * 10 * 3


def test_a_generator_is_counted_by_the_image():
    network = Generator(size=(28, 28), channels=8, num_classes=3)
    card = Card("it", GENERATION, "dcgan.Generator", latent_dim=network.latent_dim, labels=("a", "b", "c"))
    project = 2 * network.latent_dim * network.project.out_features  # z and the embedded label
    assert project < weights.counted(network, card).macs == multiplications(network, (1, network.latent_dim), (1,))


def test_a_card_of_other_inputs_is_refused():
    with pytest.raises(ModelError, match="does not take what the card of it says"):
        weights.counted(SRResNet(in_channels=1), Card("it", SUPER_RESOLUTION, "srresnet.SRResNet", scale=4))


def test_the_network_stays_as_it_is():
    network = SRResNet(channels=4, num_blocks=1).train()
    multiplications(network, (1, 3, 8, 8))
    assert network.training and not any(norm.any() for name, norm in network.named_buffers() if "mean" in name)
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
