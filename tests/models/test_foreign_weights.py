"""Weights of others give what their authors' networks give, in every style of names; what does not fit is named.

The references here are those networks spelled out on a dictionary of tensors that have the authors' names.
"""

import re

import pytest
import torch
from torch.nn import functional as F

from mezzotint.errors import InputError, ModelError
from mezzotint.models import foreign_weights
from mezzotint.models.rrdb import RRDB

LR = torch.rand(1, 3, 11, 14, generator=torch.Generator().manual_seed(5))


def conv(state, name, x):
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)


def random_state(shapes, seed=0, size=0.2):
    random = torch.Generator().manual_seed(seed)
    return {name: size * torch.randn(shape, generator=random) for name, shape in shapes.items()}


def conv_shapes(**layers):
    """name=(outputs, inputs, side) -> shapes of weights and biases."""
    found = {}
    for name, (outputs, inputs, side) in layers.items():
        found |= {f"{name}.weight": (outputs, inputs, side, side), f"{name}.bias": (outputs,)}
    return found


# RRDB with BasicSR's names.


def rrdb_state(stages=2, folded=1, channels=6, growth=4, blocks=2, colours=3):
    layers = {
        "conv_first": (channels, colours * folded**2, 3),
        "conv_body": (channels, channels, 3),
        "conv_hr": (channels, channels, 3),
        "conv_last": (colours, channels, 3),
    }
    layers |= {f"conv_up{n + 1}": (channels, channels, 3) for n in range(stages)}
    for n in range(blocks):
        for m in range(3):
            for k in range(5):
                outputs = channels if k == 4 else growth
                layers[f"body.{n}.rdb{m + 1}.conv{k + 1}"] = (outputs, channels + k * growth, 3)
    return random_state(conv_shapes(**layers))


def rrdb_reference(state, x, folded=1, factor=2):
    def lrelu(values):
        return F.leaky_relu(values, 0.2)

    height, width = x.shape[2:]
    if folded > 1:
        x = F.pixel_unshuffle(F.pad(x, (0, -width % folded, 0, -height % folded), mode="replicate"), folded)
    first = x = conv(state, "conv_first", x)
    for n in range(2):
        block = x
        for m in (1, 2, 3):
            seen = [x]
            for k in range(1, 5):
                seen.append(lrelu(conv(state, f"body.{n}.rdb{m}.conv{k}", torch.cat(seen, 1))))
            x = x + 0.2 * conv(state, f"body.{n}.rdb{m}.conv5", torch.cat(seen, 1))
        x = block + 0.2 * x
    x = first + conv(state, "conv_body", x)
    n = 1
    while f"conv_up{n}.weight" in state:
        x = lrelu(conv(state, f"conv_up{n}", x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)))
        n += 1
    x = conv(state, "conv_last", lrelu(conv(state, "conv_hr", x)))
    scale = factor ** (n - 1) // folded
    return x[:, :, : scale * height, : scale * width]


def second_form(state):
    """ESRGAN's names of 2019, which BSRGAN kept."""
    words = {"body": "RRDB_trunk", "conv_body": "trunk_conv", "conv_hr": "HRconv"}
    renamed = {}
    for name, tensor in state.items():
        first, _, rest = name.partition(".")
        first = words.get(first, first.replace("conv_up", "upconv"))
        renamed[f"{first}.{rest.replace('rdb', 'RDB')}"] = tensor
    return renamed


def first_form(state):
    """ESRGAN's names of 2018: numbers of layers in one chain, in which activations and repeated pixels count."""
    stages = sum(name.startswith("conv_up") for name in state) // 2
    words = {"conv_first": "model.0", "conv_body": "model.1.sub.2"}
    words |= {f"conv_up{n}": f"model.{3 * n}" for n in range(1, stages + 1)}
    words |= {"conv_hr": f"model.{3 * stages + 2}", "conv_last": f"model.{3 * stages + 4}"}
    renamed = {}
    for name, tensor in state.items():
        first, _, rest = name.partition(".")
        dense = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0", name)
        renamed[dense if first == "body" else f"{words[first]}.{rest}"] = tensor
    return renamed


STYLES = {"BasicSR": dict, "ESRGAN, second form": second_form, "ESRGAN, first form": first_form}


def load(tmp_path, state, **options):
    torch.save(state, tmp_path / "theirs.pth")
    return foreign_weights.load(tmp_path / "theirs.pth", **options)


def assert_same(network, expected, lr=LR):
    with torch.no_grad():
        torch.testing.assert_close(network(lr), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("stages", "folded"), [(2, 1), (2, 2), (2, 4), (1, 1), (0, 1), (3, 1)])
def test_rrdb(tmp_path, style, stages, folded):
    state = rrdb_state(stages, folded)
    network, card = load(tmp_path, STYLES[style](state))
    assert card.source["names"] == style and card.scale == 2**stages // folded
    assert card.arguments["growth"] == 4 and card.halo == network.halo and card.alignment == folded
    assert_same(network, rrdb_reference(state, LR, folded))


def test_the_scale_decides_between_twice_and_three_times(tmp_path):
    state = rrdb_state(stages=1)
    assert load(tmp_path, state)[1].scale == 2
    network, card = load(tmp_path, first_form(state), scale=3)
    assert card.scale == 3
    assert_same(network, rrdb_reference(state, LR, factor=3))
    with pytest.raises(ModelError, match="enlarges 2 times, not 4"):
        load(tmp_path, state, scale=4)


# SRVGGNetCompact.


def srvgg_state(scale, channels=6, blocks=3, colours=3):
    layers = {"body.0": (channels, colours, 3), f"body.{2 * blocks + 2}": (colours * scale**2, channels, 3)}
    layers |= {f"body.{2 * n}": (channels, channels, 3) for n in range(1, blocks + 1)}
    return random_state(conv_shapes(**layers) | {f"body.{2 * n + 1}.weight": (channels,) for n in range(blocks + 1)})


def srvgg_reference(state, x, scale, blocks=3):
    y = x
    for n in range(blocks + 1):
        y = F.prelu(conv(state, f"body.{2 * n}", y), state[f"body.{2 * n + 1}.weight"])
    y = F.pixel_shuffle(conv(state, f"body.{2 * blocks + 2}", y), scale)
    return y + F.interpolate(x, scale_factor=scale, mode="nearest")


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("colours", [1, 3])
def test_srvgg(tmp_path, scale, colours):
    state = srvgg_state(scale, colours=colours)
    network, card = load(tmp_path, state)
    assert card.network == "srvgg.SRVGG" and card.in_channels == card.out_channels == colours
    assert card.arguments == {"scale": scale, "channels": 6, "num_blocks": 3, "in_channels": colours}
    lr = LR[:, :colours]
    assert_same(network, srvgg_reference(state, lr, scale), lr)


# SPAN.


def span_state(scale=2, channels=4, blocks=6, branches=True, gain=2):
    places = {"conv_1": (channels, 3), "conv_2": (channels, channels)}
    places |= {f"block_{n}.c{k}_r": (channels, channels) for n in range(1, blocks + 1) for k in (1, 2, 3)}
    layers = {"conv_cat": (channels, 4 * channels, 1), "upsampler.0": (3 * scale**2, channels, 3)}
    for place, (outputs, inputs) in places.items():
        layers[f"{place}.eval_conv"] = (outputs, inputs, 3)
        if branches:
            layers[f"{place}.sk"] = (outputs, inputs, 1)
            layers[f"{place}.conv.0"] = (gain * inputs, inputs, 1)
            layers[f"{place}.conv.1"] = (gain * outputs, gain * inputs, 3)
            layers[f"{place}.conv.2"] = (outputs, gain * outputs, 1)
    state = random_state(conv_shapes(**layers), size=0.3)
    return {
        name: tensor / 255 if name.startswith("conv_1.") and "weight" in name else tensor
        for name, tensor in state.items()
    }


def span_reference(state, x, scale, normalized=True, blocks=6):
    """Branches are computed as branches, on an image that is large enough for what their borders differ in to be cut off."""

    def three(name, values):
        if f"{name}.sk.weight" not in state:
            return conv(state, f"{name}.eval_conv", values)
        inner = conv(state, f"{name}.conv.0", F.pad(values, (1, 1, 1, 1)))
        inner = F.conv2d(inner, state[f"{name}.conv.1.weight"], state[f"{name}.conv.1.bias"])
        return conv(state, f"{name}.conv.2", inner) + conv(state, f"{name}.sk", values)

    mean = torch.tensor((0.4488, 0.4371, 0.4040)).reshape(1, 3, 1, 1)
    head = x = three("conv_1", (x - mean) * 255 if normalized else x)
    outputs = []
    for n in range(1, blocks + 1):
        first = F.silu(three(f"block_{n}.c1_r", x))
        y = three(f"block_{n}.c3_r", F.silu(three(f"block_{n}.c2_r", first)))
        x = (y + x) * (torch.sigmoid(y) - 0.5)
        outputs.append(x)
    merged = conv(state, "conv_cat", torch.cat([head, three("conv_2", x), outputs[0], first], 1))
    return F.pixel_shuffle(conv(state, "upsampler.0", merged), scale)


@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
def test_span(tmp_path, branches, normalized):
    state = span_state(branches=branches)
    marks = {} if normalized else {"no_norm": torch.zeros(1)}
    network, card = load(tmp_path, {"params": state | marks})
    assert card.network == "span.SPAN" and card.scale == 2 and card.halo == network.halo
    assert card.arguments["normalized"] == normalized and card.arguments["num_blocks"] == 6
    expected = span_reference(state, LR, 2, normalized)
    assert expected.std() > 0.01
    assert_same(network, expected)


# Files and what is wrong with them.


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {"params": {"body.0.weight": torch.zeros(1)}, "params_ema": state},
    lambda state: {"state_dict": state, "epoch": 3, "lr": [1e-4, None], "best": True},
    lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    lambda state: {"model": {f"netG.module.{name}": tensor for name, tensor in state.items()}},
    lambda state: {name: torch.nn.Parameter(tensor) for name, tensor in state.items()},
    lambda state: {name: tensor.double() for name, tensor in state.items()},
])  # fmt: skip
@pytest.mark.parametrize("old", [False, True])
def test_wrappers_and_both_forms_of_files(tmp_path, wrap, old):
    state = srvgg_state(2)
    torch.save(wrap(state), tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    network, card = foreign_weights.load(tmp_path / "a.pth")
    assert_same(network, srvgg_reference(state, LR, 2))
    assert card.name == "a" and card.source["file"] == "a.pth" and len(card.source["sha256"]) == 64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_become_float32(tmp_path, dtype):
    state = {name: tensor.to(dtype) for name, tensor in srvgg_state(2).items()}
    network, _ = load(tmp_path, state)
    assert_same(network, srvgg_reference({name: tensor.float() for name, tensor in state.items()}, LR, 2))


def test_safetensors(tmp_path):
    import safetensors.torch

    state = rrdb_state()
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    network, card = foreign_weights.load(tmp_path / "a.safetensors", name="mine", licence="MIT")
    assert (card.name, card.licence) == ("mine", "MIT")
    assert_same(network, rrdb_reference(state, LR))


def changed(state, **tensors):
    return {name: tensor for name, tensor in (state | tensors).items() if tensor is not None}


@pytest.mark.parametrize(("state", "words"), [
    (changed(rrdb_state(), **{"body.1.rdb2.conv3.bias": None}), "too few for 2 blocks|'body.1.rdb2.conv3.bias' is missing"),
    (changed(rrdb_state(), **{"body.1.rdb2.conv3.weight": torch.zeros(4, 4, 3, 3)}), "'body.1.rdb2.conv3.weight' has shape"),
    (changed(rrdb_state(), **{"conv_hr.weight": None}), "'conv_hr.weight' is missing"),
    (changed(rrdb_state(), **{"body.0.conv1x1.weight": torch.zeros(4, 4, 1, 1)}), "'body.0.conv1x1.weight' is not part"),
    (changed(rrdb_state(), **{"conv_first.weight": torch.zeros(6, 5, 3, 3)}), "'conv_first.weight' has 5 channels"),
    (changed(rrdb_state(), **{"conv_first.weight": torch.zeros(6)}), "'conv_first.weight' has shape"),
    (changed(srvgg_state(4), **{"body.3.weight": None}), "'body.3.weight' is missing"),
    (changed(srvgg_state(4), **{"body.8.weight": torch.zeros(10, 6, 3, 3)}), "'body.8.weight' has 10 channels"),
    (changed(srvgg_state(4), **{"body.2.weight": torch.zeros(6, 6, 3, 3).int()}), "'body.2.weight' holds numbers of"),
    (changed(srvgg_state(4), **{"body.2.weight": torch.full((6, 6, 3, 3), torch.nan)}), "'body.2.weight' hold values that"),
    (changed(srvgg_state(4), **{"body.99999.weight": torch.zeros(1)}), "too few for 100000 blocks"),
    (changed(span_state(), **{"block_3.c2_r.conv.1.bias": None}), "'block_3.c2_r.conv.1.bias' is missing"),
    (changed(span_state(), **{"block_3.c2_r.sk.weight": torch.zeros(3)}), "'block_3.c2_r.sk.weight' has shape"),
    ({"layers.0.attn.weight": torch.zeros(2, 2)}, "not those of ESRGAN/RRDB, SRVGGNetCompact or SPAN"),
])  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, state, words):
    with pytest.raises(ModelError, match=words) as caught:
        load(tmp_path, state)
    assert "theirs.pth" in str(caught.value)


def test_our_own_weights_by_their_names(tmp_path):
    torch.manual_seed(0)
    ours = RRDB(channels=4, num_blocks=2, growth=2).eval()
    words = {"head": "conv_first", "merge": "conv_body", "tail.0": "conv_hr", "tail.2": "conv_last"}
    renamed = {}
    for name, tensor in ours.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if dense := re.fullmatch(r"blocks\.(\d+)\.body\.(\d)\.convolutions\.(\d)", layer):
            layer = f"body.{dense[1]}.rdb{int(dense[2]) + 1}.conv{int(dense[3]) + 1}"
        elif stage := re.fullmatch(r"stages\.(\d)\.convolution", layer):
            layer = f"conv_up{int(stage[1]) + 1}"
        renamed[f"{words.get(layer, layer)}.{kind}"] = tensor
    network, _ = load(tmp_path, renamed)
    with torch.no_grad():
        assert torch.equal(network(LR), ours(LR))


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such model file"):
        foreign_weights.load(tmp_path / "absent.pth")
