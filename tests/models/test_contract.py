"""What every network promises, checked on every class that a module of models/ names in `__all__`, in all its options."""

import ast
import inspect
import itertools
import re
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from torch import nn

import mezzotint.models
from mezzotint import refs

SMALL = {"channels": 4, "num_blocks": 2, "size": (13, 9)}
CLASSES = 3


def networks():
    """(reference, class) of every network."""
    for name in refs.modules("models"):
        module = __import__(f"mezzotint.models.{name}", fromlist=["__all__"])
        for public in refs.public(module):
            yield f"{name}.{public}", getattr(module, public)


def variants(network):
    """Small constructor arguments: every combination of the options that are yes or no or one of a few values."""
    parameters, hints = inspect.signature(network).parameters, get_type_hints(network.__init__)
    small = {name: value for name, value in SMALL.items() if name in parameters}
    options = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
    options |= {name: (False, True) for name, hint in hints.items() if hint is bool and not name.endswith("_start")}
    options |= {"num_classes": (0, CLASSES)} if "num_classes" in parameters else {}
    for values in itertools.product(*options.values()):
        yield small | dict(zip(options, values, strict=True))


ALL = [(reference, network, arguments) for reference, network in networks() for arguments in variants(network)]


def described(case):
    reference, _, arguments = case
    return reference + "".join(f"-{key}={arguments[key]}" for key in arguments if key not in SMALL)


def is_super_resolution(network):
    return "scale" in inspect.signature(network).parameters


def is_generator(network):
    return "out_channels" in inspect.signature(network).parameters


every = pytest.mark.parametrize(("reference", "network", "arguments"), ALL, ids=map(described, ALL))
SR = [case for case in ALL if is_super_resolution(case[1])]
super_resolution = pytest.mark.parametrize(("reference", "network", "arguments"), SR, ids=map(described, SR))
GENERATORS = [case for case in ALL if is_generator(case[1])]
FUSIBLE = [case for case in SR if hasattr(case[1], "fused")]
generators = pytest.mark.parametrize(("reference", "network", "arguments"), GENERATORS, ids=map(described, GENERATORS))


def build(network, arguments, seed=0, trained=False):
    """A network from one seed. `trained`: every weight moved, as training does; some begin at zero on purpose."""
    torch.manual_seed(seed)
    built = network(**arguments)
    if trained:
        with torch.no_grad():
            for parameter in built.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return built


def inputs(network, arguments, batch=2, seed=1):
    """What the network is called with: noise and labels, or images of an odd size."""
    random = torch.Generator().manual_seed(seed)
    default = {name: parameter.default for name, parameter in inspect.signature(network).parameters.items()}
    if is_generator(network):
        latent = build(network, arguments).latent_dim
        first = torch.randn(batch, *((latent,) if isinstance(latent, int) else latent), generator=random)
    else:
        size = arguments.get("size", (13, 9))
        first = torch.rand(batch, (default | arguments)["in_channels"], *size, generator=random)
    if arguments.get("num_classes"):
        return first, torch.randint(CLASSES, (batch,), generator=random)
    return (first,)


def has_batch_norm(network, arguments):
    return any(isinstance(module, nn.BatchNorm2d) for module in build(network, arguments).modules())


# One item has no batch statistics to train by.
NORMLESS = [case for case in ALL if not has_batch_norm(*case[1:])]


def test_there_are_networks_of_every_kind():
    assert SR and GENERATORS and len(SR) + len(GENERATORS) < len(ALL)


@every
def test_gradients_reach_every_parameter(reference, network, arguments):
    built = build(network, arguments, trained=True)
    # Enough items that every class of an embedding is asked for.
    given = inputs(network, arguments, batch=8)
    if getattr(built, "classifier", None) is None:
        output = built(*given)
    else:
        output = torch.cat([part.flatten() for part in built.classified(*given)])
    (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    idle = [name for name, p in built.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-7]
    assert not idle


@every
def test_items_of_a_batch_do_not_mix_in_evaluation(reference, network, arguments):
    built = build(network, arguments, trained=True).double().eval()
    batch = [part.double() if part.is_floating_point() else part for part in inputs(network, arguments, batch=3)]
    with torch.no_grad():
        together = built(*batch)
        alone = torch.cat([built(*(part[i : i + 1] for part in batch)) for i in range(3)])
    torch.testing.assert_close(together, alone)


@every
def test_the_seed_decides_everything(reference, network, arguments):
    first, second, other = (build(network, arguments, seed).eval() for seed in (0, 0, 1))
    assert first.state_dict().keys() == second.state_dict().keys() == other.state_dict().keys()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    assert any(not torch.equal(t, other.state_dict()[name]) for name, t in first.state_dict().items())
    with torch.no_grad():
        assert torch.equal(first(*inputs(network, arguments)), second(*inputs(network, arguments)))


@pytest.mark.parametrize(("reference", "network", "arguments"), NORMLESS, ids=map(described, NORMLESS))
def test_training_at_batch_one_gives_finite_gradients(reference, network, arguments):
    built = build(network, arguments)
    built(*inputs(network, arguments, batch=1)).mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in built.parameters())


@generators
def test_generators_make_exactly_the_size_they_promise(reference, network, arguments):
    built = build(network, arguments).eval()
    assert built.size == arguments["size"] and built.num_classes == arguments.get("num_classes", 0)
    with torch.no_grad():
        images = built(*inputs(network, arguments))
    assert images.shape == (2, built.out_channels, *arguments["size"])


@generators
def test_an_image_of_noise_may_have_any_size(reference, network, arguments):
    built = build(network, arguments).eval()
    if isinstance(built.latent_dim, int):
        return
    assert built.latent_dim[1:] == arguments["size"]
    with torch.no_grad():
        for size in ((1, 1), (8, 31), (26, 18)):
            assert built(torch.randn(1, built.latent_dim[0], *size)).shape == (1, built.out_channels, *size)


@generators
def test_labels_and_noise_both_matter(reference, network, arguments):
    built = build(network, arguments, trained=True).eval()
    z, *_ = inputs(network, arguments)
    with torch.no_grad():
        if built.num_classes:
            zeros, ones = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
            assert not torch.allclose(built(z, zeros), built(z, ones))
            assert not torch.allclose(built(z, zeros)[0], built(z, zeros)[1])
        else:
            assert not torch.allclose(built(z)[0], built(z)[1])


@super_resolution
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 5)])
def test_super_resolution_enlarges_any_size(reference, network, arguments, size):
    built = build(network, arguments).eval()
    with torch.no_grad():
        sr = built(torch.rand(2, built.in_channels, *size))
    assert sr.shape == (2, built.in_channels, size[0] * built.scale, size[1] * built.scale)
    assert built.scale == arguments["scale"]


@super_resolution
def test_the_halo_is_exactly_how_far_the_network_looks(reference, network, arguments):
    built = build(network, arguments, trained=True).double().eval()
    halo, scale = built.halo, built.scale
    side = 2 * halo + 5
    centre = side // 2
    lr = torch.rand(1, built.in_channels, side, side, dtype=torch.float64, requires_grad=True)
    block = slice(centre * scale, (centre + 1) * scale)
    enlarged = built(lr)[..., block, block]
    (gradient,) = torch.autograd.grad((enlarged * torch.randn_like(enlarged)).sum(), lr)
    rows, columns = gradient.abs().sum((0, 1)).nonzero(as_tuple=True)
    distances = torch.maximum((rows - centre).abs(), (columns - centre).abs())
    assert int(distances.max()) == halo


@pytest.mark.parametrize(("reference", "network", "arguments"), FUSIBLE, ids=map(described, FUSIBLE))
def test_the_fused_form_is_the_same_function(reference, network, arguments):
    built = build(network, arguments, trained=True).eval()
    fused = built.fused()
    assert sum(p.numel() for p in fused.parameters()) <= sum(p.numel() for p in built.parameters())
    lr = torch.rand(1, built.in_channels, 11, 7)
    with torch.no_grad():
        torch.testing.assert_close(fused(lr), built(lr), rtol=1e-4, atol=1e-5)


MODULES = [
    name for name in refs.modules("models") if refs.public(__import__(f"mezzotint.models.{name}", fromlist=["x"]))
]


@pytest.mark.parametrize("name", MODULES)
def test_a_network_file_names_its_source_and_shapes_and_trains_nothing(name):
    (folder,) = mezzotint.models.__path__
    source = (Path(folder) / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    opening = ast.get_docstring(tree) or ""
    assert re.search(r"et al\. (19|20)\d\d|[A-Z]\w+ (19|20)\d\d", opening), "no paper"
    assert "B C H W" in opening, "no shapes"
    assert re.search(r"-1 to 1|0 to 1", opening), "no value range"
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in imported if re.search(r"optim|losses|training|data", module)]
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not called & {"backward", "zero_grad", "optim"}
