import pytest
import torch

from mezzotint.training import devices

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("native", [False, True])
def test_auto_takes_bfloat16_only_where_the_cpu_gains_by_it(monkeypatch, native):
    monkeypatch.setattr(devices, "cpu_gains_by_bfloat16", lambda: native)
    assert devices.autocast_type("auto", CPU) == (torch.bfloat16 if native else None)
    assert devices.autocast_type("f32", CPU) is None
    assert devices.autocast_type("bf16", CPU) == torch.bfloat16


def test_emulated_bfloat16_on_an_old_gpu_is_not_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert devices.autocast_type("auto", CUDA) is None


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_the_fastest_device_there_is(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.choose_device().type == chosen
