import json

import numpy as np
import pytest
import torch

from mezzotint.cli import doctor, main
from mezzotint.errors import ModelError
from mezzotint.training import selftest


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["doctor", *arguments])
    return end.value.code or 0


def checks(capsys: pytest.CaptureFixture) -> tuple[dict, dict]:
    *found, summary = map(json.loads, capsys.readouterr().out.splitlines())
    return {check["name"]: check for check in found}, summary


def test_a_sound_installation(capsys: pytest.CaptureFixture) -> None:
    assert run("--json") == 0
    found, summary = checks(capsys)
    assert summary["usable"] is True
    assert summary["n"] == len(found)
    assert found["packages"]["ok"]
    assert "torch" in found["extra train"]["detail"]
    assert found["model bicubic-x4"]["ok"]
    assert "bf16 convolutions" in found


def test_a_model_that_fails_is_fatal_in_the_default_runtime_alone(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"openvino"}

    def run_model(name: str, runtime: str) -> np.ndarray:
        if runtime in broken:
            raise ModelError(f"{name} is damaged")
        return np.zeros(1)

    monkeypatch.setattr(doctor, "_run", run_model)
    monkeypatch.setattr(doctor.catalog, "names", lambda: ["sharp-x4"])
    monkeypatch.setattr(selftest, "bf16_convolution_errors", lambda: {"all": 0.0})
    assert run() == 1
    text = capsys.readouterr().out
    assert "FAIL model sharp-x4: openvino: sharp-x4 is damaged" in text
    assert text.splitlines()[-1] == "mezzotint is not usable here"
    broken.clear()
    broken.add("onnx")
    assert run() == 0
    assert "note model sharp-x4: onnx: sharp-x4 is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("results", "ok", "fatal"),
    [
        ({"openvino": np.ones(2), "onnx": np.ones(2) + 1e-5}, True, False),
        ({"openvino": np.ones(2), "onnx": np.ones(2) + 1e-2}, False, False),
        ({"openvino": np.ones(2), "onnx": np.full(2, np.nan)}, False, False),
        ({"openvino": np.full(2, np.inf)}, False, True),
    ],
)
def test_runtimes_must_agree(results: dict, ok: bool, fatal: bool) -> None:
    check = doctor._agreement("sharp-x4", results)
    assert (check.ok, check.fatal) == (ok, fatal)


def test_missing_extras_come_with_their_command(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "numpy>=1",
        "torch>=2.6; extra == 'train'",
        'nonsuch-package>=1; extra == "train"',
        "x; extra == 'test'",
    ]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: requirements)
    packages, train = doctor._extras()
    assert packages.ok
    assert packages.fatal
    assert not train.ok
    assert not train.fatal
    assert "without nonsuch-package: pip install 'mezzotint[train]'" in train.detail


def test_wrong_convolutions_are_a_warning_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {"R1 gradient at batch 8": 1.1, "R1 gradient at batch 12": 0.003, "other": float("nan")}
    monkeypatch.setattr(selftest, "bf16_convolution_errors", lambda: errors)
    (check,) = doctor._numerics()
    assert not check.ok
    assert not check.fatal
    assert "batch 8; other" in check.detail
    assert "batch 12" not in check.detail


def test_the_self_test_finds_a_wrong_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = torch.nn.functional.conv2d

    def broken(image, kernel, *arguments, **options):
        result = sound(image, kernel, *arguments, **options)
        wrong = image.dtype == torch.bfloat16 and image.shape[1] == 12 and kernel.shape[-1] == 8
        return torch.zeros_like(result) if wrong else result

    state = torch.get_rng_state()
    assert max(selftest.bf16_convolution_errors().values()) < float("inf")
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(selftest.F, "conv2d", broken)
    errors = selftest.bf16_convolution_errors()
    assert errors["conv2d with 12 channels and an 8x8 kernel"] == 1.0
