"""RLFN: its attention looks at the same window everywhere, which a gradient through a maximum cannot show by itself."""

import numpy as np
import torch
from torch.nn import functional as F

from mezzotint.image.tiling import run_tiled
from mezzotint.models import weights
from mezzotint.models.rlfn import RLFN

SMALL = {"channels": 8, "num_blocks": 1}


def trained(scale: int) -> RLFN:
    torch.manual_seed(0)
    network = RLFN(scale=scale, **SMALL).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network


def test_tiles_equal_the_whole_with_the_halo_and_differ_with_less() -> None:
    network = trained(2)

    def run(lr: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(np.ascontiguousarray(lr))).numpy()

    lr = np.random.default_rng(0).random((1, 3, 80, 100), np.float32)
    whole = run(lr)
    np.testing.assert_allclose(run_tiled(run, lr, 2, network.halo, 17), whole, rtol=0, atol=1e-6)
    assert np.abs(run_tiled(run, lr, 2, network.halo - 6, 17) - whole).max() > 1e-3


def test_another_scale_starts_from_deployed_weights() -> None:
    source, network = trained(4).fused(), RLFN(scale=2, **SMALL).eval()
    weights.adopt(network, source)
    lr = torch.rand(1, 3, 12, 10)
    with torch.inference_mode():
        means = F.avg_pool2d(source(lr) - source.skip(lr), 2)
        torch.testing.assert_close(network(lr) - network.skip(lr), means, rtol=1e-4, atol=1e-4)
