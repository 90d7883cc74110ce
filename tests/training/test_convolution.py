import pytest
import torch
from torch import nn

from mezzotint.training import convolution
from mezzotint.training.convolution import CheapGradients


@pytest.fixture(autouse=True)
def matrix_units(monkeypatch):
    """What narrow maps gain by is computed alike, and to be right, on every CPU."""
    monkeypatch.setattr(convolution, "_MATRIX_UNITS", True)


def gradients(layers, images, mode):
    """The output, and the gradients by images and weights of a loss that holds the gradient by the images."""
    images = images.clone().requires_grad_()
    with mode:
        made = layers(images)
    (slope,) = torch.autograd.grad(made.tanh().sum(), images, create_graph=True)
    loss = slope.square().sum() + made.square().mean()
    return [made, *torch.autograd.grad(loss, [images, *layers.parameters()])]


@pytest.mark.parametrize(
    ("sides", "how"),
    [
        ((7, 7), {"padding": 1}),
        ((9, 6), {"padding": 1, "bias": False}),
        ((8, 7), {"padding": 1, "stride": 2}),
        ((9, 9), {"padding": 2, "dilation": 2, "groups": 2}),
        ((5, 6), {"padding": "same"}),
        ((6, 5), {"padding": (0, 1), "stride": (2, 1)}),
    ],
    ids=str,
)
def test_values_and_first_and_second_gradients_are_torchs(sides, how):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3, **how), nn.Softplus(), nn.Conv2d(4, 6, 1)).double()
    images = torch.randn(4, 2, *sides, dtype=torch.float64)
    expected = gradients(layers, images, torch.enable_grad())
    for found, wanted in zip(gradients(layers, images, CheapGradients(twice=True)), expected, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("batch", [4, 6, 16])
@pytest.mark.parametrize("twice", [False, True])
def test_narrow_maps_in_bfloat16_have_the_gradients_of_float32(batch, twice):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Softplus(), nn.Conv2d(8, 8, 3, padding=1))
    images = torch.randn(batch, 3, 7, 5)
    expected = gradients(layers, images, torch.enable_grad())
    with torch.autocast("cpu", torch.bfloat16):
        made = gradients(layers, images, CheapGradients(twice))
    for found, wanted in zip(made, expected, strict=True):
        # 8 bits of mantissa, a few layers.
        assert (found - wanted).norm() < 0.03 * wanted.norm()


@pytest.mark.parametrize(
    ("width", "autocast", "twice", "changed"),
    [(7, True, False, True), (7, False, False, False), (12, True, False, False), (12, False, True, True)],
)
def test_only_layers_that_gain_are_changed(width, autocast, twice, changed):
    layer = nn.Conv2d(2, 2, 3, padding=1)

    def name(mode):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast), mode:
            return type(layer(torch.randn(4, 2, 7, width)).grad_fn).__name__

    assert (name(CheapGradients(twice)) != name(torch.enable_grad())) == changed
    assert name(torch.no_grad()) == "NoneType"
    layer.requires_grad_(False)
    assert name(CheapGradients(twice)) == "NoneType"


def test_a_weights_gradient_that_is_to_be_differentiated_is_refused_by_nan():
    layer = nn.Conv2d(2, 2, 3)
    with CheapGradients(twice=True):
        loss = layer(torch.randn(4, 2, 7, 7)).square().sum()
    (found,) = torch.autograd.grad(loss, layer.weight, create_graph=True)
    assert found.isnan().all()


def test_without_matrix_units_narrow_maps_are_torchs(monkeypatch):
    monkeypatch.setattr(convolution, "_MATRIX_UNITS", False)
    with torch.autocast("cpu", torch.bfloat16), CheapGradients():
        made = nn.Conv2d(2, 2, 3, padding=1)(torch.randn(4, 2, 7, 7))
    assert made.grad_fn.name() == "ConvolutionBackward0"
