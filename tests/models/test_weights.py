"""Weights come back exactly, and a file that is not what its card says is refused with the difference."""

import json
import struct
from pathlib import Path

import pytest
import torch

from mezzotint.card import KEY, SUPER_RESOLUTION, Card
from mezzotint.errors import InputError, ModelError, OutputError
from mezzotint.models import weights
from mezzotint.models.srresnet import SRResNet

ARGUMENTS = {"scale": 2, "channels": 4, "num_blocks": 1}
CARD = Card(name="tiny", task=SUPER_RESOLUTION, network="srresnet.SRResNet", arguments=ARGUMENTS, scale=2)


def tiny() -> SRResNet:
    torch.manual_seed(0)
    return SRResNet(**ARGUMENTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    weights.save(tiny(), CARD, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def edit(path: Path, change) -> None:
    """Rewrite a file with `change(header, payload)` applied; header is the parsed JSON."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, payload = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    header, payload = change(header, payload) or (header, payload)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)


def edit_card(path: Path, **facts: object) -> None:
    def change(header, payload) -> None:
        header["__metadata__"][KEY] = json.dumps(json.loads(header["__metadata__"][KEY]) | facts)

    edit(path, change)


def test_weights_come_back_exactly(path: Path) -> None:
    network, card = weights.load(path)
    assert not network.training
    assert card.parameters == sum(parameter.numel() for parameter in tiny().parameters())
    assert card.macs and card == weights.counted(tiny(), CARD).replace(weights_sha256=card.weights_sha256)
    expected = tiny().state_dict()
    state = network.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_equal_weights_give_equal_bytes(tmp_path: Path, path: Path) -> None:
    weights.save(tiny().to(memory_format=torch.channels_last), CARD, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    # What is loaded and saved again stays the same, card and all.
    weights.save(*weights.load(path), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_loading_leaves_the_random_state_alone(path: Path) -> None:
    before = torch.get_rng_state()
    weights.load(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_saving_refuses_what_loading_would(tmp_path: Path) -> None:
    target = tmp_path / "x.safetensors"
    with pytest.raises(ModelError, match="does not fit"):
        weights.save(tiny(), CARD.replace(arguments=ARGUMENTS | {"channels": 5}), target)
    broken = tiny()
    broken.head[0].bias.data[0] = float("nan")
    with pytest.raises(ModelError, match=r"head\.0\.bias.*not finite"):
        weights.save(broken, CARD, target)
    assert not target.exists()
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"):
        weights.save(tiny(), CARD, target, overwrite=False)
    assert target.read_bytes() == b"old"


def test_a_flipped_bit_is_found(path: Path) -> None:
    def change(header, payload) -> None:
        payload[100] ^= 1

    edit(path, change)
    with pytest.raises(ModelError, match="SHA-256"):
        weights.load(path)


def test_a_truncated_or_padded_file_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for damaged in (data[:-1], data + b"\0", data[:100]):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="not a readable model file"):
            weights.load(path)


def test_not_finite_weights_are_refused_even_with_a_matching_checksum(path: Path) -> None:
    import hashlib

    import safetensors.torch

    state = safetensors.torch.load(path.read_bytes())
    state["head.0.bias"][0] = float("inf")
    digest = hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()
    path.write_bytes(safetensors.torch.save(state, {KEY: CARD.replace(weights_sha256=digest).to_json()}))
    with pytest.raises(ModelError, match="not finite"):
        weights.load(path)


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        (ARGUMENTS | {"channels": 8}, r"has shape \[4, 4, 3, 3\], not \[8, 8, 3, 3\]"),
        (ARGUMENTS | {"num_blocks": 2}, r"'blocks\.1\.body\.0\.weight' is missing"),
        (ARGUMENTS | {"num_blocks": 0}, "is not part of it"),
    ],
)
def test_the_difference_is_named(path: Path, arguments: dict, difference: str) -> None:
    edit_card(path, arguments=arguments)
    with pytest.raises(ModelError, match=difference):
        weights.load(path)


@pytest.mark.parametrize(
    "facts",
    [
        {"network": "os.system"},
        {"network": "weights.load"},
        {"network": "srresnet.nn"},
        {"arguments": {"nonsense": 1}},
        {"arguments": {"channels": -4}},
        {"arguments": {"channels": "many"}},
        {"arguments": {"num_blocks": 10**9}},
        {"arguments": {"channels": 10**9}},
    ],
)
def test_a_hostile_card_builds_nothing(path: Path, facts: dict) -> None:
    edit_card(path, **facts)
    with pytest.raises(ModelError, match=r"tiny\.safetensors"):
        weights.load(path)


def test_pickles_and_missing_files_are_refused(tmp_path: Path) -> None:
    torch.save(tiny().state_dict(), tmp_path / "pickle.safetensors")
    with pytest.raises(ModelError):
        weights.load(tmp_path / "pickle.safetensors")
    with pytest.raises(InputError):
        weights.load(tmp_path / "absent.safetensors")
