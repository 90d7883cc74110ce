"""`mezzotint cluster upscale` on Ray itself, with workers that are killed. Starting Ray takes a dozen seconds each time."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint import pipelines
from mezzotint.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="needs mezzotint[cluster]")]

PROGRAM = "import sys; from mezzotint.cli import main; main(sys.argv[1:])"


def run(*arguments):
    try:
        main([*map(str, arguments)])
    except SystemExit as end:
        return end.code or 0
    return 0


def pictures(folder, count, side=8):
    """A tree of pictures, one of them broken."""
    random = np.random.default_rng(0)
    for number in range(count):
        file = folder / ("deep/er" if number % 3 else "") / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (side, side + number % 5, 3), np.uint8)).save(file)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")


def bytes_of(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def rows(report):
    """What it says, apart from times and from where the results went."""
    told = json.loads(report.read_text())
    for row in (told, *told["pictures"]):
        row.pop("seconds", None)
        row.pop("output", None)
    return told


def test_two_workers_do_what_one_machine_does(tmp_path, capsys):
    pictures(tmp_path / "in", 21)
    common = (tmp_path / "in", "--recursive", "-m", "compact-x2", "-s", 2)
    here = run("upscale", *common, "-o", tmp_path / "a", "--report", tmp_path / "a.json", "--threads", 1)
    assert "1 of 22 pictures failed" in capsys.readouterr().err
    (tmp_path / "b/deep/er").mkdir(parents=True)
    for folder in ("a", "b"):  # and one that is done
        (tmp_path / folder / "deep/er/001.png").write_bytes(b"kept")
    report = ("--report", tmp_path / "b.json")
    there = run("cluster", "upscale", *common, "-o", tmp_path / "b", *report, "--workers", 2, "--skip-existing")
    told = capsys.readouterr()
    assert here == there == 1 and told.out.count(" -> ") == 20
    assert told.err.splitlines() == [line for line in told.err.splitlines() if line.startswith("mezzotint: error: ")]
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    a, b = rows(tmp_path / "a.json"), rows(tmp_path / "b.json")
    assert b.pop("skipped") == 1 and b["pictures"].pop(0)["status"] == "skipped"
    assert a.pop("skipped") == 0
    a["pictures"] = [row for row in a["pictures"] if not row["input"].endswith("001.png")]
    assert (a.pop("ok"), b.pop("ok"), a.pop("n"), b.pop("n")) == (21, 20, 22, 21)
    assert a == b


def test_workers_that_die_cost_time_and_nothing_else(tmp_path, capsys):
    """One dies between the writing of its first result and the telling of it; one picture kills whoever takes it."""
    from mezzotint.cli import _ray
    from mezzotint.cli._jobs import check_targets, plan
    from mezzotint.cli._report import Report
    from mezzotint.cli._signals import Interrupts

    pictures(tmp_path / "in", 20)
    Image.new("RGB", (30, 30)).save(tmp_path / "in/poison.png")
    once = tmp_path / "once"

    def load():  # travels by value, since workers cannot import tests
        from mezzotint.cli._work import Work

        def write(self, job, source, result, original=Work.write):
            facts = original(self, job, source, result)
            if source.width == 30 or not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return facts

        Work.write = write
        return pipelines.load("bicubic-x2")

    settings = dict.fromkeys(("tile", "memory", "quality")) | dict.fromkeys(
        ("first_frame", "overwrite", "strip"), False
    )
    settings |= {"scale": 2.0, "max_pixels": 10_000}
    jobs = plan([str(tmp_path / "in")], tmp_path / "out", "keep", "", recursive=True)
    check_targets(jobs, overwrite=False)
    report = Report({}, jobs, False, tmp_path / "report.json")
    _ray.run(_ray.Cluster(None, 2, 1, 0), jobs, load, settings, report, Interrupts())
    told = capsys.readouterr()
    assert all(" -> " in line for line in told.out.splitlines()) and told.err.count("\n") == 2
    fates = {Path(row["input"]).name: row for row in report.rows}
    assert list(fates) == [job.source.name for job in jobs]
    assert "died every time" in fates.pop("poison.png")["error"] and "broken.jpg" in fates.pop("broken.jpg")["error"]
    assert [row["status"] for row in fates.values()] == ["ok"] * 20
    assert run("upscale", tmp_path / "in", "-o", tmp_path / "here", "--recursive", "-m", "bicubic-x2", "-s", 2) == 1
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "here")


def test_ctrl_c_ends_it_and_skip_existing_goes_on(tmp_path):
    pictures(tmp_path / "in", 40, side=64)
    command = [sys.executable, "-c", PROGRAM, "cluster", "upscale", "in", "-o", "out", "--recursive", "--workers", "1"]
    command += ["-m", "srresnet-x4", "--report", "report.json"]
    started = subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert " -> " in started.stdout.readline() and _of_ray(started.pid)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130 and said == "mezzotint: error: interrupted; what was written is complete\n"
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["n"] == 41 and told["ok"] > 0 and told["not_done"] > 20
    assert not [file for file in bytes_of(tmp_path / "out") if file.suffix == ".part"]
    end = time.monotonic() + 30
    while _of_ray(started.pid) and time.monotonic() < end:
        time.sleep(0.2)
    assert not _of_ray(started.pid)
    command += ["--skip-existing", "-m", "bicubic-x4"]
    assert subprocess.run(command, cwd=tmp_path, timeout=120, capture_output=True).returncode == 1  # one is broken
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["skipped"] > 0 and told["skipped"] + told["ok"] == 40


def _of_ray(head):
    """Command lines of Ray's processes in the session that this head has started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"raylet" in line and f"_{head}/".encode() in line:
            found.append(line)
    return found
