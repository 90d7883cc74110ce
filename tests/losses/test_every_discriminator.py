"""Every game and every penalty works with every discriminator of models/, with and without labels: one step moves it
by a finite gradient.
"""

import inspect

import pytest
import torch
from torch import nn

from mezzotint import refs

SMALL = {"channels": 4, "widest": 8, "num_blocks": 1, "widths": (6, 4), "size": (16, 20), "batch_norm": False}
GAMES, PENALTIES = (
    [f"{name}.{public}" for public in refs.public(refs_module)]
    for name in ("adversarial", "regularization")
    for refs_module in [__import__(f"mezzotint.losses.{name}", fromlist=["__all__"])]
)


def discriminators():
    """(class, number of classes) of all that models/ names so."""
    for name in refs.modules("models"):
        module = __import__(f"mezzotint.models.{name}", fromlist=["__all__"])
        for public in refs.public(module):
            if public.endswith("Discriminator"):
                network = getattr(module, public)
                for classes in (0, 3) if "num_classes" in inspect.signature(network).parameters else (0,):
                    yield pytest.param(network, classes, id=f"{name}.{public}-{classes}")


EVERY = list(discriminators())


def build(network, classes):
    torch.manual_seed(0)
    names = inspect.signature(network).parameters
    arguments = {key: value for key, value in SMALL.items() if key in names} | {"in_channels": 3}
    built = network(**arguments | ({"num_classes": classes} if classes else {}))
    with torch.no_grad():
        for parameter in built.parameters():  # some begin at zero on purpose
            parameter += 0.1 * torch.randn_like(parameter)
    real, fake = torch.randn(2, 2, 3, 16, 20)
    labels = (torch.tensor([0, 2]),) if classes else ()
    return built, real, fake, labels


def test_there_are_discriminators_of_every_kind():
    assert len(EVERY) >= 12 and len(GAMES) >= 6 and len(PENALTIES) >= 3


@pytest.mark.parametrize(("network", "classes"), EVERY)
def test_every_game_moves_both_players(network, classes):
    built, real, fake, labels = build(network, classes)
    for name in GAMES:
        game = refs.resolve(name, "losses")
        made = fake.clone().requires_grad_()
        built.zero_grad()
        game.discriminator(built(real, *labels), built(made.detach(), *labels)).backward()
        gradients = [parameter.grad for parameter in built.parameters() if parameter.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients), name
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0, name
        game.generator(built(real, *labels), built(made, *labels)).backward()
        assert made.grad.isfinite().all() and made.grad.flatten(1).abs().sum(1).min() > 0, name


@pytest.mark.parametrize(("network", "classes"), EVERY)
def test_every_penalty_can_be_differentiated_twice(network, classes):
    built, real, fake, labels = build(network, classes)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in built.modules())
    for name in PENALTIES:
        built.zero_grad()
        value = refs.resolve(name, "losses")(built, real, fake, *labels)
        value.backward()
        assert value.isfinite() and value > 0, name
        # Every kernel is part of how steep the scores are; biases need not be.
        kernels = [p for p in built.parameters() if p.ndim == 4]
        assert kernels and all(kernel.grad.isfinite().all() and kernel.grad.abs().sum() > 0 for kernel in kernels), name
