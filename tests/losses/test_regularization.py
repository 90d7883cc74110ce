import pytest
import torch
from torch import nn

from mezzotint.losses import regularization

PENALTIES = [getattr(regularization, name) for name in regularization.__all__]
penalties = pytest.mark.parametrize("penalty", PENALTIES, ids=regularization.__all__)


def linear_discriminator(weight):
    return lambda images: (images * weight).sum((1, 2, 3))


@pytest.mark.parametrize("batch", [1, 3])
def test_closed_forms_on_a_linear_discriminator(batch):
    torch.manual_seed(0)
    weight = torch.randn(3, 5, 4, dtype=torch.float64)
    real, fake = torch.randn(2, batch, 3, 5, 4, dtype=torch.float64)
    norm = weight.square().sum()
    D = linear_discriminator(weight)
    torch.testing.assert_close(regularization.r1(D, real, fake), 0.5 * norm)
    torch.testing.assert_close(regularization.r2(D, real, fake), 0.5 * norm)
    torch.testing.assert_close(regularization.gradient_penalty(D, real, fake), (norm.sqrt() - 1) ** 2)


def test_each_penalty_looks_at_its_own_images():
    def D(images):  # gradient 2x, so the squared norm is 4 |x|^2
        return images.square().sum((1, 2, 3))

    real, fake = torch.full((2, 1, 2, 2), 1.0), torch.full((2, 1, 2, 2), 3.0)
    assert regularization.r1(D, real, fake).item() == pytest.approx(0.5 * 4 * 4)
    assert regularization.r2(D, real, fake).item() == pytest.approx(0.5 * 4 * 36)
    between = regularization.gradient_penalty(D, real, fake)
    assert (2 * 2 - 1) ** 2 < between.item() < (2 * 6 - 1) ** 2


def test_a_map_of_patch_logits_counts_as_its_mean():
    weight = torch.randn(1, 4, 4)

    def patches(images):
        return (images * weight).sum(1, keepdim=True)

    def mean(images):
        return patches(images).mean((1, 2, 3))

    real = torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(regularization.r1(patches, real, real), regularization.r1(mean, real, real))


@penalties
@pytest.mark.parametrize("batch", [1, 2])
def test_a_penalty_trains_the_discriminator_and_not_the_generator(penalty, batch):
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 9, 1), nn.Flatten(0))
    generator = nn.Linear(3, 2 * 5 * 5)
    fake = generator(torch.randn(batch, 3)).view(batch, 2, 5, 5)
    penalty(discriminator, torch.randn(batch, 2, 5, 5), fake).backward()
    assert all(p.grad is not None for name, p in discriminator.named_parameters() if name != "3.bias")
    assert discriminator[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in generator.parameters())


@penalties
def test_labels_are_handed_on(penalty):
    seen = []

    def D(images, labels):
        seen.append(labels)
        return images.sum((1, 2, 3)) * labels

    images, labels = torch.randn(3, 1, 2, 2), torch.tensor([1.0, 2.0, 3.0])
    penalty(D, images, images, labels)
    assert seen == [labels]


@penalties
def test_gradients_stay_finite_where_the_discriminator_is_flat(penalty):
    layer = nn.Linear(4, 1)
    nn.init.zeros_(layer.weight)
    images = torch.randn(2, 1, 2, 2)
    penalty(lambda x: layer(x.flatten(1)).squeeze(1), images, images).backward()
    assert layer.weight.grad.isfinite().all()


def test_the_penalty_gradient_is_right_against_finite_differences():
    torch.manual_seed(0)
    real = torch.randn(2, 1, 3, 3, dtype=torch.float64)
    weight = torch.randn(1, 9, dtype=torch.float64, requires_grad=True)

    def penalty(weight):
        return regularization.r1(lambda x: torch.tanh(x.flatten(1) @ weight.T).squeeze(1), real, real)

    assert torch.autograd.gradcheck(penalty, [weight])


def test_interpolation_follows_torchs_seed():
    def D(images):
        return images.square().sum((1, 2, 3))

    real, fake = torch.zeros(4, 1, 2, 2), torch.ones(4, 1, 2, 2)
    torch.manual_seed(5)
    first = regularization.gradient_penalty(D, real, fake)
    torch.manual_seed(5)
    again = regularization.gradient_penalty(D, real, fake)
    other = regularization.gradient_penalty(D, real, fake)
    assert first == again != other


@penalties
def test_images_that_were_scored_together_pay_what_they_pay_apart(penalty):
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 9, 1)).double()
    labels, real, fake = torch.randn(3, 1).double(), *torch.randn(2, 3, 2, 5, 5).double()
    asked = []

    def D(images, labels):
        asked.append(len(images))
        return discriminator(images) * labels

    scored = regularization.Scored(D, real, fake, labels)
    together, apart = [], []
    for judge, found in ((D, apart), (scored, together)):
        torch.manual_seed(1)
        found.append(penalty(judge, real, fake, labels))
        found += torch.autograd.grad(found[0], list(discriminator.parameters()), allow_unused=True)
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(scored.logits, torch.cat([D(real, labels), D(fake, labels)]))
    # Apart: one pass. Together: the pass over both, and one more only for images between them.
    assert asked[:-2] == ([6, 3, 3] if penalty is regularization.gradient_penalty else [6, 3])


def test_penalties_of_scored_images_share_one_gradient(monkeypatch):
    calls, grad = [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: calls.append(1) or grad(*a, **k))
    real, fake = torch.randn(2, 3, 1, 2, 2)
    scored = regularization.Scored(lambda images: images.square().sum((1, 2, 3)), real, fake)
    assert regularization.r1(scored, real, fake).item() == pytest.approx(2 * real.square().sum().item() / 3)
    assert regularization.r2(scored, real, fake).item() == pytest.approx(2 * fake.square().sum().item() / 3)
    assert len(calls) == 1


@penalties
def test_images_of_a_generator_in_bfloat16_are_punished_too(penalty):
    real, fake = torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4).bfloat16()
    scored = regularization.Scored(lambda images: images.float().square().sum((1, 2, 3)), real, fake)
    assert torch.isfinite(penalty(scored, scored.real, scored.fake))
