"""What is concluded from a CPU's name and features."""

import pytest

from mezzotint import hardware


@pytest.mark.parametrize(
    ("name", "flags", "gains"),
    [
        ("Intel(R) Xeon(R) Processor", {"avx512_bf16", "avx512_fp16", "amx_bf16"}, True),
        # The same CPU, its matrix units hidden by a virtual machine: slower in bfloat16.
        ("Intel(R) Xeon(R) Processor", {"avx512_bf16", "avx512_fp16"}, False),
        ("Intel(R) Xeon(R) Gold 6328H", {"avx512_bf16"}, True),  # Cooper Lake never had them
        ("AMD EPYC", {"avx512_bf16"}, True),
        ("AMD EPYC", {"avx512_bf16", "avx512_fp16"}, True),
        ("Neoverse-V1", {"bf16", "i8mm"}, True),
        ("AMD EPYC", {"avx2"}, False),
        ("", set(), False),
    ],
)
def test_bfloat16_is_taken_where_it_is_faster(monkeypatch, name, flags, gains):
    monkeypatch.setattr(hardware, "cpu_name", lambda: name)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: frozenset(flags))
    assert hardware.cpu_gains_by_bfloat16() is gains
