"""Model files made to harm: each is one clear line and exit code 5 (3 where there is no file to speak of), none runs
anything, none takes memory beyond a bound or for ever.
"""

import io
import json
import os
import pickle
import signal
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from mezzotint.card import KEY, SUPER_RESOLUTION, Card
from mezzotint.cli import main

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs signals of Unix")

MOST_MEMORY = 400 << 20  # that the peak of this process may grow by
MOST_SECONDS = 60  # a guard against hanging, far above what any of these takes
DANGEROUS = ("os.exec", "os.posix_spawn", "os.system", "subprocess.Popen", "socket.connect", "shutil.rmtree")
seen: list[str] = []
watching = False


def _watch(event, arguments):
    if watching and event.startswith(DANGEROUS):
        seen.append(f"{event} {arguments[0]}")


sys.addaudithook(_watch)


# What a `.pth` holds.

WEIGHTS = {
    "body.0.weight": torch.zeros(2, 3, 3, 3), "body.0.bias": torch.zeros(2), "body.1.weight": torch.zeros(2),
    "body.2.weight": torch.zeros(12, 2, 3, 3), "body.2.bias": torch.zeros(12),
}  # fmt: skip


def saved(value=WEIGHTS, **options):
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def archive(program=None, members=(), compression=zipfile.ZIP_STORED, data=None):
    """An honest `.pth`, its pickle replaced by `program`, more members added."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data or saved())) as honest, zipfile.ZipFile(stream, "w", compression) as made:
        for name in honest.namelist():
            changed = name.endswith("data.pkl") and program is not None
            made.writestr(name, program if changed else honest.read(name))
        for name, content in members:
            made.writestr(name, content)
    return stream.getvalue()


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def calling(function, *arguments):
    return archive(pickle.dumps({"params": Call(function, *arguments)}, 2))


def named(module, name, arguments=b")"):
    """A pickle that calls `module.name` by hand."""
    return archive(b"\x80\x02c" + f"{module}\n{name}\n".encode() + arguments + b"R.")


TOUCH = f"{sys.executable} -c \"open('MARKER', 'w')\""
TEXT = b"X" + struct.pack("<I", len(TOUCH)) + TOUCH.encode()


def tensor_program(shape, stride, offset=0, numel=54):
    """The pickle of one tensor, its numbers as they are said to be; tuples of numbers by hand."""

    def number(value):
        return b"\x8a\x08" + struct.pack("<q", value)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + number(numel) + b"tQ"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(shape) + numbers(stride)
    tensor += b"\x89ccollections\nOrderedDict\n)RtR"
    return archive(b"\x80\x02}X\x0d\x00\x00\x00body.0.weight" + tensor + b"s.")


def nested_key():
    """A dictionary whose key takes 2**60 steps to hash."""
    return archive(b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s.")


def crowded():
    """An archive of 60,000 members without content."""
    return archive(members=[(f"archive/data/x{n}", b"") for n in range(60_000)])


def overlapping():
    """An archive that lists one member's bytes again and again, under other names."""
    data = archive(members=[("archive/data/big", bytes(100_000))])
    directory = data.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", data[directory + 16 : directory + 20])[0]
    entry = data[data.rindex(b"PK\x01\x02", start, directory) : directory]
    copies = b"".join(entry.replace(b"big", f"{n:03d}".encode()) for n in range(900))
    count = struct.unpack("<H", data[directory + 8 : directory + 10])[0] + 900
    end = data[directory : directory + 8] + struct.pack("<HHI", count, count, directory - start + len(copies))
    return data[:directory] + copies + end + data[directory + 16 :]


def shared():
    """A network of 600 dense blocks in the bytes of one kernel."""
    kernel = torch.zeros(64 * 192 * 9)
    names = {}
    for n in range(200):
        for m in (1, 2, 3):
            for k in range(1, 6):
                outputs = 64 if k == 5 else 32
                shape = (outputs, 64 + 32 * (k - 1), 3, 3)
                names[f"body.{n}.rdb{m}.conv{k}.weight"] = kernel[: int(np.prod(shape))].view(shape)
                names[f"body.{n}.rdb{m}.conv{k}.bias"] = kernel[:outputs]
    return saved(names | {"conv_first.weight": kernel[:1728].view(64, 3, 3, 3)})


def with_weight(value, dtype=torch.float32):
    return saved(WEIGHTS | {"body.2.weight": torch.full((12, 2, 3, 3), value, dtype=dtype)})


def old(*values):
    """A chain of pickles, the old form."""
    start = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001}]
    return b"".join(pickle.dumps(value, 2) for value in [*start, *values])


def recursive():
    """A dictionary that is its own parameters."""
    return archive(b"\x80\x02}q\x00X\x06\x00\x00\x00paramsh\x00s.")


PTH = {
    "os.system": lambda: calling(os.system, TOUCH),
    "subprocess.Popen": lambda: named("subprocess", "Popen", TEXT + b"\x85"),
    "exec": lambda: calling(exec, "open('MARKER', 'w')"),
    "eval": lambda: calling(eval, "open('MARKER', 'w')"),
    "open": lambda: calling(open, "MARKER", "w"),
    "runpy": lambda: named("runpy", "run_path", TEXT + b"\x85"),
    "importlib": lambda: named("importlib", "import_module", TEXT + b"\x85"),
    "pkgutil": lambda: named("pkgutil", "resolve_name", TEXT + b"\x85"),
    "torch.load": lambda: named("torch", "load", TEXT + b"\x85"),
    "torch.hub": lambda: named("torch.hub", "load", TEXT + b"\x85"),
    "getattr": lambda: calling(getattr, "x", "__class__"),
    "allowed name, other module": lambda: named("collections", "OrderedDict.fromkeys", TEXT + b"\x85"),
    "allowed name called with data": lambda: named("collections", "OrderedDict", TEXT + b"\x85"),
    "inst": lambda: archive(b"(S'" + TOUCH.replace("'", '"').encode() + b"'\nios\nsystem\n."),
    "obj": lambda: archive(b"\x80\x02(cos\nsystem\n" + TEXT + b"o."),
    "newobj": lambda: archive(b"\x80\x02cos\nsystem\n" + TEXT + b"\x85\x81."),
    "stack global": lambda: archive(pickle.dumps({"params": Call(os.system, TOUCH)}, 4)),
    "extension": lambda: archive(b"\x80\x02\x82\x01."),
    "build": lambda: archive(b"\x80\x02cos\nsystem\n" + TEXT + b"b."),
    "reduce of data": lambda: archive(b"\x80\x02" + TEXT + b")R."),
    "old form, bare": lambda: pickle.dumps(Call(os.system, TOUCH), 2),
    "old form, behind its marks": lambda: old(Call(os.system, TOUCH), []),
    "old form, storages": lambda: old({"body.0.weight": 1}, ["0"]),
    "old form, cut": lambda: saved(_use_new_zipfile_serialization=False)[:-30],
    "bytearray of a terabyte": lambda: calling(bytearray, 1 << 40),
    "tensor of a terabyte": lambda: named("torch", "FloatTensor", b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85"),
    "bytes that claim 100 GB": lambda: archive(b"\x80\x04\x8e" + struct.pack("<Q", 100 << 30) + b"x."),
    "a number of 8 MB": lambda: archive(b"\x80\x02\x8b" + struct.pack("<I", 8_000_000) + b"\x7f" * 8_000_000 + b"."),
    "endless steps": lambda: archive(b"\x80\x02" + b"]0" * 2_000_000 + b"N."),
    "deep nesting": lambda: archive(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."),
    "keys without end": nested_key,
    "itself inside": recursive,
    "empty stack": lambda: archive(b"\x80\x020."),
    "no stop": lambda: archive(b"\x80\x02}"),
    "huge shape": lambda: tensor_program((200_000, 200_000), (200_000, 1)),
    "huge shape by strides": lambda: tensor_program((200_000, 200_000), (0, 0)),
    "storage that lies": lambda: tensor_program((1 << 20,), (1,), numel=1 << 20),
    "negative side": lambda: tensor_program((2, -3, 3, 3), (27, 9, 3, 1)),
    "negative offset": lambda: tensor_program((2, 3, 3, 3), (27, 9, 3, 1), offset=-8),
    "negative storage": lambda: tensor_program((1,), (1,), numel=-1),
    "too many dimensions": lambda: tensor_program((1,) * 99, (1,) * 99),
    "deflated bomb": lambda: archive(members=[("archive/data/9", bytes(200 << 20))], compression=zipfile.ZIP_DEFLATED),
    "bzip2 bomb": lambda: archive(members=[("archive/data/9", bytes(20 << 20))], compression=zipfile.ZIP_BZIP2),
    "archive in an archive": lambda: archive(archive(members=[("a", archive())])),
    "overlapping members": overlapping,
    "60,000 members": crowded,
    "two pickles": lambda: archive(members=[("other/data.pkl", pickle.dumps(Call(os.system, TOUCH), 2))]),
    "a name twice": lambda: archive(members=[(zipfile.ZipFile(io.BytesIO(saved())).namelist()[0], b"x")]),
    "shared bytes": shared,
    "cut": lambda: saved()[:-40],
    "something behind": lambda: saved() + b"x" * 30,
    "a bit turned": lambda: saved().replace(bytes(216), bytes(100) + b"\x01" + bytes(115), 1),
    "other order of bytes": lambda: archive().replace(b"little", b"big!!!"),
    "not a number": lambda: with_weight(float("nan")),
    "infinite": lambda: with_weight(float("inf")),
    "too large for float32": lambda: with_weight(1e300, torch.float64),
    "whole numbers": lambda: with_weight(1, torch.int64),
    "a list": lambda: saved([torch.zeros(3)]),
    "a whole network": lambda: saved({"model": 3, "x": {}}),
    "empty": lambda: b"",
    "text": lambda: b"Dear reader,\nthis is a letter.\n",
    "random": lambda: np.random.default_rng(0).bytes(5000),
}


def safetensors(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


TWICE = b'{"a":' + json.dumps(entry([1], 0, 4)).encode() + b',"a":' + json.dumps(entry([1], 4, 8)).encode() + b"}"
SAFETENSORS = {
    "header of 100 GB": lambda: safetensors({}, length=100 << 30),
    "cut": lambda: safetensors({"body.0.weight": entry([4], 0, 16)}, bytes(8)),
    "overlapping": lambda: safetensors({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, bytes(24)),
    "huge shape, tiny data": lambda: safetensors({"body.0.weight": entry([200_000, 200_000], 0, 4)}, bytes(4)),
    "huge shape, huge claim": lambda: safetensors({"a": entry([1 << 40], 0, 1 << 42)}, bytes(4)),
    "negative side": lambda: safetensors({"a": entry([-1, -4], 0, 16)}, bytes(16)),
    "negative offset": lambda: safetensors({"a": entry([4], -16, 0)}, bytes(16)),
    "a name twice": lambda: safetensors(TWICE, bytes(8)),
    "deep nesting": lambda: safetensors(b"[" * 100_000),
    "100,000 tensors": lambda: safetensors({f"{n}": entry([0], 0, 0) for n in range(100_000)}),
    "a pickle": lambda: pickle.dumps(Call(os.system, TOUCH), 2),
    "empty": lambda: b"",
}


def onnx(nodes, shape=("b", 3, "h", "w"), inputs=("x",), weights=(), card=None, domains=(), **more):
    """The bytes of an ONNX file from "x" to "y"."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name in inputs]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
    graph = helper.make_graph(nodes, "theirs", ports, [output], list(weights), **more)
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", 18), *domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if card:
        helper.set_model_props(model, {KEY: card.to_json()})
    return model


def node(operation, inputs=("x",), outputs=("y",), **attributes):
    return helper.make_node(operation, list(inputs), list(outputs), **attributes)


def constant(name, values, kind=np.float32):
    return numpy_helper.from_array(np.array(values, kind), name)


def lying(name="k", **facts):
    """A kernel whose description does not fit its bytes."""
    tensor = constant(name, np.zeros((3, 3, 1, 1)))
    for key, value in facts.items():
        if key == "dims":
            del tensor.dims[:]
            tensor.dims.extend(value)
        elif key == "location":
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=value)
            tensor.ClearField("raw_data")
        else:
            tensor.data_type = value
    return onnx([node("Conv", ("x", name))], weights=[tensor])


def loop():
    port = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", ("c",), ("d",)), node("Identity", ("v",), ("w",))], "body",
        [port("i", TensorProto.INT64, []), port("c", TensorProto.BOOL, []), port("v", TensorProto.FLOAT, None)],
        [port("d", TensorProto.BOOL, []), port("w", TensorProto.FLOAT, None)],
    )  # fmt: skip
    weights = [constant("n", 1 << 60, np.int64), constant("t", True, np.bool_)]
    return onnx([node("Loop", ("n", "t", "x"), body=body)], weights=weights)


def branch():
    output = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    graph = helper.make_graph([node("Identity", ("x",), ("z",))], "branch", [], output)
    return onnx([node("If", ("t",), then_branch=graph, else_branch=graph)], weights=[constant("t", True, np.bool_)])


def functions():
    """Each of forty functions calls the one before twice."""
    model, opset = onnx([node("f39", domain="f")], domains=[("f", 1)]), [helper.make_opsetid("", 18)]
    for n in range(40):
        inner = {"domain": "f"} if n else {}
        called = f"f{n - 1}" if n else "Neg"
        nodes = [node(called, ("x",), ("m",), **inner), node(called, ("m",), ("y",), **inner)]
        model.functions.append(helper.make_function("f", f"f{n}", ["x"], ["y"], nodes, opset))
    return model


def grown(times, factor):
    """A picture made larger again and again."""
    scales = constant("s", [1, 1, factor, factor])
    names = ["x", *(f"n{n}" for n in range(times)), "l"]
    chain = [node("Resize", (names[n], "", "s"), (names[n + 1],), mode="nearest") for n in range(times + 1)]
    return onnx([*chain, node("ReduceMean", ("l",), keepdims=1)], weights=[scales])


def nested(depth):
    """Messages in messages in messages."""
    data = b""
    for _ in range(depth):
        data = b"\x3a" + varint(len(data)) + data
    return data


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def sparse():
    values = constant("k", [1.0])
    tensor = helper.make_sparse_tensor(values, constant("i", [0], np.int64), [3, 3, 1, 1])
    return onnx([node("Conv", ("x", "k"))], sparse_initializer=[tensor])


CARD = Card("liar", SUPER_RESOLUTION, "liar.Liar", scale=4, halo=1)
LARGER = node("DepthToSpace", ("w",), blocksize=2)
WIDER = node("Concat", ("x",) * 4, ("w",), axis=1)
ONNX = {
    "other files": lambda: lying(location="../../../../etc/passwd"),
    "other files by a whole path": lambda: lying(location="/etc/passwd"),
    "an operation of its own": lambda: onnx([node("Run", domain="evil")], domains=[("evil", 1)]),
    "an operation that is none": lambda: onnx([node("SystemCall")]),
    "a loop": loop,
    "a branch": branch,
    "functions in functions": functions,
    "sparse weights": sparse,
    "12 channels": lambda: onnx([node("Identity")], shape=("b", 12, "h", "w")),
    "3 dimensions": lambda: onnx([node("Identity")], shape=("b", "h", "w")),
    "more channels out": lambda: onnx([node("Concat", ("x", "x"), axis=1)]),
    "two inputs": lambda: onnx([node("Add", ("x", "z"))], inputs=("x", "z")),
    "half as large": lambda: onnx([node("AveragePool", kernel_shape=[2, 2], strides=[2, 2])]),
    "one pixel": lambda: onnx([node("GlobalAveragePool")]),
    "one and a half times as large": lambda: onnx(
        [node("Resize", ("x", "", "s"), mode="nearest")], weights=[constant("s", [1, 1, 1.5, 1.5])]
    ),
    "not a number": lambda: onnx([node("Sub", ("x", "x"), ("o",)), node("Div", ("o", "o"))]),
    "weights that are no numbers": lambda: onnx(
        [node("Conv", ("x", "k"))], weights=[constant("k", np.full((3, 3, 1, 1), np.nan))]
    ),
    "infinite": lambda: onnx([node("Mul", ("x", "k"))], weights=[constant("k", np.inf)]),
    "a scale that its card does not say": lambda: onnx([WIDER, LARGER], card=CARD),
    "channels that its card does not say": lambda: onnx(
        [WIDER, LARGER], card=CARD.replace(scale=2, in_channels=1, out_channels=1)
    ),
    "a card without a scale": lambda: onnx([WIDER, LARGER], card=CARD.replace(scale=None)),
    "huge shape, tiny data": lambda: lying(dims=(1 << 20, 1 << 20, 1, 1)),
    "negative sides": lambda: lying(dims=(-3, -3, 1, 1)),
    "overflowing sides": lambda: lying(dims=(1 << 32, 1 << 32, 1, 9)),
    "strings for weights": lambda: lying(kind=8),
    "a type that is none": lambda: lying(kind=99),
    "a memory bomb": lambda: onnx(
        [
            node("ConstantOfShape", ("s",), ("o",)),
            node("ReduceMean", ("o",), ("m",), keepdims=1),
            node("Add", ("x", "m")),
        ],
        weights=[constant("s", [1, 1, 200_000, 200_000], np.int64)],
    ),
    "a memory bomb by steps": lambda: grown(6, 16),
    "a network that needs itself": lambda: onnx([node("Add", ("x", "q"), ("q",)), node("Identity", ("q",))]),
    "no network": lambda: helper.make_model(helper.make_graph([], "none", [], [])),
    "deep nesting": lambda: nested(5_000),
    "a million fields": lambda: b"\x08\x08" * 1_100_000,
    "a length that lies": lambda: b"\x08\x08\x3a" + varint(100 << 30) + b"x",
    "cut": lambda: lying().SerializeToString()[:-60],
    "a pickle": lambda: pickle.dumps(Call(os.system, TOUCH), 2),
    "an archive": archive,
    "empty": lambda: b"",
    "text": lambda: b"Dear reader,\nthis is a letter.\n",
    "random": lambda: np.random.default_rng(0).bytes(5000),
}
FILES = [
    (suffix, name, make)
    for suffix, files in (("pth", PTH), ("safetensors", SAFETENSORS), ("onnx", ONNX))
    for name, make in files.items()
]


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Run a command where it may do as it likes; returns exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def timeout(number, frame):
        raise AssertionError("it takes for ever")

    def run(*arguments):
        global watching
        signal.signal(signal.SIGALRM, timeout)
        before, watching, code = peak(), True, 0
        seen.clear()
        signal.alarm(MOST_SECONDS)
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            code = end.code or 0
        finally:
            signal.alarm(0)
            watching = False
        assert peak() - before < MOST_MEMORY
        assert not Path("MARKER").exists()
        error = capfd.readouterr().err
        assert "Traceback" not in error
        return code, error

    return run


def peak():
    """The most bytes that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize(("suffix", "name", "make"), FILES, ids=[f"{suffix}: {name}" for suffix, name, _ in FILES])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_it_is_refused(run, tmp_path, suffix, name, make):
    data = make()
    model = tmp_path / f"model.{suffix}"
    model.write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
    Image.new("RGB", (9, 7), (200, 40, 10)).save(tmp_path / "a.png")
    before = sorted(tmp_path.iterdir())
    if suffix == "onnx":
        code, error = run("upscale", "a.png", "-m", model)
        # The one process that may be started is ours, to try the file.
        assert len(seen) <= 2 and all(sys.executable in event for event in seen)
    else:
        code, error = run("export", model, "out.onnx")
        assert not seen
    assert code == 5, error
    assert error.count("\n") == 1 and error.startswith("mezzotint: error: ")
    assert str(model) in error or "liar" in error or "the model returned" in error
    assert len(error) < 1000
    assert sorted(tmp_path.iterdir()) == before


def test_there_are_many():
    assert len(FILES) > 100


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "onnx"])
@pytest.mark.parametrize("kind", ["folder", "missing", "pipe", "loop of links", "link to a device"])
def test_what_is_no_file_is_an_unreadable_input(run, tmp_path, suffix, kind):
    model = tmp_path / f"model.{suffix}"
    if kind == "folder":
        model.mkdir()
    elif kind == "pipe":
        os.mkfifo(model)
    elif kind == "loop of links":
        model.symlink_to(model)
    elif kind == "link to a device":
        model.symlink_to("/dev/zero")
    Image.new("RGB", (9, 7)).save(tmp_path / "a.png")
    command = ("upscale", "a.png", "-m", model) if suffix == "onnx" else ("export", model, "out.onnx")
    code, error = run(*command)
    assert code == 3 and "model." in error and error.count("\n") == 1


def test_what_lies_behind_an_archives_pickle_is_never_read(run, tmp_path):
    program = zipfile.ZipFile(io.BytesIO(saved())).read("archive/data.pkl")
    (tmp_path / "model.pth").write_bytes(archive(program + pickle.dumps(Call(os.system, TOUCH), 2)))
    code, error = run("export", "model.pth", "out.safetensors")
    assert (code, error) == (0, "") and not seen


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_lead_elsewhere_are_only_names(run, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    data = archive(members=[(f"../{outside.name}", b"x"), ("/etc/passwd", b"x"), ("archive/data/../../x", b"x")])
    (tmp_path / "model.pth").write_bytes(data)
    code, _ = run("export", "model.pth", "out.safetensors")
    assert code == 0 and not outside.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"model.pth", "out.safetensors"}
