import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.advisor import probe
from mezzotint.cli import main
from mezzotint.errors import LimitError, MezzotintError

QUICK = ["--seconds", "0", "--threads", "1"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["bench", *arguments])
    return end.value.code or 0


def lines(capsys: pytest.CaptureFixture) -> tuple[list[dict], dict]:
    *rows, summary = map(json.loads, capsys.readouterr().out.splitlines())
    return rows, summary


def test_a_model_in_every_runtime_that_is_installed(capsys: pytest.CaptureFixture) -> None:
    assert run("compact-x4", "--image", "20x12", "--precision", "f32", *QUICK, "--json") == 0
    rows, summary = lines(capsys)
    assert [row["runtime"] for row in rows] == ["openvino", "onnx", "pytorch"]
    for row in rows:
        assert (row["model"], row["precision"], row["input"], row["output"]) == (
            "compact-x4",
            "f32",
            [20, 12],
            [80, 48],
        )
        assert row["runs"] == 3
        assert row["megapixels_per_second"] == pytest.approx(80 * 48 / 1e6 / row["seconds"], rel=0.01)
        # Loading is part of the first picture, and takes many times what so small a one does.
        assert row["first_seconds"] > 2 * row["seconds"]
        assert row["memory"] > 10e6
    # Each in its own process: PyTorch after OpenVINO has no head start, OpenVINO does not pay for PyTorch.
    assert rows[2]["memory"] > 1.5 * rows[0]["memory"]
    assert summary["summary"] is True
    assert (summary["n"], summary["failed"], summary["threads"]) == (3, 0, 1)
    assert summary["load"] >= 0


def test_the_table_has_generators_and_interpolation_too(capsys: pytest.CaptureFixture) -> None:
    assert (
        run("bicubic-x2", "fashion-28", "--runtime", "openvino", "--image", "10x6", *QUICK, "--precision", "f32") == 0
    )
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ["model", "runtime", "precision", "input", "output", "s/picture"]
    assert [row.split()[:4] for row in rows] == [
        ["bicubic-x2", "bicubic", "f32", "10x6"],
        ["fashion-28", "openvino", "f32", "28x28"],  # a generator has no input
    ]


def test_f32_is_not_measured_twice_where_the_default_is_f32(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = {"openvino": "bf16", "onnx": "f32", "pytorch": "bf16"}

    def measure(model: str, runtime: str, precision: str, **settings: object) -> probe.Measurement:
        computed = fast[runtime] if precision == "auto" else precision
        return probe.Measurement(model, runtime, computed, (4, 4), (16, 16), 0.1, 3, 0.00256, 1.0, None)

    monkeypatch.setattr(probe, "measure", measure)
    assert run("compact-x4", "--json") == 0
    rows, _ = lines(capsys)
    done = [(row["runtime"], row["precision"]) for row in rows]
    assert done == [("openvino", "bf16"), ("openvino", "f32"), ("onnx", "f32"), ("pytorch", "bf16"), ("pytorch", "f32")]
    assert rows[0]["memory"] is None


def test_a_picture_file_and_a_larger_one_takes_more_memory_and_time(
    capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    for side in (16, 300):
        Image.fromarray(np.zeros((side, side + 2, 3), np.uint8)).save(tmp_path / f"{side}.png")
        assert run("bicubic-x4", "--image", str(tmp_path / f"{side}.png"), *QUICK, "--json") == 0
    out = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    small, large = out[0], out[2]
    assert (small["input"], large["output"]) == ([18, 16], [1208, 1200])
    assert large["seconds"] > 5 * small["seconds"]
    assert large["memory"] > small["memory"] + 1200 * 1208 * 3  # the result at least


def test_what_was_asked_for_by_name_and_is_not_here_fails(capsys: pytest.CaptureFixture) -> None:
    # Of the installed runtimes, ONNX Runtime has no bf16.
    assert run("compact-x4", "--runtime", "onnx", "--precision", "bf16", "--image", "8x8", *QUICK, "--json") == 2
    captured = capsys.readouterr()
    row, summary = map(json.loads, captured.out.splitlines())
    assert row["exit_code"] == 2
    assert "f32 only" in row["error"]
    assert summary["failed"] == 1
    assert "f32 only" in captured.err


@pytest.fixture
def no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('hidden', name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("no_torch")
def test_a_missing_package_is_no_failure(capsys: pytest.CaptureFixture) -> None:
    assert run("compact-x4", "--image", "8x8", *QUICK) == 0
    captured = capsys.readouterr()
    runtimes = {line.split()[1] for line in captured.out.splitlines()[1:]}
    assert runtimes == {"openvino", "onnx"}
    assert "left out compact-x4 with pytorch auto: this needs torch, which is not installed" in captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compact-x9"], 2, "no model named"),
        (["absent.onnx"], 3, "no such model file"),
        (["bicubic-x2", "--runtime", "tensorrt"], 2, "choose auto, openvino"),
        (["bicubic-x2", "--precision", "f8"], 2, "unknown precision 'f8'"),
        (["bicubic-x2", "--image", "0x10"], 2, "sides from 1"),
        (["bicubic-x2", "--image", "absent.png"], 3, "no file absent.png"),
        (["bicubic-x2", "--seconds", "-1"], 2, "--seconds"),
    ],
)
def test_mistakes_are_found_before_any_work(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("work began"))
    assert run(*arguments) == code
    assert message in capsys.readouterr().err


def test_one_failure_does_not_stop_the_others(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(model: str, runtime: str, precision: str, **settings: object) -> probe.Measurement:
        if runtime == "openvino":
            raise LimitError("not enough memory")
        return probe.Measurement(model, runtime, "f32", (4, 4), (16, 16), 0.1, 3, 0.00256, 1.0, 1000)

    monkeypatch.setattr(probe, "measure", measure)
    assert run("compact-x4") == 1
    captured = capsys.readouterr()
    assert [line.split()[1] for line in captured.out.splitlines()[1:]] == ["onnx", "pytorch"]
    assert "compact-x4 with openvino auto: not enough memory" in captured.err
    assert "1 of 3 combinations failed" in captured.err
    # All failed for the same reason: then it is the reason of the whole.
    assert run("compact-x4", "--runtime", "openvino", "--precision", "f32") == 4


def test_a_picture_that_cannot_be_read_has_its_exit_code(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    assert run("bicubic-x2", "--runtime", "openvino", "--image", str(tmp_path / "broken.png"), *QUICK) == 3
    assert "broken.png" in capsys.readouterr().err


@pytest.mark.parametrize(("load", "warned"), [(7.5, True), (0.1, False)])
def test_a_busy_machine_is_said_to_be(
    load: float, warned: bool, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert run("bicubic-x2", "--image", "8x8", *QUICK) == 0
    assert ("load 7.5" in capsys.readouterr().err) == warned


def test_a_process_that_dies_is_reported_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.run
    for program, message in (
        ("import os, signal; print('begun', flush=True); os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL"),
        ("raise RuntimeError('broken runtime')", "RuntimeError: broken runtime"),
        ("raise SystemExit(9)", "its process ended with 9"),
    ):
        command = [sys.executable, "-c", program]
        monkeypatch.setattr(subprocess, "run", lambda *_, command=command, **options: start(command, **options))
        with pytest.raises(MezzotintError, match=message):
            probe.measure("bicubic-x2")


def test_the_command_itself_loads_no_runtime() -> None:
    program = (
        "import sys\nfrom mezzotint.cli import main\n"
        "try:\n    main(['bench', 'bicubic-x2', '--image', '8x8', '--seconds', '0'])\nexcept SystemExit:\n    pass\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"openvino", "torch", "onnxruntime", "PIL"} & set(done.stderr.split())
