"""`mezzotint doctor`: is this installation sound, and what is this machine good for?"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import typer

from mezzotint import catalog, hardware
from mezzotint.errors import MezzotintError


@dataclass(frozen=True)
class Check:
    """One finding. A failure is `fatal` if mezzotint is not usable because of it; others are warnings."""

    name: str
    ok: bool
    detail: str
    fatal: bool = False


def doctor(as_json: bool = typer.Option(False, "--json", help="One JSON object per check and a last summary.")) -> None:
    """Check the installation and this machine: versions, CPU, memory, runtimes, shipped models, numerics.

    Exits with 0 if mezzotint is usable, with 1 if a check fails that it cannot do without.
    """
    started, checks = time.perf_counter(), []
    for group in (_machine, _extras, _models, _numerics):
        for check in group():
            checks.append(check)
            if not as_json:
                mark = "ok  " if check.ok else "FAIL" if check.fatal else "note"
                print(f"{mark} {check.name}: {check.detail}", flush=True)
            else:
                print(json.dumps(asdict(check), ensure_ascii=False), flush=True)
    usable = not any(check.fatal and not check.ok for check in checks)
    seconds = round(time.perf_counter() - started, 2)
    if as_json:
        print(json.dumps({"summary": True, "usable": usable, "n": len(checks), "seconds": seconds}))
    else:
        print(f"mezzotint is {'usable' if usable else 'not usable'} here")
    if not usable:
        raise typer.Exit(1)


def _machine() -> list[Check]:
    checks = [
        Check("mezzotint", True, f"{metadata.version('mezzotint')} on Python {platform.python_version()}"),
        Check("system", True, f"{platform.system()} {platform.release()}, {platform.machine()}"),
    ]
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
    features = [flag for flag in wanted if flag in hardware.cpu_flags()]
    bf16 = "native" if hardware.cpu_gains_by_bfloat16() else "not native or no faster, so f32 is used"
    checks.append(Check("cpu", True, f"{hardware.cpu_name()}; {' '.join(features) or 'features unknown'}; bf16 {bf16}"))
    threads, cpus = hardware.free_threads(), os.cpu_count() or 1
    checks.append(Check("threads", True, f"{threads} of the machine's {cpus}"))
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        busy = load > 0.5 * threads
        advice = "; other work is running, so timings will be too slow and vary" if busy else ""
        checks.append(Check("load", not busy, f"{load:.1f} over the last minute{advice}"))
    if memory := hardware.memory():
        total, free = (size / 2**30 for size in memory)
        advice = "; large images will be refused or need --tile" if free < 1 else ""
        checks.append(Check("memory", free >= 1, f"{free:.1f} GiB free of {total:.1f} GiB{advice}"))
    return checks


def _extras() -> list[Check]:
    """Optional dependencies by what the installed package itself declares."""
    groups: dict[str, list[str]] = {}
    for requirement in metadata.requires("mezzotint") or []:
        found = re.match(r"([A-Za-z0-9._-]+)[^;]*(?:;.*extra == ['\"]([^'\"]+)['\"])?", requirement)
        if found and found[2] != "test":
            groups.setdefault(found[2] or "", []).append(found[1])
    checks = []
    for extra, packages in groups.items():
        versions = {package: _version(package) for package in packages}
        missing = [package for package, version in versions.items() if not version]
        detail = ", ".join(f"{package} {version}" for package, version in versions.items() if version)
        if missing:
            command = f"pip install {f'mezzotint[{extra}]' if extra else 'mezzotint'!r}"
            detail += f"{'; ' if detail else ''}without {', '.join(missing)}: {command}"
        # An extra that nobody asked for is no fault.
        checks.append(Check(f"extra {extra}" if extra else "packages", not missing, detail, fatal=not extra))
    return checks


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _models() -> list[Check]:
    """Every shipped model in every installed runtime: loads, gives finite output, agrees with OpenVINO in f32."""
    from mezzotint import runtimes

    packages = {"openvino": "openvino", "onnx": "onnxruntime", "pytorch": "torch"}
    installed = [name for name in runtimes.RUNTIMES if importlib.util.find_spec(packages[name])]
    checks = []
    for name in catalog.names():
        results: dict[str, Any] = {}
        for runtime in ("openvino",) if name.startswith("bicubic") else installed:
            try:
                results[runtime] = _run(name, runtime)
            except (MezzotintError, ImportError, RuntimeError, ValueError) as error:
                line = " ".join(str(error).split())
                checks.append(Check(f"model {name}", False, f"{runtime}: {line}", fatal=runtime == "openvino"))
        if results:
            checks.append(_agreement(name, results))
    if len(installed) < len(packages):
        unused = ", ".join(name for name in runtimes.RUNTIMES if name not in installed)
        checks.append(Check("runtimes", True, f"{', '.join(installed)}; not installed: {unused}"))
    else:
        checks.append(Check("runtimes", True, ", ".join(installed)))
    return checks


def _run(name: str, runtime: str) -> Any:
    """The model's output for a fixed input, in f32."""
    import numpy as np

    from mezzotint import runtimes
    from mezzotint.card import GENERATION

    model, random = runtimes.load(name, runtime, "f32"), np.random.default_rng(0)
    card = model.card
    if card.task == GENERATION:
        z = random.standard_normal((2, *card.latent_shape), dtype=np.float32)
        return model(z, random.integers(0, len(card.labels), 2)) if card.labels else model(z)
    return model(random.random((1, card.in_channels, 24, 32), dtype=np.float32))


def _agreement(name: str, results: dict[str, Any]) -> Check:
    import numpy as np

    (first, expected), *others = results.items()
    if not np.isfinite(expected).all():
        return Check(f"model {name}", False, f"{first}: the output is not finite", fatal=True)
    for runtime, result in others:
        if not np.abs(result - expected).max() < 1e-3:  # also true for NaN
            return Check(f"model {name}", False, f"{runtime} and {first} give different outputs")
    if name.startswith("bicubic"):
        return Check(f"model {name}", True, "finite output")
    return Check(f"model {name}", True, f"finite{' and equal' if others else ''} output in {', '.join(results)}")


def _numerics() -> list[Check]:
    """With torch: bfloat16 convolutions against float32."""
    if not importlib.util.find_spec("torch"):
        return []
    from mezzotint.training import selftest

    errors = selftest.bf16_convolution_errors()
    wrong = [what for what, error in errors.items() if not error <= selftest.TOLERANCE]
    if wrong:
        advice = "train with precision=f32, or keep gradient penalties at 16 images or more"
        return [Check("bf16 convolutions", False, f"wrong at {'; '.join(wrong)}: {advice}")]
    return [Check("bf16 convolutions", True, f"at most {max(errors.values()):.4f} off float32")]
