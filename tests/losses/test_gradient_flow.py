"""Every loss gives a finite gradient to what it should pull, and none to what it should leave.

The losses are those of the folder, so a new one is tested here or fails here.
"""

import pytest
import torch
from torch import nn

from mezzotint import refs
from mezzotint.losses import consistency, pixel

LOSSES = sorted(
    f"{module}.{name}"
    for module in refs.modules("losses")
    for name in refs.public(__import__(f"mezzotint.losses.{module}", fromlist=["__all__"]))
)

# The shapes of what a distance of each module is called with.
IMAGE, SMALL, FEATURES = (2, 3, 8, 12), (2, 3, 4, 6), (2, 5, 4, 6)
KINDS = {"pixel": (IMAGE, IMAGE), "consistency": (IMAGE, SMALL), "perceptual": (FEATURES, FEATURES)}
HEADS = {"perceptual.lpips": torch.rand(5, generator=torch.Generator().manual_seed(9))}


def tensor(shape, seed, scale=1.0):
    return (scale * torch.rand(shape, generator=torch.Generator().manual_seed(seed))).requires_grad_()


def test_every_loss_belongs_to_a_kind_that_is_tested_here():
    assert {name.partition(".")[0] for name in LOSSES} == {*KINDS, "adversarial", "regularization"}
    assert len(LOSSES) >= 17


@pytest.mark.parametrize("name", [name for name in LOSSES if name.partition(".")[0] in KINDS])
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_a_distance_pulls_the_first_towards_the_second(name, scale):
    inputs = KINDS[name.partition(".")[0]]
    (first, target), loss = (
        (tensor(shape, seed, scale) for seed, shape in enumerate(inputs)),
        refs.resolve(name, "losses"),
    )
    extra = (HEADS[name],) if name in HEADS else ()
    value = loss(first, target, *extra)
    assert value.shape == () and value.isfinite() and value > 0
    value.backward()
    assert first.grad.isfinite().all() and (first.grad != 0).float().mean() > 0.99
    # A small step against the gradient makes it smaller.
    with torch.no_grad():
        nearer = first - 1e-2 * scale * first.grad / first.grad.norm()
        assert loss(nearer, target, *extra) < value


@pytest.mark.parametrize("name", [name for name in LOSSES if name.startswith("adversarial")])
def test_both_halves_of_a_game_reach_what_they_play_with(name):
    game = refs.resolve(name, "losses")
    for player, half in zip(("discriminator", "generator"), game, strict=True):
        real, fake = tensor((6,), 0), tensor((6,), 1)
        half(real, fake).backward()
        assert fake.grad.isfinite().all() and (fake.grad != 0).all(), player
        if player == "discriminator":
            assert real.grad.isfinite().all() and (real.grad != 0).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name.startswith("regularization")])
def test_a_penalty_reaches_the_discriminator_alone(name):
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Conv2d(4, 1, 3))
    generator = nn.Conv2d(3, 3, 1)
    refs.resolve(name, "losses")(discriminator, tensor((2, 3, 8, 8), 0), generator(tensor((2, 3, 8, 8), 1))).backward()
    # The last bias only shifts scores, which no gradient by pixels can see.
    gradients = [parameter.grad for parameter in discriminator.parameters()][:-1]
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients)
    assert all(parameter.grad is None for parameter in generator.parameters())


@pytest.mark.parametrize("loss", [consistency.l1, pixel.l1])
def test_a_target_may_be_the_image_itself(loss):
    image = torch.rand(1, 3, 8, 8, requires_grad=True)
    value = loss(image, image.detach())
    value.backward()
    assert image.grad.isfinite().all()
