"""RLFN's attention looks at the same window everywhere, which a gradient through a maximum cannot show by itself."""

import numpy as np
import torch

from mezzotint.image.tiling import run_tiled
from mezzotint.models.rlfn import RLFN


def test_tiles_equal_the_whole_with_the_halo_and_differ_with_less() -> None:
    torch.manual_seed(0)
    network = RLFN(scale=2, channels=8, num_blocks=1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)

    def run(lr: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(np.ascontiguousarray(lr))).numpy()

    lr = np.random.default_rng(0).random((1, 3, 80, 100), np.float32)
    whole = run(lr)
    np.testing.assert_allclose(run_tiled(run, lr, 2, network.halo, 17), whole, rtol=0, atol=1e-7)
    assert np.abs(run_tiled(run, lr, 2, network.halo - 4, 17) - whole).max() > 1e-6
