"""A rewritten network is the same function, border pixels included, and leaves nothing wide at full resolution."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from mezzotint.card import SUPER_RESOLUTION, Card, read_card
from mezzotint.export.onnx import export_network
from mezzotint.export.rewrites import rewritten
from mezzotint.models.cost import multiplications
from mezzotint.models.edsr import EDSR
from mezzotint.models.srresnet import SRResNet

SIZES = [(1, 1), (1, 7), (2, 3), (9, 5), (16, 17)]


def scrambled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic moved from where it starts, slopes of PReLU to both sides of zero."""
    random = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            module.weight.data.uniform_(-0.8, 1.2, generator=random)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5, generator=random)
            module.running_var.uniform_(0.5, 2, generator=random)
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.data.uniform_(-0.5, 0.5, generator=random)
    return network.eval()


def difference(
    network: nn.Module, other: nn.Module, size: tuple[int, int], dtype: torch.dtype, channels: int = 3
) -> float:
    """The largest one in the output, relative to the largest value."""
    x = torch.rand(2, channels, *size, dtype=dtype, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, result = network(x), other(x)
    assert result.shape == expected.shape
    return float((result - expected).abs().max() / expected.abs().max())


def chain(factor: int, kernel: int, slopes: int, *, bias: bool = True, outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4 * factor**2, 3, padding=1),
        nn.PixelShuffle(factor),
        nn.PReLU(slopes),
        nn.Conv2d(4, outputs, kernel, padding=kernel // 2, bias=bias),
    )


def kinds(network: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in network]


BEFORE = ["Conv2d", "PReLU", "Conv2d", "PixelShuffle"]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("slopes", [1, 4], ids=["one slope", "slopes"])
@pytest.mark.parametrize(
    ("factor", "kernel"), [(2, 1), (2, 5), (2, 7), (2, 9), (2, 13), (3, 1), (3, 5), (3, 11), (4, 1), (4, 7)]
)
def test_chains_are_equal_at_every_size_and_border(factor: int, kernel: int, slopes: int, bias: bool) -> None:
    network = scrambled(chain(factor, kernel, slopes, bias=bias)).double()
    new = rewritten(network)
    # Whether a convolution moves is a question of speed; the activation always does.
    assert kinds(new)[:2] == BEFORE[:2]
    for size in SIZES:
        assert difference(network, new, size, torch.float64, channels=2) < 1e-12


@pytest.mark.parametrize(("factor", "kernel", "new_kernel"), [(2, 9, 5), (2, 7, 5), (2, 5, 3), (3, 11, 5), (2, 13, 7)])
def test_wide_kernels_to_few_channels_move_before_the_shuffle(factor: int, kernel: int, new_kernel: int) -> None:
    new = rewritten(chain(factor, kernel, 4))
    assert kinds(new) == BEFORE
    assert (new[2].kernel_size, new[2].out_channels) == ((new_kernel, new_kernel), 3 * factor**2)
    # The same numbers and zeros, nothing else.
    old = chain(factor, kernel, 4)[3].weight
    assert torch.equal(new[2].weight[new[2].weight != 0].sort()[0], old.flatten().repeat(factor**2).sort()[0])


@pytest.mark.parametrize(
    "network",
    [
        chain(2, 3, 1),
        chain(3, 9, 1),
        chain(2, 9, 1, outputs=16),
        nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(4, 3, 9)),
        nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(4, 3, 9, padding=4, padding_mode="reflect")),
        nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(4, 3, 9, padding=4, stride=2)),
        nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(4, 3, 5, padding=4, dilation=2)),
        nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(4, 4, 9, padding=4, groups=4)),
        nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(4, 3, (9, 5), padding=(4, 2))),
        nn.Sequential(nn.PixelShuffle(2), nn.BatchNorm2d(4)),
    ],
    ids=["small", "threefold", "wide", "unpadded", "reflecting", "strided", "dilated", "grouped", "oblong", "other"],
)
def test_what_would_not_gain_or_not_be_equal_stays_behind_the_shuffle(network: nn.Sequential) -> None:
    new = rewritten(network)
    assert type(new[-1]) is type(network[-1])
    assert getattr(new[-1], "kernel_size", None) == getattr(network[-1], "kernel_size", None)
    assert (
        difference(network.eval(), new.eval(), (20, 22), torch.float32, channels=2 if len(network) > 2 else 16) < 1e-6
    )


def test_a_layer_used_twice_and_chains_in_chains_keep_their_places() -> None:
    prelu = nn.PReLU()
    inner = nn.Sequential(nn.Conv2d(2, 16, 3, padding=1), prelu, nn.PixelShuffle(2))
    network = scrambled(nn.Sequential(inner, prelu, nn.Conv2d(4, 3, 5, padding=2), nn.Tanh())).double()
    new = rewritten(network)
    assert kinds(new) == ["Conv2d", "PReLU", "PReLU", "Conv2d", "Tanh", "PixelShuffle"]
    assert difference(network, new, (5, 3), torch.float64, channels=2) < 1e-12


class Wrapped(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


def test_a_chain_that_does_more_than_call_its_parts_is_left_alone() -> None:
    network = nn.Sequential(Wrapped(nn.Conv2d(2, 16, 3, padding=1), nn.PixelShuffle(2)), nn.PReLU())
    assert kinds(rewritten(network)) == ["Wrapped", "PReLU"]
    inside = Wrapped(*chain(2, 9, 1))
    assert kinds(rewritten(inside)) == kinds(inside)


SMALL = {"channels": 8, "num_blocks": 2}
NETWORKS = {
    "srresnet-x4": lambda: SRResNet(4, **SMALL),
    "srresnet-x3": lambda: SRResNet(3, **SMALL),
    "srresnet-x2": lambda: SRResNet(2, **SMALL),
    "srresnet-x4-5x5": lambda: SRResNet(4, end_kernel=5, bilinear_skip=True, **SMALL),
    "srresnet-direct": lambda: SRResNet(4, end_kernel=3, tail="direct", batch_norm=False, **SMALL),
    "edsr-x4": lambda: EDSR(4, **SMALL),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_equal_and_their_original_stays_as_it_was(name: str) -> None:
    torch.manual_seed(0)
    network = scrambled(NETWORKS[name]())
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    new = rewritten(network)
    for size in SIZES:
        # A few units in the last place: the same sums in another order.
        assert difference(network, new, size, torch.float32) < 3e-6
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    for size in SIZES:
        assert difference(network.double(), new.double(), size, torch.float64) < 1e-12


@pytest.mark.parametrize("scale", [2, 4])
def test_the_halo_is_unchanged(scale: int) -> None:
    torch.manual_seed(0)
    network = scrambled(SRResNet(scale, **SMALL)).double()
    halo, side = network.halo, 2 * network.halo + 5
    lr = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    centre = slice(side // 2 * scale, (side // 2 + 1) * scale)
    enlarged = rewritten(network)(lr)[..., centre, centre]
    (gradient,) = torch.autograd.grad((enlarged * torch.randn_like(enlarged)).sum(), lr)
    places = gradient.abs().sum((0, 1)).nonzero()
    assert int((places - side // 2).abs().max()) == halo


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = scrambled(SRResNet(4, **SMALL))
    card = Card("x", SUPER_RESOLUTION, "srresnet.SRResNet", SMALL, scale=4, halo=network.halo)
    return export_network(network, card, tmp_path_factory.mktemp("rewritten") / "x.onnx")


def test_the_exported_srresnet_has_nothing_wide_at_full_resolution(exported: Path) -> None:
    model = onnx.load(exported)
    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, 10, 10), strict=True):
        dimension.Clear()
        dimension.dim_value = size
    for dimension in model.graph.output[0].type.tensor_type.shape.dim:
        dimension.Clear()
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    shapes = [
        [dimension.dim_value for dimension in entry.type.tensor_type.shape.dim]
        for entry in (*inferred.graph.value_info, *inferred.graph.output)
    ]
    images = [shape for shape in shapes if len(shape) == 4]
    assert [1, 32, 10, 10] in images  # before the first shuffle
    assert [shape[1] for shape in images if shape[2] > 20] == [3]
    assert model.graph.node[-1].op_type == "DepthToSpace"
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_the_card_counts_what_was_learned_and_not_the_zeros(exported: Path) -> None:
    card = read_card(exported)
    learned = SRResNet(4, **SMALL)
    assert card.parameters == sum(parameter.numel() for parameter in learned.parameters())
    assert card.macs == multiplications(learned, (1, 3, 16, 16)) // 16**2
