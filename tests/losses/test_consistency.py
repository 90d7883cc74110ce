import numpy as np
import pytest
import torch

from mezzotint.image.resize import imresize, matrix
from mezzotint.losses import consistency


@pytest.mark.parametrize(("scale", "size"), [(2, (9, 7)), (3, (5, 8)), (4, (6, 11))])
def test_the_reduction_is_matlabs_with_its_borders(scale, size):
    random = torch.Generator().manual_seed(0)
    sr = torch.rand(2, 3, size[0] * scale, size[1] * scale, generator=random, dtype=torch.float64)
    lr = imresize(sr, 1 / scale)
    assert float(consistency.l1(sr, lr.float())) < 1e-6
    off = lr.float() + 0.01
    assert float(consistency.l1(sr, off)) == pytest.approx(0.01, rel=1e-3)
    assert float(consistency.mse(sr, off)) == pytest.approx(1e-4, rel=1e-3)  # 40 dB


def test_the_matrix_is_imresize_on_any_values():
    values = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_allclose(matrix(20, 5) @ values, imresize(values, size=(5, 3)), atol=1e-12)
    np.testing.assert_allclose(matrix(5, 20).sum(1), 1)


def test_a_bfloat16_step_computes_it_in_float32():
    sr = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    lr = imresize(sr.double(), 0.25).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert float(consistency.l1(sr, lr)) < 1e-6


def test_the_gradient_is_right_against_finite_differences():
    sr = torch.rand(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    lr = torch.rand(1, 1, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: consistency.mse(x, lr), [sr], eps=1e-3, atol=1e-4)
