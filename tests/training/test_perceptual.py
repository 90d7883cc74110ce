"""The perceptual term: LPIPS where it says so, a gradient for `sr` alone, and files that are what they should be."""

import functools
import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mezzotint.errors import InputError, ModelError
from mezzotint.evaluation.features import load_lpips_squeeze
from mezzotint.metrics.perceptual import lpips_squeeze
from mezzotint.models import feature_files
from mezzotint.models.features import FeatureLayers, SqueezeNet11, cut
from mezzotint.models.vgg import VGG19
from mezzotint.recipes.perceptual import LAYERS, Perceptual
from mezzotint.training import perceptual
from mezzotint.training.perceptual import PerceptualLoss

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def unshifted(monkeypatch):
    """Whole images, as far as a test does not ask for shifts."""
    monkeypatch.setattr(perceptual, "SHIFTS", 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """SqueezeNet 1.1 with random weights, and heads of random positive ones."""
    folder = tmp_path_factory.mktemp("features")
    torch.manual_seed(0)
    save_file(SqueezeNet11().state_dict(), folder / "squeezenet.safetensors")
    heads = {
        f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(feature_files.LPIPS_LAYERS.values())
    }
    save_file(heads, folder / "heads.safetensors")
    return str(folder / "squeezenet.safetensors"), str(folder / "heads.safetensors")


@pytest.fixture
def small_vgg(monkeypatch):
    """VGG19 of a sixteenth of its width, so that its file is small."""
    monkeypatch.setattr(feature_files, "VGG19", functools.partial(VGG19, channels=4))
    torch.manual_seed(0)
    return VGG19(channels=4)


def pictures(seed, count=2, side=40):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=random).mul(255).round() / 255


@pytest.mark.parametrize("network", LAYERS)
@pytest.mark.parametrize("criterion", ["l1", "l2"])
@pytest.mark.parametrize("normalized", [False, True])
def test_only_sr_gets_a_gradient_and_equal_images_cost_nothing(
    network, criterion, normalized, files, small_vgg, tmp_path
):
    save_file(small_vgg.state_dict(), tmp_path / "vgg.safetensors")
    file = {"squeezenet1_1": files[0], "vgg19": str(tmp_path / "vgg.safetensors")}.get(network)
    loss = PerceptualLoss(Perceptual(network=network, file=file, criterion=criterion, normalized=normalized), CPU)
    sr, hr = pictures(0).requires_grad_(), pictures(1).requires_grad_()
    value = loss(sr, hr)
    value.backward()
    assert value > 0 and sr.grad.isfinite().all() and (sr.grad != 0).float().mean() > 0.9 and hr.grad is None
    assert all(not parameter.requires_grad for parameter in loss.network.parameters()) and not loss.network.training
    assert float(loss(hr, hr).detach()) == 0
    assert len(loss.sources["perceptual.network"]) == 64


def test_with_heads_it_is_lpips(files):
    """The metric's own code is another one, in other shapes."""
    loss = PerceptualLoss(Perceptual(network="squeezenet1_1", file=files[0], heads=files[1]), CPU)
    network, facts = load_lpips_squeeze(*files)
    for seed in (0, 2):
        sr, hr = pictures(seed, 1), pictures(seed + 1, 1)
        a, b = ((image[0].permute(1, 2, 0) * 255).byte().numpy() for image in (sr, hr))
        assert float(loss(sr, hr)) == pytest.approx(lpips_squeeze(a, b, network), rel=2e-3)
    assert list(loss.sources) == ["perceptual.network", "perceptual.heads"]
    assert loss.sources["perceptual.heads"] == facts["heads"]["sha256"]


def test_layers_are_weighed_and_later_ones_are_not_computed(files):
    def loss(**layers):
        return PerceptualLoss(Perceptual(network="squeezenet1_1", file=files[0], layers=layers), CPU)

    sr, hr = pictures(0), pictures(1)
    both = loss(fire3=2.0, relu1=0.5)
    expected = 2 * float(loss(fire3=1.0)(sr, hr)) + 0.5 * float(loss(relu1=1.0)(sr, hr))
    assert float(both(sr, hr)) == pytest.approx(expected, rel=1e-5)
    assert both.network.names == ["relu1", "fire3"] and list(both.network.stages) == ["relu1", "fire2", "fire3"]


@pytest.mark.parametrize("network", [SqueezeNet11, functools.partial(VGG19, channels=2)])
def test_named_layers_are_where_the_names_say(network):
    torch.manual_seed(0)
    network = network().eval()
    images = torch.rand(1, 3, 224, 224)
    found = FeatureLayers(cut(network.features, network.layers), network.layers, imagenet=True)(images)
    assert len(found) == len(network.layers) and list(network.layers.values()) == sorted(network.layers.values())
    with torch.no_grad():
        torch.testing.assert_close(found[-1].mean((2, 3)), network(images), rtol=1e-3, atol=1e-5)
    for name, features in zip(network.layers, found, strict=True):
        if name.startswith("relu"):
            assert features.min() == 0
        if name.startswith("conv"):
            assert features.min() < 0, "the ReLU behind it must not change it"


def test_vggs_layers_have_torchvisions_numbers():
    """`features.36` is what Real-ESRGAN and the paper's VGG54 call conv5_4's ReLU, `features.34` the convolution."""
    assert VGG19.layers["conv5_4"] - 1 == 34 and VGG19.layers["relu5_4"] - 1 == 35
    assert VGG19.layers["conv1_2"] - 1 == 2 and VGG19.layers["pool5"] == 37 == len(VGG19(channels=1).features)
    assert tuple(VGG19().state_dict()["features.34.weight"].shape) == (512, 512, 3, 3)


def test_torchvisions_own_file_is_known_by_its_bytes(small_vgg, tmp_path, monkeypatch):
    path = tmp_path / "vgg19.pth"
    torch.save({**small_vgg.state_dict(), "classifier.0.bias": torch.zeros(3)}, path)
    with pytest.raises(
        ModelError, match=r"vgg19\.pth is not torchvision's vgg19-dcbb9e9d\.pth: its SHA-256 begins with"
    ):
        feature_files.load_vgg19(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(feature_files, "_VGG19_SHA256", sha256[:8])
    network, found = feature_files.load_vgg19(path)
    assert found == sha256 and not network.training
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in small_vgg.state_dict().items())
    with pytest.raises(InputError, match="nowhere"):
        feature_files.load_vgg19(tmp_path / "nowhere.pth")
    monkeypatch.setattr(feature_files, "_LARGEST_FILE", 10)
    with pytest.raises(ModelError, match="more than 10"):
        feature_files.load_vgg19(path)


def test_another_networks_file_is_refused(files, tmp_path):
    with pytest.raises(
        ModelError, match=r"squeezenet\.safetensors does not hold VGG19: 'features\.2\.weight' is missing"
    ):
        PerceptualLoss(Perceptual(network="vgg19", file=files[0]), CPU)
    with pytest.raises(InputError, match="nowhere"):
        PerceptualLoss(Perceptual(network="squeezenet1_1", file=str(tmp_path / "nowhere.safetensors")), CPU)


def test_a_file_with_much_more_in_it_is_refused_before_it_is_read(files, monkeypatch):
    monkeypatch.setattr(feature_files, "_LARGEST_FILE", 1000)
    with pytest.raises(ModelError, match="more than 1000"):
        feature_files.load_squeezenet(files[0])


def test_the_shipped_network_is_meant_whatever_lies_beside(tmp_path, monkeypatch):
    (tmp_path / "compact-x4").mkdir()
    monkeypatch.chdir(tmp_path)
    PerceptualLoss(Perceptual(), CPU)


def test_bfloat16_stays_near_float32(files):
    loss = PerceptualLoss(Perceptual(network="squeezenet1_1", file=files[0], heads=files[1]), CPU)
    sr, hr = pictures(0, 16), pictures(1, 16)
    exact = float(loss(sr, hr))
    with torch.autocast("cpu", torch.bfloat16):
        rough = loss(sr, hr)
    assert rough.dtype == torch.float32 and float(rough) == pytest.approx(exact, rel=0.05)


def test_a_grey_picture_is_three_equal_channels():
    loss = PerceptualLoss(Perceptual(), CPU)
    sr, hr = pictures(0)[:, :1], pictures(1)[:, :1]
    assert np.isclose(float(loss(sr, hr)), float(loss(sr.expand(-1, 3, -1, -1), hr.expand(-1, 3, -1, -1))))


def test_shifts_let_no_pixel_hide_between_strides(monkeypatch):
    """Each step sees the images from another corner, the same for both, decided by torch's seed."""
    monkeypatch.setattr(perceptual, "SHIFTS", 4)
    loss = PerceptualLoss(Perceptual(), CPU)
    seen = []
    monkeypatch.setattr(loss, "_features", lambda images: seen.append(images) or [images])
    sr, hr = pictures(0), pictures(1)
    for seed in (*range(20), 0):
        torch.manual_seed(seed)
        loss.network.names = ["head"]
        loss(sr, hr)
    corners = [(40 - images.shape[-2], 40 - images.shape[-1]) for images in seen]
    assert corners[::2] == corners[1::2]
    assert corners[0] == corners[-1] and len(set(corners)) > 8 and {top for top, _ in corners} == {0, 1, 2, 3}
    top, left = corners[2]
    assert torch.equal(seen[2], hr[..., top:, left:]) and torch.equal(seen[3], sr[..., top:, left:])
