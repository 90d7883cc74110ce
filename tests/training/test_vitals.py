"""What the doctor measures, on generators and discriminators whose faults are known."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from mezzotint.data.images import ImageSet
from mezzotint.models import dcgan
from mezzotint.training.vitals import Vitals

CPU = torch.device("cpu")


def pictures(count, seed, classes=1):
    """Smooth 12 x 12 pictures: a sum of two waves of random direction, phase and colour."""
    random, images = np.random.default_rng(seed), ImageSet(1 << 20)
    y, x = np.mgrid[:12, :12] / 12
    for number in range(count):
        waves = [np.sin(6 * (a * x + b * y) + c) for a, b, c in random.uniform(-1, 1, (2, 3)) * [1, 1, math.pi]]
        image = sum(wave[..., None] * random.uniform(-1, 1, 3) for wave in waves)
        images.append(np.clip(127.5 + 60 * image, 0, 255).astype(np.uint8), f"{seed}-{number}", number % classes)
    return images


def tensor(images):
    pixels = np.stack([images[number] for number in range(len(images))])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


class Shows(nn.Module):
    """A generator of given images, whatever the noise."""

    def __init__(self, images, classes=0):
        super().__init__()
        self.images, self.latent_dim, self.num_classes = images, 4, classes

    def forward(self, z, labels=None):
        return self.images(labels) if callable(self.images) else self.images[: len(z)]


class Knows(nn.Module):
    """A discriminator that gives 1 to some images and 0 to all others."""

    def __init__(self, images):
        super().__init__()
        self.images = images.flatten(1)

    def forward(self, images, labels):
        return (torch.cdist(images.flatten(1), self.images).amin(1) < 0.1).float()


TRAINING, HELD_OUT, NEW = pictures(128, 1), pictures(128, 2), pictures(128, 3)
NOTHING = Knows(torch.full((1, 3, 12, 12), 9.0))


def measure(generator, discriminator=NOTHING, average=None, held_out=HELD_OUT, training=TRAINING):
    return Vitals(training, held_out, 0, CPU).measure(generator, discriminator, average or copy.deepcopy(generator))


def test_new_images_of_the_same_kind_are_healthy():
    reading = measure(Shows(tensor(NEW)))
    assert abs(reading["distance"]) < 0.05 and 0.9 < reading["diversity"] < 1.1
    assert reading["duplicates"] < 0.05 and 0.8 < reading["copies"] < 1.25 and abs(reading["sharpness"]) < 1
    assert reading["average_gap"] == 0 and reading["largest"] <= 1


@pytest.mark.parametrize("held_out", [HELD_OUT, None])
def test_training_images_are_copies_and_held_out_ones_are_not(held_out):
    reading = measure(Shows(tensor(TRAINING)), held_out=held_out)
    assert reading["copies"] == pytest.approx(0, abs=1e-3) and 0.9 < reading["diversity"] < 1.1
    assert measure(Shows(tensor(NEW)), held_out=held_out)["copies"] > 0.7


def test_one_image_again_and_again_has_no_diversity():
    reading = measure(Shows(tensor(NEW)[:1].repeat(128, 1, 1, 1)))
    assert reading["diversity"] == pytest.approx(0, abs=1e-3) and reading["duplicates"] == 1
    few = measure(Shows(tensor(NEW)[:4].repeat(32, 1, 1, 1)))
    assert few["diversity"] > 0.5 and few["duplicates"] == 1


def test_one_image_for_each_class_has_no_diversity_either():
    """Between classes it has; what counts is within them."""
    classes = tensor(NEW)[:4]
    reading = measure(Shows(lambda labels: classes[labels], classes=4), training=pictures(128, 1, classes=4))
    assert reading["diversity"] == pytest.approx(0, abs=1e-3)


def test_noise_is_far_away_and_sharp_and_a_blur_is_neither_diverse_nor_sharp():
    noise = measure(Shows(torch.rand(128, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1))
    assert noise["distance"] > 0.15 and noise["copies"] > 1.5 and noise["sharpness"] > 10
    assert measure(Shows(tensor(NEW) * 0.2))["sharpness"] < -10


def test_a_discriminator_is_measured_by_what_it_puts_first():
    known = measure(Shows(tensor(NEW)), Knows(tensor(TRAINING)))
    assert (known["separation"], known["familiarity"], known["logit_gap"]) == (1, 1, 1)
    able = measure(Shows(tensor(NEW)), Knows(torch.cat([tensor(TRAINING), tensor(HELD_OUT)])))
    assert (able["separation"], able["familiarity"]) == (1, 0.5)
    blind = measure(Shows(tensor(NEW)))
    assert (blind["separation"], blind["logit_gap"]) == (0.5, 0)
    few = HELD_OUT.split(19)[1]
    assert all(measure(Shows(tensor(NEW)), held_out=some)["familiarity"] is None for some in (None, few))


def test_generators_of_texture_are_compared_with_parts_of_pictures():
    whole = ImageSet(1 << 20)
    for seed in range(2):
        whole.append(np.tile(pictures(1, seed)[0], (4, 5, 1)), str(seed))
    vitals = Vitals(*whole.split(1), 0, CPU, crop=(12, 12))
    assert vitals.real.shape == vitals.held_out[0].shape == (128, 3, 12, 12) and len(vitals.searched) == 4096
    assert vitals.measure(Shows(vitals.real), NOTHING, Shows(vitals.real))["distance"] == pytest.approx(0, abs=0.02)


def test_the_average_is_compared_on_the_same_noise():
    network = dcgan.Generator(size=(12, 12), channels=4, latent_dim=4, out_channels=3)
    torch.manual_seed(0)
    other = dcgan.Generator(size=(12, 12), channels=4, latent_dim=4, out_channels=3)
    assert measure(network, average=other)["average_gap"] > 0.01


def test_values_that_are_not_finite_are_none():
    reading = measure(Shows(torch.full((128, 3, 12, 12), math.nan)))
    assert reading["diversity"] is None and reading["distance"] is None and reading["largest"] is None


def test_measuring_changes_nothing_and_says_the_same_again():
    torch.manual_seed(0)
    networks = (
        dcgan.Generator(size=(12, 12), channels=4, latent_dim=4, out_channels=3),
        dcgan.Discriminator(size=(12, 12), channels=4, in_channels=3),
    )
    average = copy.deepcopy(networks[0])
    before = [copy.deepcopy(network.state_dict()) for network in (*networks, average)]
    random, vitals = torch.get_rng_state(), Vitals(TRAINING, HELD_OUT, 0, CPU)
    assert vitals.measure(*networks, average) == vitals.measure(*networks, average)
    for network, state in zip((*networks, average), before, strict=True):
        assert network.training
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
