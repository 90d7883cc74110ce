"""FID's network without its weights: names, shapes and arithmetic against documented facts."""

import hashlib

import pytest
import torch

from mezzotint.errors import InputError, ModelError
from mezzotint.models import feature_files
from mezzotint.models.inception import InceptionV3, resized


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return InceptionV3().eval().requires_grad_(False)


def test_it_has_the_parameters_of_the_published_network(network):
    # torchvision's documentation: 27,161,264 parameters, of them 3,326,696 in the auxiliary classifier and 2,049,000 in the
    # last layer.
    assert sum(parameter.numel() for parameter in network.parameters()) == 27_161_264 - 3_326_696 - 2_049_000
    assert sum(isinstance(module, torch.nn.Conv2d) for module in network.modules()) == 94


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("Conv2d_1a_3x3.conv.weight", (32, 3, 3, 3)),
        ("Conv2d_4a_3x3.bn.running_var", (192,)),
        ("Mixed_5b.branch5x5_2.conv.weight", (64, 48, 5, 5)),
        ("Mixed_5b.branch_pool.conv.weight", (32, 192, 1, 1)),
        ("Mixed_5d.branch3x3dbl_3.bn.bias", (96,)),
        ("Mixed_6a.branch3x3.conv.weight", (384, 288, 3, 3)),
        ("Mixed_6b.branch7x7_2.conv.weight", (128, 128, 1, 7)),
        ("Mixed_6c.branch7x7dbl_4.conv.weight", (160, 160, 7, 1)),
        ("Mixed_6e.branch7x7dbl_5.conv.weight", (192, 192, 1, 7)),
        ("Mixed_7a.branch7x7x3_4.conv.weight", (192, 192, 3, 3)),
        ("Mixed_7a.branch3x3_2.conv.weight", (320, 192, 3, 3)),
        ("Mixed_7b.branch3x3_2a.conv.weight", (384, 384, 1, 3)),
        ("Mixed_7c.branch3x3dbl_1.conv.weight", (448, 2048, 1, 1)),
        ("Mixed_7c.branch3x3dbl_3b.conv.weight", (384, 384, 3, 1)),
        ("Mixed_7c.branch_pool.bn.weight", (192,)),
    ],
)
def test_names_and_shapes_are_those_of_the_file(network, name, shape):
    assert tuple(network.state_dict()[name].shape) == shape


def test_maps_have_the_sizes_of_the_paper(network):
    seen = {}
    hooks = [
        block.register_forward_hook(
            lambda module, inputs, output, name=name: seen.update({name: tuple(output.shape[1:])})
        )
        for name, block in network.named_children()
    ]
    images = torch.rand(1, 1, 20, 31)
    features = network(images)
    for hook in hooks:
        hook.remove()
    assert features.shape == (1, 2048)
    assert seen["Conv2d_2b_3x3"] == (64, 147, 147) and seen["Conv2d_4a_3x3"] == (192, 71, 71)
    assert [seen[f"Mixed_5{i}"] for i in "bcd"] == [(256, 35, 35), (288, 35, 35), (288, 35, 35)]
    assert {seen[f"Mixed_6{i}"] for i in "abcde"} == {(768, 17, 17)}
    assert [seen[f"Mixed_7{i}"] for i in "abc"] == [(1280, 8, 8), (2048, 8, 8), (2048, 8, 8)]


def test_average_pools_leave_the_border_out_and_the_last_block_takes_the_maximum(network):
    # Of one constant, an average is that constant at the border too.
    flat = network.Mixed_5b(torch.ones(1, 192, 5, 5))[:, -32:]
    assert torch.allclose(flat, flat[..., 2:3, 2:3].expand_as(flat), atol=1e-6)
    spike = torch.zeros(1, 2048, 5, 5)
    spike[..., 2, 2] = 1
    spread = network.Mixed_7c(spike)[0, -192:]
    assert torch.allclose(spread[:, 1:4, 1:4], spread[:, 2:3, 2:3].expand(-1, 3, 3), atol=1e-6)
    assert not torch.allclose(spread[:, 0, 0], spread[:, 2, 2])


def test_images_are_resized_as_tensorflow_1_does():
    # Output i lies at i * n / 299: of 2 pixels, the first 150 outputs climb from one to the other and the rest repeat it.
    row = resized(torch.tensor([0.0, 10.0]).view(1, 1, 1, 2))[0, 0]
    assert row.shape == (299, 299) and row[0, 0] == 0
    assert row[0, 100].item() == pytest.approx(10 * 200 / 299, rel=1e-6) and (row[:, 150:] == 10).all()
    image = torch.rand(1, 3, 299, 299)
    assert torch.equal(resized(image), image)
    # Reduced without antialiasing: every second pixel, untouched.
    large = torch.rand(1, 1, 598, 598)
    assert torch.equal(resized(large), large[..., ::2, ::2])


def test_grey_is_seen_as_three_equal_channels(network):
    grey = torch.rand(1, 1, 9, 9)
    assert torch.equal(network(grey), network(grey.repeat(1, 3, 1, 1)))


def test_only_the_very_file_is_taken(network, tmp_path, monkeypatch):
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save({**state, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, path)
    with pytest.raises(ModelError, match=r"is not pt_inception-2015-12-05-6726825d\.pth: its SHA-256 begins with"):
        feature_files.load_inception(path)
    with pytest.raises(InputError):
        feature_files.load_inception(tmp_path / "missing.pth")
    # With its bytes known, it is read: nothing in it runs, and it must fit.
    monkeypatch.setattr(feature_files, "_INCEPTION", ("x.pth", hashlib.sha256(path.read_bytes()).hexdigest()))
    loaded, sha256 = feature_files.load_inception(path)
    assert len(sha256) == 64 and not loaded.training
    for name, value in loaded.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(value, state[name])
    torch.save({**state, "Mixed_7c.branch1x1.conv.weight": torch.zeros(3)}, path)
    monkeypatch.setattr(feature_files, "_INCEPTION", ("x.pth", hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(ModelError, match="Mixed_7c"):
        feature_files.load_inception(path)


def test_the_known_sum_is_the_one_in_the_files_name():
    assert feature_files._INCEPTION[1].startswith("6726825d") and len(feature_files._INCEPTION[1]) == 64
