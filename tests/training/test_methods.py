"""One step of each method, and which gradients reach which network in it."""

import math

import pytest
import torch

from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.errors import UsageError
from mezzotint.losses import adversarial, consistency, pixel, regularization
from mezzotint.models import dcgan, r3gan, srgan_discriminator
from mezzotint.models.compact import Compact
from mezzotint.models.patch_discriminator import PatchDiscriminator
from mezzotint.models.unet_discriminator import UNetDiscriminator
from mezzotint.models.weights import save
from mezzotint.training.distillation import Distillation
from mezzotint.training.gan import GAN
from mezzotint.training.regression import Regression
from mezzotint.training.srgan import SRGAN


class Recorder:
    """In place of the loop's `update`: keeps the gradient of each loss for every network, and steps nothing."""

    def __init__(self, method, spoil=None):
        self.method, self.spoil, self.losses, self.gradients = method, spoil, {}, {}

    def __call__(self, name, loss):
        if name == self.spoil:
            raise FloatingPointError
        for network in self.method.networks.values():
            network.zero_grad()
        loss.backward()
        self.losses[name] = float(loss.detach())
        self.gradients[name] = {
            part: [None if p.grad is None else p.grad.clone() for p in network.parameters()]
            for part, network in self.method.networks.items()
        }


def reached(gradients):
    return [gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients]


def optimizers(networks):
    return {name: torch.optim.SGD(network.parameters(), 0.1) for name, network in networks.items()}


def gan(**options):
    torch.manual_seed(0)
    networks = {
        "generator": dcgan.Generator(size=(8, 8), channels=4, latent_dim=4),
        "discriminator": dcgan.Discriminator(size=(8, 8), channels=4, batch_norm=False),
    }
    batch = {"real": torch.randn(32, 1, 8, 8).clamp(-1, 1), "labels": torch.zeros(32, dtype=torch.int64)}
    return GAN(networks, optimizers(networks), **options), batch


def srgan(discriminator=None, images=2, **options):
    torch.manual_seed(0)
    networks = {
        "generator": Compact(scale=2, channels=4, num_blocks=1),
        "discriminator": discriminator or srgan_discriminator.SRGANDiscriminator(channels=2, batch_norm=False),
    }
    hr = torch.rand(images, 3, 16, 16)
    batch = {"hr": hr, "lr": torch.nn.functional.avg_pool2d(hr, 2)}
    return SRGAN(networks, optimizers(networks), **{"losses": {"pixel.l1": 1.0}, **options}), batch


def test_regression_minimises_the_weighted_sum_of_its_losses():
    network = Compact(scale=2, channels=4, num_blocks=1)
    method = Regression({"generator": network}, {}, {"pixel.l1": 2.0, "pixel.mse": 0.5})
    batch = {"lr": torch.rand(1, 3, 5, 6), "hr": torch.rand(1, 3, 10, 12)}
    record = Recorder(method)
    scalars = method.step(batch, record)
    sr = network(batch["lr"])
    expected = 2 * pixel.l1(sr, batch["hr"]) + 0.5 * pixel.mse(sr, batch["hr"])
    assert record.losses["generator"] == pytest.approx(float(expected.detach()), rel=1e-6)
    assert scalars.keys() == {"pixel.l1", "pixel.mse"} and all(reached(record.gradients["generator"]["generator"]))


@pytest.mark.parametrize("make", [gan, srgan])
def test_each_update_reaches_its_own_network_alone(make):
    method, batch = make()
    record = Recorder(method)
    method.step(batch, record)
    assert list(record.gradients) == ["discriminator", "generator"]
    for name, gradients in record.gradients.items():
        other = "generator" if name == "discriminator" else "discriminator"
        assert any(reached(gradients[name])) and not any(reached(gradients[other])), name


def test_the_generator_gets_the_gradient_of_its_half_of_the_game():
    method, batch = gan(game="adversarial.hinge")
    record = Recorder(method)
    torch.manual_seed(5)
    scalars = method.step(batch, record)
    torch.manual_seed(5)
    torch.randn(32, 4)  # the noise of the discriminator's step
    fake = method.generator(torch.randn(32, 4))
    loss = adversarial.hinge.generator(torch.zeros(32), method.discriminator(fake))
    expected = torch.autograd.grad(loss, list(method.generator.parameters()))
    for gradient, wanted in zip(record.gradients["generator"]["generator"], expected, strict=True):
        assert torch.allclose(gradient, wanted, atol=1e-6)
    assert float(scalars["generator"].detach()) == pytest.approx(float(loss.detach()), rel=1e-5)


@pytest.mark.parametrize("game", adversarial.__all__)
def test_the_generator_of_srgan_gets_the_gradient_of_its_half_of_the_game(game):
    """With pixel losses of weight 0 nothing else moves it."""
    method, batch = srgan(game=f"adversarial.{game}", losses={"pixel.l1": 0.0}, adversarial=2.0)
    record = Recorder(method)
    method.step(batch, record)
    real, sr = batch["hr"] * 2 - 1, method.generator(batch["lr"]) * 2 - 1
    half = getattr(adversarial, game).generator
    loss = 2 * half(method.discriminator(real), method.discriminator(sr))
    expected = torch.autograd.grad(loss, list(method.generator.parameters()))
    for gradient, wanted in zip(record.gradients["generator"]["generator"], expected, strict=True):
        assert torch.allclose(gradient, wanted, rtol=1e-4, atol=1e-8)
    assert any(reached(record.gradients["generator"]["generator"]))
    before = [parameter.clone() for parameter in method.generator.parameters()]
    method.optimizers["generator"].step()
    assert any(not torch.equal(a, b) for a, b in zip(before, method.generator.parameters(), strict=True))


def test_every_term_of_srgan_counts_by_its_weight():
    method, batch = srgan(
        losses={"pixel.l1": 0.5}, consistency={"consistency.mse": 3.0}, perceptual={"weight": 0.25}, adversarial=0.1
    )
    record = Recorder(method)
    torch.manual_seed(0)  # decides which part of the images the perceptual term sees
    scalars = {name: float(value.detach()) for name, value in method.step(batch, record).items()}
    sr = method.generator(batch["lr"]).detach()
    assert scalars["pixel.l1"] == pytest.approx(float(pixel.l1(sr, batch["hr"])), rel=1e-5)
    assert scalars["consistency.mse"] == pytest.approx(float(consistency.mse(sr, batch["lr"])), rel=1e-5)
    torch.manual_seed(0)
    assert scalars["perceptual"] == pytest.approx(float(method.perceptual(sr, batch["hr"])), rel=1e-4) and len(
        method.sources
    )
    terms = {"pixel.l1": 0.5, "consistency.mse": 3.0, "perceptual": 0.25, "adversarial": 0.1}
    expected = sum(weight * scalars[name] for name, weight in terms.items())
    assert record.losses["generator"] == pytest.approx(expected, rel=1e-5)


def test_penalties_refuse_a_discriminator_that_mixes_images():
    mixing, penalties = srgan_discriminator.SRGANDiscriminator(channels=2), {"regularization.r1": 1.0}
    with pytest.raises(UsageError, match=r"regularization\.r1 .* batch norm: set discriminator\.batch_norm to false"):
        srgan(mixing, penalties=penalties)
    method, batch = srgan(mixing)
    method.step(batch, lambda name, loss: loss.backward())
    networks = {"generator": dcgan.Generator(size=(16, 16)), "discriminator": dcgan.Discriminator(size=(16, 16))}
    with pytest.raises(UsageError, match="batch norm"):
        GAN(networks, optimizers(networks), penalties=penalties)


@pytest.mark.parametrize(("game", "passes"), [("relativistic", [4, 2, 2]), ("non_saturating", [4, 2])])
def test_a_step_asks_the_discriminator_no_more_than_it_must(game, passes):
    """Real and made at once, where penalties are free; the generator's half of most games does not look at real images."""
    penalties = {"regularization.r1": 1.0, "regularization.r2": 1.0}
    method, batch = srgan(game=f"adversarial.{game}", penalties=penalties)
    seen = []
    method.discriminator.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    method.step(batch, Recorder(method))
    assert seen == passes


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_shared_passes_give_the_gradient_of_separate_ones(share):
    penalties = {"regularization.r1": 3.0, "regularization.r2": 2.0, "regularization.gradient_penalty": 0.5}
    method, batch = srgan(images=32, penalties=penalties, penalty_share=share)
    record = Recorder(method)
    torch.manual_seed(3)
    method.step(batch, record)
    torch.manual_seed(3)
    method.discriminator.requires_grad_(True)
    D, real, fake = method.discriminator, batch["hr"] * 2 - 1, method.generator(batch["lr"]).detach() * 2 - 1
    loss = adversarial.relativistic.discriminator(D(real), D(fake))
    count = round(share * 32)
    for name, weight in penalties.items():
        loss = loss + weight * getattr(regularization, name.partition(".")[2])(D, real[:count], fake[:count])
    assert record.losses["discriminator"] == pytest.approx(float(loss.detach()), rel=1e-5)
    expected = torch.autograd.grad(loss, list(D.parameters()), allow_unused=True)
    for gradient, wanted in zip(record.gradients["discriminator"]["discriminator"], expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("network", [UNetDiscriminator, PatchDiscriminator])
def test_spectral_norm_goes_with_penalties(network):
    """Every weight is found by the second derivative, and stays of norm 1 as it is used."""
    method, batch = srgan(network(channels=4), penalties={"regularization.r1": 1.0, "regularization.r2": 1.0})
    for _ in range(12):
        record = Recorder(method)
        method.step(batch, record)
        method.optimizers["discriminator"].step()
    gradients = record.gradients["discriminator"]["discriminator"]
    names = [name for name, _ in method.discriminator.named_parameters()]
    idle = [name for name, moved in zip(names, reached(gradients), strict=True) if not moved]
    # The last bias shifts real and made alike, which this game does not see.
    assert all(name.endswith("bias") for name in idle) and len(idle) <= 1
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)
    normed = [m for m in method.discriminator.modules() if hasattr(m, "parametrizations")]
    norms = [float(torch.linalg.matrix_norm(m.weight.detach().flatten(1), 2)) for m in normed]
    assert len(norms) >= 5 and norms == pytest.approx([1.0] * len(norms), abs=0.2)


def test_srgan_adds_the_weighted_game_to_the_pixel_losses():
    plain, batch = srgan(adversarial=0.0)
    weighted, _ = srgan(adversarial=0.3)
    records = []
    for method in (plain, weighted):
        records.append(Recorder(method))
        scalars = method.step(batch, records[-1])
    difference = records[1].losses["generator"] - records[0].losses["generator"]
    assert difference == pytest.approx(0.3 * float(scalars["adversarial"].detach()), rel=1e-4)
    pairs = zip(*(record.gradients["generator"]["generator"] for record in records), strict=True)
    assert any(not torch.allclose(a, b) for a, b in pairs)


@pytest.mark.parametrize("make", [gan, srgan])
def test_penalties_add_their_weight_to_the_discriminators_loss(make):
    without, batch = make()
    with_penalty, _ = make(penalties={"regularization.r1": 10.0, "regularization.r2": 5.0})
    records = []
    for method in (without, with_penalty):
        torch.manual_seed(7)
        records.append(Recorder(method))
        scalars = method.step(batch, records[-1])
    penalty = 10 * scalars["regularization.r1"] + 5 * scalars["regularization.r2"]
    assert float(penalty.detach()) > 0
    difference = records[1].losses["discriminator"] - records[0].losses["discriminator"]
    assert difference == pytest.approx(float(penalty.detach()), rel=1e-3, abs=1e-6)
    pairs = zip(*(record.gradients["discriminator"]["discriminator"] for record in records), strict=True)
    assert any(a is not None and not torch.allclose(a, b) for a, b in pairs)


@pytest.mark.parametrize("make", [gan, lambda **options: srgan(images=32, **options)], ids=["gan", "srgan"])
@pytest.mark.parametrize(("share", "images"), [(1.0, 32), (0.75, 24), (0.1, 16)])
def test_a_share_of_the_batch_of_at_least_sixteen_pays_the_penalty(make, share, images, monkeypatch):
    seen = []

    def counted(discriminator, real, fake, *labels):
        seen.append({len(real), len(fake), *map(len, labels)})
        return real.new_zeros(())

    monkeypatch.setattr(regularization, "r1", counted)
    method, batch = make(penalties={"regularization.r1": 1.0}, penalty_share=share)
    method.step(batch, Recorder(method))
    assert seen == [{images}]


@pytest.mark.parametrize("make", [gan, srgan])
@pytest.mark.parametrize("spoilt", ["discriminator", "generator"])
def test_the_step_after_one_that_broke_off_trains_both_again(make, spoilt):
    """The loop breaks a step off where a loss is not finite; the discriminator is frozen then in the second half."""
    method, batch = make()
    with pytest.raises(FloatingPointError):
        method.step(batch, Recorder(method, spoil=spoilt))
    record = Recorder(method)
    method.step(batch, record)
    assert any(reached(record.gradients["discriminator"]["discriminator"]))
    assert any(reached(record.gradients["generator"]["generator"]))


def test_the_discriminator_of_srgan_sees_images_from_minus_one_to_one():
    method, batch = srgan()
    seen = []
    method.discriminator.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    method.step(batch, Recorder(method))
    real = batch["hr"] * 2 - 1
    assert any(torch.allclose(images, real) for images in seen)


def test_a_conditional_gan_hands_labels_to_both_networks():
    torch.manual_seed(0)
    networks = {
        "generator": dcgan.Generator(size=(8, 8), channels=4, latent_dim=4, num_classes=3),
        "discriminator": dcgan.Discriminator(size=(8, 8), channels=4, num_classes=3, batch_norm=False),
    }
    method = GAN(networks, optimizers(networks))
    batch = {"real": torch.randn(6, 1, 8, 8), "labels": torch.tensor([0, 2] * 3)}
    record = Recorder(method)
    scalars = method.step(batch, record)
    assert all(math.isfinite(float(value.detach())) for value in scalars.values())
    for name, network in networks.items():
        index = [key for key, _ in network.named_parameters()].index("embedding.weight")
        rows = record.gradients[name][name][index].abs().sum(1)
        assert rows[0] > 0 and rows[1] == 0 and rows[2] > 0, name


def test_a_classifier_learns_from_real_images_and_the_generator_from_what_it_says_of_its_own():
    torch.manual_seed(0)
    sizes = {"size": (8, 8), "widths": (4,), "num_classes": 3}
    networks = {
        "generator": r3gan.Generator(**sizes, latent_dim=4),
        "discriminator": r3gan.Discriminator(**sizes, classifier=True),
    }
    method = GAN(networks, optimizers(networks), classify=0.5)
    batch = {"real": torch.randn(6, 1, 8, 8), "labels": torch.tensor([0, 1, 2] * 2)}
    record = Recorder(method)
    scalars = {name: float(value.detach()) for name, value in method.step(batch, record).items()}
    assert record.losses["discriminator"] == pytest.approx(
        scalars["discriminator"] + 0.5 * scalars["real_classes"], rel=1e-5
    )
    assert record.losses["generator"] == pytest.approx(
        scalars["generator"] + 0.5 * scalars["generated_classes"], rel=1e-5
    )
    _, classes = networks["discriminator"].requires_grad_(True).classified(batch["real"], batch["labels"])
    assert scalars["real_classes"] == pytest.approx(
        float(torch.nn.functional.cross_entropy(classes, batch["labels"]).detach()), rel=1e-4
    )
    weights = list(networks["discriminator"].classifier.parameters())
    expected = torch.autograd.grad(0.5 * torch.nn.functional.cross_entropy(classes, batch["labels"]), weights)
    names = [name for name, _ in networks["discriminator"].named_parameters()]
    for name, wanted in zip(("classifier.weight", "classifier.bias"), expected, strict=True):
        # Of real images alone: generated ones do not teach it.
        got = record.gradients["discriminator"]["discriminator"][names.index(name)]
        assert torch.allclose(got, wanted, atol=1e-6)
    assert all(gradient is not None for gradient in record.gradients["generator"]["generator"])


@pytest.fixture
def teacher(tmp_path):
    torch.manual_seed(4)
    network = Compact(scale=2, channels=4, num_blocks=2, reparameterized=False)
    arguments = {**network.arguments, "reparameterized": False}
    card = Card("teacher", SUPER_RESOLUTION, "compact.Compact", arguments, scale=2, halo=network.halo)
    save(network, card, tmp_path / "teacher.safetensors")
    return str(tmp_path / "teacher.safetensors"), network


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_student_is_pulled_to_the_truth_and_to_its_teacher(teacher, share):
    path, network = teacher
    student = Compact(scale=2, channels=4, num_blocks=1)
    method = Distillation({"generator": student}, {}, {"pixel.l1": 2.0}, teacher=path, share=share)
    batch = {"lr": torch.rand(1, 3, 5, 6), "hr": torch.rand(1, 3, 10, 12)}
    record = Recorder(method)
    method.step(batch, record)
    sr = student(batch["lr"])
    truth, taught = pixel.l1(sr, batch["hr"]), pixel.l1(sr, network(batch["lr"]))
    expected = 2 * ((1 - share) * truth + share * taught)
    assert record.losses["generator"] == pytest.approx(float(expected.detach()), rel=1e-5)
    gradients = torch.autograd.grad(expected, list(student.parameters()))
    for gradient, wanted in zip(record.gradients["generator"]["generator"], gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)
    assert all(parameter.grad is None for parameter in method.teacher.parameters()) and not method.teacher.training
    assert len(method.sources["teacher"]) == 64


def test_a_teacher_that_does_not_fit_is_told(teacher):
    path, _ = teacher
    with pytest.raises(UsageError, match=r"of scale 2 for 3 channels, the student is super-resolution of scale 4"):
        Distillation({"generator": Compact(scale=4)}, {}, {"pixel.l1": 1.0}, teacher=path)
    with pytest.raises(UsageError, match="bicubic-x2 has no weights to learn from"):
        Distillation({"generator": Compact(scale=2)}, {}, {"pixel.l1": 1.0}, teacher="bicubic-x2")
    with pytest.raises(UsageError, match="between 0 and 1"):
        Distillation({"generator": Compact(scale=2)}, {}, {"pixel.l1": 1.0}, teacher=path, share=1.5)


def test_the_discriminator_sees_all_images_augmented_and_penalties_ask_for_the_gradient_before_that(monkeypatch):
    # In place of random contrast, a factor of 2: then D' = D(2x), and the gradient by x is twice the one by 2x.
    monkeypatch.setattr("mezzotint.data.differentiable.contrast", lambda images: 2 * images)
    method, batch = gan(penalties={"regularization.r1": 1.0}, augment=["contrast"])
    method.dials["augment"] = 1.0
    doubled = method.step(batch, Recorder(method))
    discriminator = method.discriminator.requires_grad_(True)
    by_hand = regularization.r1(lambda x, y: discriminator(2 * x, y), batch["real"], batch["real"], batch["labels"])
    assert float(doubled["regularization.r1"].detach()) == pytest.approx(float(by_hand.detach()), rel=1e-4)
    assert float(doubled["real_logits"].detach()) == pytest.approx(
        float(discriminator(2 * batch["real"]).mean().detach()), rel=1e-4
    )


def test_dials_scale_penalties():
    losses = {}
    for factor in (0.0, 3.0):
        method, batch = gan(penalties={"regularization.r1": 100.0})
        method.dials["penalties"] = factor
        record = Recorder(method)
        losses[factor] = method.step(batch, record) | record.losses
    expected = losses[0.0]["discriminator"] + 300 * float(losses[0.0]["regularization.r1"])
    assert losses[3.0]["discriminator"] == pytest.approx(expected, rel=1e-5)


def test_augmentation_adapts_to_held_out_images():
    method, batch = gan(augment=["brightness"], adaptive=0.1)
    batch |= {"held_out": -batch["real"], "held_out_labels": batch["labels"]}
    scalars = method.step(batch, Recorder(method))
    with torch.no_grad():
        expected = method.discriminator(batch["held_out"]).mean()
    assert float(scalars["held_out_logits"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(method.adaptive.count) == 1 and "adaptive" in method.networks
