import math

import pytest
import torch

from mezzotint import refs
from mezzotint.losses import pixel

SR = torch.tensor([[[[0.0, 0.5], [1.0, 0.25]]]])
HR = torch.tensor([[[[0.0, 0.0], [0.5, 0.5]]]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("l1", 1.25 / 4),
        ("mse", 0.5625 / 4),
        ("charbonnier", (1e-3 + 2 * math.sqrt(0.25 + 1e-6) + math.sqrt(0.0625 + 1e-6)) / 4),
    ],
)
def test_known_values(name, expected):
    assert float(getattr(pixel, name)(SR, HR)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", refs.public(pixel))
def test_every_pixel_loss_is_least_for_equal_images_and_pulls_towards_the_original(name):
    loss = getattr(pixel, name)
    assert float(loss(HR, HR)) <= 1.001e-3 < float(loss(SR, HR))
    sr = SR.clone().requires_grad_()
    loss(sr, HR).backward()
    assert torch.equal(torch.sign(sr.grad)[SR != HR], torch.sign(SR - HR)[SR != HR])
    assert torch.isfinite(sr.grad).all()


@pytest.mark.parametrize("name", refs.public(pixel))
def test_every_pixel_loss_is_a_mean_over_all_elements(name):
    loss = getattr(pixel, name)
    assert float(loss(SR.repeat(3, 2, 1, 1), HR.repeat(3, 2, 1, 1))) == pytest.approx(float(loss(SR, HR)), rel=1e-6)


def test_charbonnier_is_smooth_where_l1_has_its_kink():
    sr = HR.clone().requires_grad_()
    pixel.charbonnier(sr, HR).backward()
    assert float(sr.grad.abs().max()) == 0
