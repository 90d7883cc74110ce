import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mezzotint.models import r3gan


def test_a_new_generator_makes_pictures_without_a_grid():
    images = r3gan.Generator(size=(12, 16), widths=(8, 8), out_channels=3)(torch.randn(2, 64))
    assert torch.equal(images[..., ::2, ::2], images[..., 1::2, 1::2]) and images.std() > 0.01


def test_the_last_sum_of_the_discriminator_is_a_convolution_over_the_lowest_resolution():
    discriminator = r3gan.Discriminator(size=(12, 10), widths=(6, 4), in_channels=1).eval()
    seen = {}
    discriminator.project.register_forward_hook(lambda module, inputs, output: seen.update(project=inputs[0]))
    discriminator.stages[-1].register_forward_hook(lambda module, inputs, output: seen.update(features=output))
    discriminator(torch.randn(3, 1, 12, 10))
    kernels = discriminator.gather[:, None]
    convolved = F.conv2d(F.leaky_relu(seen["features"], 0.2), kernels, groups=6).flatten(1)
    assert torch.allclose(seen["project"], convolved, atol=1e-5)


def test_interpolated_at_the_end_no_pixel_knows_whether_its_place_is_odd_or_even():
    torch.manual_seed(0)
    generator = r3gan.Generator(size=(15, 17), widths=(6, 4), shuffle=False).eval()
    with torch.no_grad():
        assert generator(torch.randn(2, 64)).shape == (2, 1, 15, 17)
        # Alike at all places of the last stage, so alike at all pixels, whatever the last convolution has learnt.
        nn.init.normal_(generator.to_image.weight)
        generator.stages[-1].register_forward_hook(lambda module, inputs, output: torch.ones_like(output))
        inner = generator(torch.randn(2, 64))[..., 2:-2, 2:-2]
        assert inner.std() < 1e-6 < inner.abs().mean()


def test_without_a_basis_z_makes_every_value_of_the_lowest_stage():
    torch.manual_seed(0)
    z = torch.randn(6, 64)
    ranks = {}
    for basis in (True, False):
        generator = r3gan.Generator(size=(12, 10), widths=(6, 4), basis=basis).eval()
        seen = []
        generator.stages[0].register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(inputs[0]))
        assert generator(z).shape == (6, 1, 12, 10)
        # Of one channel: with a basis, multiples of one map.
        ranks[basis] = int(torch.linalg.matrix_rank(seen[0][:, 0].flatten(1), rtol=1e-4))
    assert ranks == {True: 1, False: 6}


def test_the_classifier_speaks_beside_the_logits_and_does_not_know_the_labels():
    torch.manual_seed(0)
    images, labels = torch.randn(4, 1, 12, 10), torch.tensor([0, 1, 2, 0])
    discriminator = r3gan.Discriminator(size=(12, 10), widths=(6, 4), num_classes=3, classifier=True).eval()
    logits, classes = discriminator.classified(images, labels)
    assert torch.equal(logits, discriminator(images, labels)) and classes.shape == (4, 3)
    others, same = discriminator.classified(images, labels.flip(0))
    assert torch.equal(classes, same) and not torch.equal(logits, others)


@pytest.mark.parametrize("basis", [True, False])
@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
def test_all_maps_and_their_gradients_have_the_memory_order_of_the_weights(order, basis):
    generator = r3gan.Generator(size=(12, 10), widths=(6, 4), basis=basis).to(memory_format=order)
    discriminator = r3gan.Discriminator(size=(12, 10), widths=(6, 4)).to(memory_format=order)
    orders = []

    def note(*maps):
        orders.extend(x.is_contiguous(memory_format=order) for x in maps if x is not None)

    for module in [*generator.modules(), *discriminator.modules()]:
        if isinstance(module, r3gan.Block):
            module.register_forward_hook(lambda module, inputs, output: note(*inputs, output))
            module.register_full_backward_hook(lambda module, inputs, outputs: note(*inputs, *outputs))
    discriminator(generator(torch.randn(3, 64)).contiguous(memory_format=order)).sum().backward()
    assert len(orders) == 2 * 4 * 4 and all(orders)
