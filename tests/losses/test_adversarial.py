import math

import pytest
import torch
from torch import nn

from mezzotint.losses import adversarial
from mezzotint.refs import resolve

GAMES = {name: getattr(adversarial, name) for name in adversarial.__all__}
games = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES.keys())


@pytest.mark.parametrize("name", GAMES)
def test_a_recipe_can_name_the_game(name):
    game = resolve(f"adversarial.{name}", "losses")
    assert isinstance(game, adversarial.Game)


@games
def test_both_halves_are_finite_scalars_at_extreme_logits(game):
    for real_value in (1e4, -1e4):
        for fake_value in (1e4, -1e4):
            real = torch.full((3,), real_value, requires_grad=True)
            fake = torch.full((3,), fake_value, requires_grad=True)
            for half in game:
                loss = half(real, fake)
                assert loss.shape == () and loss.isfinite()
                gradients = torch.autograd.grad(loss, [real, fake], allow_unused=True)
                assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


@games
def test_the_discriminator_wants_real_above_fake(game):
    real, fake = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    of_real, of_fake = torch.autograd.grad(game.discriminator(real, fake), [real, fake])
    assert (of_real <= 0).all() and (of_fake >= 0).all() and (of_fake - of_real > 0).all()


@games
def test_the_generator_wants_its_images_above(game):
    real, fake = torch.zeros(4), torch.zeros(4, requires_grad=True)
    (of_fake,) = torch.autograd.grad(game.generator(real, fake), [fake])
    assert (of_fake < 0).all()


@games
def test_gradient_reaches_every_generator_parameter_through_a_discriminator(game):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 12))
    discriminator = nn.Sequential(nn.Linear(12, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Flatten(0))
    game.generator(discriminator(torch.randn(6, 12)), discriminator(generator(torch.randn(6, 5)))).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in generator.parameters())


@games
def test_patch_maps_count_like_as_many_images(game):
    torch.manual_seed(1)
    real, fake = torch.randn(2, 1, 3, 4), torch.randn(2, 1, 3, 4)
    for half in game:
        torch.testing.assert_close(half(real, fake), half(real.flatten(), fake.flatten()))


# Value of (discriminator, generator) when D cannot tell (all logits 0), and at a margin of 100 with D right.
CLOSED_FORMS = {
    "minimax": ((2 * math.log(2), -math.log(2)), (0, 0)),
    "non_saturating": ((2 * math.log(2), math.log(2)), (0, 100)),
    "least_squares": ((0.5, 0.5), (0.5 * 99**2 + 0.5 * 100**2, 0.5 * 101**2)),
    "hinge": ((2, 0), (0, 100)),
    "wasserstein": ((0, 0), (-200, 100)),
    "relativistic": ((math.log(2), math.log(2)), (0, 200)),
}


@pytest.mark.parametrize("name", GAMES)
def test_values_at_balance_and_when_the_discriminator_has_won(name):
    at_balance, at_margin = CLOSED_FORMS[name]
    zeros, far = torch.zeros(5, dtype=torch.float64), torch.full((5,), 100.0, dtype=torch.float64)
    assert [float(half(zeros, zeros)) for half in GAMES[name]] == pytest.approx(at_balance)
    assert [float(half(far, -far)) for half in GAMES[name]] == pytest.approx(at_margin, abs=1e-12)


def test_stable_forms_equal_the_papers_equations():
    torch.manual_seed(2)
    real, fake = torch.randn(2, 7, dtype=torch.float64)
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    value = d_real.log().mean() + (1 - d_fake).log().mean()
    torch.testing.assert_close(adversarial.minimax.discriminator(real, fake), -value)
    torch.testing.assert_close(adversarial.minimax.generator(real, fake), (1 - d_fake).log().mean())
    torch.testing.assert_close(adversarial.non_saturating.generator(real, fake), -d_fake.log().mean())


def test_only_the_pairing_matters_to_the_relativistic_game():
    real, fake = torch.tensor([3.0, -1.0]), torch.tensor([1.0, 2.0])
    for half in adversarial.relativistic:
        torch.testing.assert_close(half(real + 50, fake + 50), half(real, fake))
