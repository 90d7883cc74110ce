import torch

from mezzotint.models.article import Discriminator, Generator


def reach(network, image):
    """How many rows and columns of the input one output pixel in the middle depends on."""
    image = image.double().requires_grad_()
    middle = network.double().eval()(image)[..., image.shape[2] // 2, image.shape[3] // 2]
    (gradient,) = torch.autograd.grad(middle.sum(), image)
    rows, columns = gradient.abs().sum((0, 1)).nonzero(as_tuple=True)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def test_a_pixel_and_a_logit_each_see_eleven_by_eleven_pixels():
    torch.manual_seed(0)
    assert reach(Generator(channels=4), torch.randn(1, 3, 25, 25)) == (11, 11)
    assert reach(Discriminator(channels=4), torch.randn(1, 3, 25, 25)) == (11, 11)


def test_any_size_works_whatever_size_was_named():
    generator, discriminator = Generator((20, 20), channels=4).eval(), Discriminator(channels=4)
    with torch.no_grad():
        images = generator(torch.randn(2, 3, 17, 31))
        assert images.shape == (2, 3, 17, 31) and images.abs().max() <= 1
        logits = discriminator(images)
    assert logits.shape == (2, 1, 17, 31)


def test_logits_are_unbounded():
    torch.manual_seed(0)
    discriminator = Discriminator(channels=4)
    torch.nn.init.constant_(discriminator.layers[-1].bias, -7.0)
    assert discriminator(torch.zeros(1, 3, 9, 9)).max() < -5
