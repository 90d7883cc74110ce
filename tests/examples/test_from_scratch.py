"""The single-file examples teach what the package does: same networks, same first step, to the bit."""

import ast
import gzip
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).parents[2] / "examples" / "from_scratch"


def load(name):
    spec = importlib.util.spec_from_file_location(f"from_scratch_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def updates(optimizers):
    """What the training loop hands to a method: an update of one network on one loss."""

    def update(name, loss):
        optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        optimizers[name].step()

    return update


def assert_equal(ours, example, rtol=0.0, atol=0.0):
    assert ours.keys() == example.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], example[name], rtol=rtol, atol=atol, msg=name)


@pytest.mark.parametrize("scale", [2, 4])
def test_srresnet_takes_the_packages_first_step(scale):
    from mezzotint.models.srresnet import SRResNet
    from mezzotint.training.regression import Regression

    example = load("srresnet")
    torch.manual_seed(0)
    ours = SRResNet(scale=scale, channels=8, num_blocks=2)
    theirs = example.SRResNet(scale=scale, channels=8, num_blocks=2)
    theirs.load_state_dict(ours.state_dict())
    before = ours.head[0].weight.detach().clone()
    lr, hr = torch.rand(2, 3, 9, 7), torch.rand(2, 3, 9 * scale, 7 * scale)

    optimizers = {"generator": torch.optim.Adam(ours.parameters(), lr=1e-3)}
    method = Regression({"generator": ours}, optimizers, {"pixel.mse": 1.0})
    scalars = method.step({"lr": lr, "hr": hr}, updates(optimizers))
    loss = example.step(theirs, torch.optim.Adam(theirs.parameters(), lr=1e-3), lr, hr)

    assert loss == float(scalars["pixel.mse"].detach())
    assert_equal(ours.state_dict(), theirs.state_dict())
    assert not torch.equal(before, ours.head[0].weight), "nothing was learnt"


def test_gan_takes_the_packages_first_step():
    from mezzotint.models import dcgan
    from mezzotint.training.gan import GAN

    example = load("gan")
    torch.manual_seed(0)
    ours = {"generator": dcgan.Generator(channels=8), "discriminator": dcgan.Discriminator(channels=8)}
    theirs = example.Generator(channels=8), example.Discriminator(channels=8)
    before = ours["generator"].project.weight.detach().clone()
    for package, single in zip(ours.values(), theirs, strict=True):
        single.load_state_dict(package.state_dict())
    real = torch.rand(4, 1, 28, 28) * 2 - 1

    def adam(network):
        return torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))

    optimizers = {name: adam(network) for name, network in ours.items()}
    method = GAN(ours, optimizers, game="adversarial.non_saturating")
    torch.manual_seed(1)
    scalars = method.step({"real": real, "labels": torch.zeros(4, dtype=torch.int64)}, updates(optimizers))
    torch.manual_seed(1)
    losses = example.step(*theirs, *map(adam, theirs), real)

    assert losses == (float(scalars["discriminator"].detach()), float(scalars["generator"].detach()))
    assert_equal(ours["generator"].state_dict(), theirs[0].state_dict())
    assert_equal(dict(ours["discriminator"].named_parameters()), dict(theirs[1].named_parameters()))
    assert not torch.equal(before, ours["generator"].project.weight), "nothing was learnt"


def test_srgan_takes_the_packages_first_step():
    from mezzotint.models.srgan_discriminator import SRGANDiscriminator
    from mezzotint.models.srresnet import SRResNet
    from mezzotint.training.srgan import SRGAN

    example = load("srgan")
    torch.manual_seed(0)
    ours = {
        "generator": SRResNet(channels=8, num_blocks=2, batch_norm=False),
        "discriminator": SRGANDiscriminator(channels=4, batch_norm=False, head="patch"),
    }
    theirs = example.Generator(8, 2), example.Discriminator(4)
    before = {name: network.state_dict()["head.0.weight"].clone() for name, network in ours.items()}
    for package, single in zip(ours.values(), theirs, strict=True):
        single.load_state_dict(package.state_dict())
    lr, hr = torch.rand(2, 3, 8, 6), torch.rand(2, 3, 32, 24)

    # The package scores real and made at once, so it adds up in another order, and Adam's first step makes as much of
    # rounding as of a gradient.
    def descent(network):
        return torch.optim.SGD(network.parameters(), lr=0.1)

    optimizers = {name: descent(network) for name, network in ours.items()}
    weights = {"losses": {"pixel.l1": example.PIXEL}, "adversarial": example.ADVERSARIAL}
    penalties = {"regularization.r1": example.PENALTY, "regularization.r2": example.PENALTY}
    method, found = SRGAN(ours, optimizers, **weights, penalties=penalties), {}
    update = updates(optimizers)
    method.step({"lr": lr, "hr": hr}, lambda name, loss: (found.update({name: loss.item()}), update(name, loss)))
    losses = example.step(*theirs, *map(descent, theirs), lr, hr)

    assert losses == pytest.approx((found["discriminator"], found["generator"]), rel=1e-5)
    for (name, package), single in zip(ours.items(), theirs, strict=True):
        assert_equal(package.state_dict(), single.state_dict(), rtol=1e-5, atol=1e-6)
        assert not torch.equal(before[name], package.state_dict()["head.0.weight"]), f"the {name} learnt nothing"


def test_the_examples_begin_as_the_papers_networks_do():
    from mezzotint.models import dcgan

    example = load("gan")
    torch.manual_seed(0)
    ours = dcgan.Generator().state_dict()
    torch.manual_seed(0)
    assert_equal(ours, example.Generator().state_dict())


@pytest.mark.parametrize("name", ["srresnet", "srgan"])
def test_super_resolution_runs_on_a_folder_and_leaves_a_picture(name, tmp_path, monkeypatch, capsys):
    example, random = load(name), np.random.default_rng(0)
    for picture in "abc":
        pixels = random.integers(0, 256, (120, 110, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{picture}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(example, "BATCH", 1)
    example.main(tmp_path, "2")
    assert Image.open(f"{name}.png").size == (3 * 27 * 4, 30 * 4)
    assert f"step 2: {'loss' if name == 'srresnet' else 'discriminator'}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["idx", "folder"])
def test_gan_runs_and_leaves_a_sheet(tmp_path, monkeypatch, capsys, kind):
    example, random = load("gan"), np.random.default_rng(0)
    pictures = random.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    if kind == "idx":
        data = tmp_path / "train-images-idx3-ubyte.gz"
        header = np.array([0x803, 5, 28, 28], ">u4").tobytes()
        data.write_bytes(gzip.compress(header + pictures.tobytes()))
    else:
        data = tmp_path / "pictures"
        data.mkdir()
        for i, picture in enumerate(pictures):
            Image.fromarray(picture).save(data / f"{i}.png")
    loaded = example.load_images(data)
    assert loaded.shape == (5, 1, 28, 28)
    np.testing.assert_allclose((loaded[:, 0].numpy() + 1) * 127.5, pictures, atol=1e-4)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(example, "BATCH", 4)
    example.main(data, "1")
    assert Image.open("gan.png").size == (8 * 28, 8 * 28)
    assert "step 1: discriminator" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["srresnet", "gan", "srgan"])
def test_an_example_is_one_short_file_without_the_package(name):
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 185
    tree = ast.parse(source)
    roots = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    roots |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert roots - set(sys.stdlib_module_names) <= {"torch", "numpy", "PIL"}
