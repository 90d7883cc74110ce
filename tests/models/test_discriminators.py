"""What the discriminators of super-resolution see, and that the state of all with spectral norm is whole."""

import pytest
import torch

from mezzotint.models import light, sngan
from mezzotint.models.patch_discriminator import PatchDiscriminator
from mezzotint.models.unet_discriminator import UNetDiscriminator
from mezzotint.training.checkpoint import load_checkpoint, save_checkpoint

NETWORKS = [UNetDiscriminator, PatchDiscriminator]


def seen(network, side):
    """Rows of the image that the logit in the middle depends on."""
    images = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    logits = network.double().eval()(images)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    rows = images.grad.abs().sum((0, 1, 3)).nonzero()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize("size", [(8, 8), (17, 33), (96, 96)])
def test_one_logit_for_each_pixel_or_for_each_patch(size):
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        assert UNetDiscriminator(2)(images).shape == (2, 1, *size)
        assert PatchDiscriminator(2)(images).shape == (2, 1, size[0] // 8, size[1] // 8)


def test_a_patch_is_of_seventy_pixels():
    assert seen(PatchDiscriminator(2), 160) == 70


def test_a_pixels_logit_knows_its_neighbourhood():
    assert seen(UNetDiscriminator(2), 160) > 48


def test_the_papers_widths_and_real_esrgans_parameters():
    """Real-ESRGAN's released discriminator holds 4,376,897 parameters."""
    assert sum(parameter.numel() for parameter in UNetDiscriminator().parameters()) == 4_376_897
    widths = [m.out_channels for m in PatchDiscriminator().modules() if isinstance(m, torch.nn.Conv2d)]
    assert widths == [64, 128, 256, 512, 1]


@pytest.mark.parametrize("network", [*NETWORKS, light.Discriminator, sngan.Discriminator])
def test_a_resumed_discriminator_goes_on_to_the_same_bytes(network, tmp_path):
    """Spectral norm remembers its vectors from step to step; they belong to the checkpoint."""

    def steps(networks, optimizers, first, last):
        for step in range(first, last):
            torch.manual_seed(step)
            loss = networks["discriminator"](torch.rand(2, 3, 16, 16)).square().mean()
            optimizers["discriminator"].zero_grad()
            loss.backward()
            optimizers["discriminator"].step()

    def fresh(seed):
        torch.manual_seed(seed)
        networks = {"discriminator": network(channels=4)}
        return networks, {"discriminator": torch.optim.Adam(networks["discriminator"].parameters(), 1e-2)}

    whole, broken, resumed = fresh(0), fresh(0), fresh(1)
    steps(*whole, 0, 6)
    steps(*broken, 0, 3)
    save_checkpoint(tmp_path / "state", *broken, {"step": 3})
    load_checkpoint(tmp_path / "state", *resumed)
    steps(*resumed, 3, 6)
    wanted, found = (run[0]["discriminator"].state_dict() for run in (whole, resumed))
    assert any(name.endswith("_u") for name in wanted)
    assert all(torch.equal(value, found[name]) for name, value in wanted.items())
