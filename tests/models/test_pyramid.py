import torch

from mezzotint.models.pyramid import Discriminator, Generator


def test_the_coarsest_scale_reaches_across_the_image_and_the_finest_eleven_pixels():
    torch.manual_seed(0)
    generator = Generator((64, 64), channels=4, widest=4).double().eval()
    z = torch.randn(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator(z)[..., 32, 32].sum(), z)
    rows = gradient.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) >= 56
    alone = Generator((64, 64), channels=4, num_scales=1).double().eval()
    (gradient,) = torch.autograd.grad(alone(z)[..., 32, 32].sum(), z)
    rows = gradient.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 11


def test_a_scale_adds_to_what_the_coarser_ones_made():
    torch.manual_seed(0)
    generator = Generator((16, 20), channels=4, num_scales=2).eval()
    z = torch.randn(1, 3, 16, 20)
    with torch.no_grad():
        for parameter in generator.scales[0][-1].parameters():
            parameter.zero_()
        coarse = generator.scales[1](z[..., ::2, ::2])
        wanted = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
        torch.testing.assert_close(generator(z), wanted)


def test_all_scales_weigh_the_same_and_see_the_image_at_their_size():
    torch.manual_seed(0)
    discriminator = Discriminator(channels=4, num_scales=3)
    with torch.no_grad():
        logits = discriminator(torch.randn(2, 3, 16, 24))
        assert logits.shape == (2, 3, 16, 24)
        # One logit for each pixel of the scale, repeated over those of the image.
        assert all(len(logits[0, scale].unique()) == 16 * 24 // 4**scale for scale in range(3))
        grey = torch.full((1, 3, 16, 24), 0.3)
        interior = discriminator.scales[1](grey[..., ::2, ::2])
        torch.testing.assert_close(discriminator(grey)[:, 1:2, ::2, ::2], interior)


def test_odd_sizes_and_single_pixels_work():
    generator, discriminator = Generator(channels=2).eval(), Discriminator(channels=2)
    with torch.no_grad():
        for size in ((1, 1), (17, 9), (5, 40)):
            images = generator(torch.randn(2, 3, *size))
            assert images.shape == (2, 3, *size) and discriminator(images).shape == (2, 4, *size)
