"""Cards survive both kinds of files, and whatever a file holds, only our own errors come out."""

import json
import struct
from pathlib import Path

import onnx
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mezzotint.card import GENERATION, KEY, SUPER_RESOLUTION, Card, read_card
from mezzotint.errors import InputError, ModelError

CARD = Card(
    name="grün-x4",
    task=SUPER_RESOLUTION,
    network="compact.Compact",
    arguments={"scale": 4},
    scale=4,
    halo=17,
    minutes=1,
    labels=("ä", "b"),
    size=(28, 32),
    metrics={"Set5": {"psnr_y": 31.25, "ssim_y": 1}},
)


def safetensors_bytes(metadata: object, entries: dict | None = None, payload: bytes = b"") -> bytes:
    header = json.dumps({"__metadata__": metadata, **(entries or {})}).encode()
    return struct.pack("<Q", len(header)) + header + payload


def onnx_bytes(metadata: dict[str, str]) -> bytes:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:]))
    helper.set_model_props(model, metadata)
    return model.SerializeToString()


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_a_card_survives_its_file(tmp_path: Path, suffix: str) -> None:
    write = safetensors_bytes if suffix == ".safetensors" else onnx_bytes
    path = tmp_path / f"model{suffix}"
    path.write_bytes(write({KEY: CARD.to_json()}))
    assert read_card(path) == CARD


def test_equal_cards_give_equal_json_and_empty_facts_are_left_out() -> None:
    turned = CARD.replace(arguments={"b": 1, "a": 2}), CARD.replace(arguments={"a": 2, "b": 1})
    assert turned[0].to_json() == turned[1].to_json()
    assert "licence" not in json.loads(CARD.to_json())
    assert json.loads(CARD.replace(parameters=0).to_json())["parameters"] == 0


def test_facts_of_later_versions_are_ignored() -> None:
    facts = json.loads(CARD.to_json()) | {"invented_later": [1, 2]}
    assert Card.from_json(json.dumps(facts)) == CARD


@pytest.mark.parametrize(
    "change",
    [
        {"task": "cooking"},
        {"scale": 0},
        {"scale": 17},
        {"scale": "4"},
        {"scale": True},
        {"name": 3},
        {"name": None},
        {"arguments": [1]},
        {"size": [28]},
        {"size": [28, 28, 28]},
        {"size": ["28", "28"]},
        {"size": 5},
        {"labels": [1]},
        {"parameters": 1.5},
        {"metrics": {"Set5": 31}},
        {"metrics": {"Set5": {"psnr_y": "high"}}},
    ],
)
def test_wrong_facts_are_refused(change: dict) -> None:
    facts = json.loads(CARD.to_json()) | change
    with pytest.raises(ModelError, match=r"some\.onnx"):
        Card.from_json(json.dumps(facts), "some.onnx")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "{}", "[" * 100_000])
def test_damaged_json_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        Card.from_json(text)


def test_files_without_a_card_are_refused(tmp_path: Path) -> None:
    for name, data in (("a.onnx", onnx_bytes({"other": "x"})), ("a.safetensors", safetensors_bytes({"format": "pt"}))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match="no mezzotint card"):
            read_card(tmp_path / name)


def test_unreadable_files(tmp_path: Path) -> None:
    for suffix in (".onnx", ".safetensors"):
        with pytest.raises(InputError, match="cannot read"):
            read_card(tmp_path / f"missing{suffix}")
        (tmp_path / f"folder{suffix}").mkdir()
        with pytest.raises(InputError, match="cannot read"):
            read_card(tmp_path / f"folder{suffix}")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 9 << 20) + b" " * 100,
        struct.pack("<Q", 100) + b"{}",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"null",
        safetensors_bytes("text"),
        safetensors_bytes([1]),
        safetensors_bytes({KEY: 5}),
        safetensors_bytes({}, {"w": 1}),
        safetensors_bytes({}, {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
        safetensors_bytes({}, {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 9),
        safetensors_bytes({}, {"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"\0" * 8),
        safetensors_bytes({}, {"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]}}),
        safetensors_bytes({}, {"w": {"dtype": "F32", "shape": [1 << 40] * 8, "data_offsets": [0, 8]}}, b"\0" * 8),
        safetensors_bytes({}, {"w": {"dtype": "PKL", "shape": [8], "data_offsets": [0, 8]}}, b"\0" * 8),
        safetensors_bytes({}, {n: {"dtype": "I8", "shape": [8], "data_offsets": [0, 8]} for n in "ab"}, b"\0" * 8),
        safetensors_bytes({}, {str(n): {"dtype": "I8", "shape": [0], "data_offsets": [0, 0]} for n in range(20_001)}),
    ],
)
def test_damaged_safetensors_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors is not a readable model file"):
        read_card(path)


def test_what_we_accept_the_safetensors_library_accepts(tmp_path: Path) -> None:
    entries = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    entries |= {"b": {"dtype": "I8", "shape": [], "data_offsets": [4, 5]}}
    data = safetensors_bytes({KEY: CARD.to_json()}, entries, b"\0" * 5)
    (tmp_path / "m.safetensors").write_bytes(data)
    assert read_card(tmp_path / "m.safetensors") == CARD
    assert sorted(name for name, _ in safetensors.deserialize(data)) == ["a", "b"]


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_the_onnx_reader_agrees_with_the_onnx_package(tmp_path_factory, metadata: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    path.write_bytes(onnx_bytes(metadata | {KEY: CARD.to_json()}))
    loaded = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert read_card(path) == Card.from_json(loaded[KEY])


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 20, b"not protobuf at all", b"\x08\x00" * 20_000])
def test_damaged_onnx_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError):
        read_card(path)


@settings(deadline=None)
@given(st.data())
def test_any_damage_to_a_file_is_one_of_our_errors_or_harmless(tmp_path_factory, data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from([".onnx", ".safetensors"]))
    good = (onnx_bytes if suffix == ".onnx" else safetensors_bytes)({KEY: CARD.to_json()})
    place = data.draw(st.integers(0, len(good) - 1))
    damage = data.draw(st.binary(max_size=4))
    cut = data.draw(st.booleans())
    path = tmp_path_factory.mktemp("damaged") / f"model{suffix}"
    path.write_bytes(good[:place] + damage + (b"" if cut else good[place + len(damage) :]))
    try:
        assert isinstance(read_card(path), Card)
    except ModelError as error:
        assert str(path) in str(error)


def test_a_generation_card_needs_no_scale() -> None:
    card = Card(name="g", task=GENERATION, network="dcgan.Generator", latent_dim=8, size=(28, 28))
    assert Card.from_json(card.to_json()) == card
