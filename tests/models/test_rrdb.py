"""RRDB on folded images: blocks of pixels, exact at every side, tiled where blocks begin."""

import pytest
import torch

from mezzotint.image.tiling import run_tiled
from mezzotint.models.rrdb import RRDB

FOLDED = [(1, 4), (2, 2), (1, 2)]
SMALL = {"channels": 4, "num_blocks": 1, "growth": 2}


def trained(scale, unshuffle, **options):
    torch.manual_seed(0)
    network = RRDB(scale, unshuffle=unshuffle, **SMALL | options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.double().eval()


@pytest.mark.parametrize(("scale", "unshuffle"), FOLDED)
def test_the_halo_is_how_far_any_pixel_of_a_block_looks(scale, unshuffle):
    network = trained(scale, unshuffle)
    start = -(-network.halo // unshuffle) * unshuffle
    side = start + unshuffle + network.halo
    lr = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    sr, furthest = network(lr), 0
    for pixel in (start, start + unshuffle - 1):
        block = slice(pixel * scale, (pixel + 1) * scale)
        enlarged = sr[..., block, block]
        (gradient,) = torch.autograd.grad((enlarged * torch.randn_like(enlarged)).sum(), lr, retain_graph=True)
        rows, columns = gradient.abs().sum((0, 1)).nonzero(as_tuple=True)
        furthest = max(furthest, int((rows - pixel).abs().max()), int((columns - pixel).abs().max()))
    assert furthest == network.halo


@pytest.mark.parametrize(("scale", "unshuffle"), FOLDED)
@pytest.mark.parametrize("size", [(1, 1), (5, 8), (7, 3)])
def test_sides_need_not_be_whole_blocks(scale, unshuffle, size):
    network = trained(scale, unshuffle)
    lr = torch.rand(2, 3, *size, dtype=torch.float64)
    filled = lr
    for side, axis in zip(size, (2, 3), strict=True):
        last = filled.narrow(axis, filled.shape[axis] - 1, 1)
        filled = torch.cat([filled, *[last] * (-side % unshuffle)], axis)
    with torch.no_grad():
        sr = network(lr)
        assert sr.shape == (2, 3, size[0] * scale, size[1] * scale)
        torch.testing.assert_close(sr, network(filled)[..., : sr.shape[2], : sr.shape[3]])


@pytest.mark.parametrize(("scale", "unshuffle"), [(1, 4), (2, 2)])
@pytest.mark.parametrize("tile", [9, 16])
def test_tiles_that_begin_where_blocks_do_are_exact(scale, unshuffle, tile):
    network = trained(scale, unshuffle)

    def run(part):
        with torch.no_grad():
            return network(torch.from_numpy(part)).numpy()

    image = torch.rand(1, 3, 2 * network.halo + 45, 2 * network.halo + 26, dtype=torch.float64).numpy()
    whole = run(image)
    tiled = run_tiled(run, image, scale, network.halo, tile, network.alignment)
    assert abs(tiled - whole).max() < 1e-12
    assert abs(run_tiled(run, image, scale, network.halo, tile) - whole).max() > 1e-6
