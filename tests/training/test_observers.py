"""What is looked at during training."""

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint.data.images import ImageSet
from mezzotint.models import r3gan
from mezzotint.recipes import model
from mezzotint.training import observers

CPU = torch.device("cpu")


class Repeat(torch.nn.Module):
    """The simplest x4 network: repeats pixels."""

    def forward(self, lr):
        return lr.repeat_interleave(4, 2).repeat_interleave(4, 3)


def validation(*shapes, fill=None):
    images, random = ImageSet(1 << 30), np.random.default_rng(0)
    for index, shape in enumerate(shapes):
        pixels = (
            random.integers(0, 256, (*shape, 3), np.uint8) if fill is None else np.full((*shape, 3), fill, np.uint8)
        )
        images.append(pixels, str(index))
    return images


def test_validation_looks_at_few_images_of_bounded_size_and_draws_a_sheet(tmp_path):
    images, sizes = validation(*[(41, 50)] * 40, (24, 1500)), []
    network = Repeat()
    network.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[2:])))
    metrics, score = observers.super_resolution(tmp_path, images, 4, CPU)(network, 12)
    assert len(sizes) == 16 and set(sizes) == {(40, 48), (24, 1024)}
    assert metrics["psnr_y"] == pytest.approx(score, abs=1e-4) and network.training
    assert Image.open(tmp_path / "00000012.png").size[0] > 3 * 48


def test_one_flawless_image_does_not_hide_all_others(tmp_path):
    flat, noise = validation((16, 16), fill=255), validation((16, 16), (16, 16))
    both = validation((16, 16), fill=255)
    both.append(noise[0], "noise")
    scores = [observers.super_resolution(tmp_path, images, 4, CPU)(Repeat(), 1)[1] for images in (flat, both)]
    assert scores[0] == 100 and 50 < scores[1] < 70


@pytest.mark.parametrize("classes", [0, 3])
def test_samples_of_a_generator_are_the_same_noise_every_time(tmp_path, classes):
    recipe = model.read("fashion-28", [f"generator.num_classes={classes}", f"discriminator.num_classes={classes}"])
    network = r3gan.Generator(size=(9, 7), widths=(4,), blocks_per_stage=1, latent_dim=4, num_classes=classes)
    observe = observers.generation(tmp_path, recipe, CPU)
    for step in (1, 2):
        metrics, score = observe(network, step)
    assert score is None and metrics["contrast"] > 0 and network.training
    assert (tmp_path / "00000001.png").read_bytes() == (tmp_path / "00000002.png").read_bytes()


def test_validation_takes_the_twins_where_there_are_some_and_crops_both_sides_alike(tmp_path):
    images = validation((4 * 261, 4 * 30))
    images.twins = ImageSet(1 << 30)
    images.twins.append(np.ascontiguousarray(images[0][::4, ::4]), "0")
    seen = []

    class Answer(Repeat):
        def forward(self, lr):
            seen.append(lr)
            return super().forward(lr)

    observers.super_resolution(tmp_path, images, 4, CPU)(Answer(), 1)
    # 256 of 261 rows, from the third on.
    assert np.array_equal(np.rint(seen[0][0].numpy() * 255).transpose(1, 2, 0), images[0][8 : 8 + 1024 : 4, ::4])
    hr, lr = observers._middle_of_pair(images[0], images.twins[0], 256)
    assert hr.shape == (1024, 120, 3) and np.array_equal(hr[::4, ::4], lr)


def test_a_network_that_learns_texture_is_not_judged_by_psnr(tmp_path):
    images = validation((24, 24))
    judged, noted = (
        observers.super_resolution(tmp_path, images, 4, CPU, judge=judge)(Repeat(), 1) for judge in (True, False)
    )
    assert judged[0] == noted[0] and judged[1] is not None and noted[1] is None
