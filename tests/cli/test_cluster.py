"""What `mezzotint cluster upscale` does without Ray; with it, see test_cluster_ray.py."""

import inspect
import json
import os
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint import pipelines
from mezzotint.cli import _ray, _worker, cluster, main, upscale
from mezzotint.cli._jobs import Job
from mezzotint.cli._report import Report
from mezzotint.cli._worker import Errand, Worker, packed, unpacked
from mezzotint.errors import MezzotintError, ModelError

SETTINGS = {
    "scale": 2.0,
    "tile": None,
    "memory": None,
    "first_frame": False,
    "max_pixels": 1000,
    "quality": None,
    "overwrite": False,
    "strip": False,
}


def load():
    return pipelines.load("bicubic-x2")


def run(*arguments):
    try:
        main(["cluster", "upscale", *map(str, arguments)])
    except SystemExit as end:
        return end.code or 0
    return 0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, which workers change, with three pictures and a broken one."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("out").mkdir()
    Path("out/token").touch()
    for name in "abc":
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).save(f"in/{name}.png")
    Path("in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


def errand(folder, **changed):
    return Errand(
        **{"load": load, "settings": SETTINGS, "cpus": 1, "folder": str(folder), "token": "out/token"} | changed
    )


def job(name):
    return Job(Path(f"in/{name}.png"), Path(f"out/{name}.png"), "PNG")


def told(worker, *names):
    with warnings.catch_warnings():
        return [json.loads(line["fate"]) for line in worker({"jobs": packed(enumerate(map(job, names)))})]


def test_options_are_those_of_upscale_but_for_those_of_one_machine():
    here, there = (set(inspect.signature(function).parameters) for function in (cluster.upscale, upscale.upscale))
    assert there - here == {"shard", "threads", "streams"}
    assert here - there == {"address", "cpus_per_worker", "gpus_per_worker"}


def test_jobs_with_any_name_survive_the_journey():
    jobs = [(3, Job(Path(os.fsdecode(b"in/\xff.png")), Path("-out/ä\n.png"), "")), (4, job("a"))]
    assert unpacked(packed(jobs)) == jobs
    numbered = {7: job("a"), 1: job("b"), 2: job("c")}
    assert [unpacked(text) for text in _ray.shared_out(numbered, 2)] == [
        [(7, job("a")), (1, job("b"))],
        [(2, job("c"))],
    ]


def test_a_worker_says_what_became_of_each(folder):
    fates = told(Worker(errand(folder), lambda: False), "a", "broken", "b", "none")
    assert [fate["number"] for fate in fates] == [0, 1, 2, 3]
    assert [fate.get("exit_code") for fate in fates] == [None, 3, None, 3]
    assert fates[0]["facts"]["width"] == 16 and "broken.png" in fates[1]["error"]
    assert sorted(file.name for file in Path("out").iterdir()) == ["a.png", "b.png", "token"]


def test_only_what_a_dead_worker_may_have_made_is_replaced(folder):
    Path("out/a.png").write_bytes(b"somebody else's")
    leftover = Path("out/.a.png.x.part")
    leftover.touch()
    assert "exists" in told(Worker(errand(folder), lambda: False), "a")[0]["error"]
    assert Path("out/a.png").read_bytes() == b"somebody else's" and leftover.exists()
    assert "facts" in told(Worker(errand(folder), lambda: True), "a")[0]
    assert Path("out/a.png").read_bytes()[:4] == b"\x89PNG" and not leftover.exists()


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"version": "0.0.1"}, 2, "0.0.1"),
        ({"token": "elsewhere/token"}, 3, "does not see the head's"),
        ({"load": lambda: (_ for _ in ()).throw(ModelError("a damaged model"))}, 5, "a damaged model"),
    ],
)
def test_a_machine_that_does_not_fit_ends_the_command(folder, changed, code, said):
    [fate] = told(Worker(errand(folder, **changed), lambda: False), "a", "b")
    assert said in fate["ends"] and fate["exit_code"] == code
    assert not Path("out/a.png").exists()


def test_a_folder_that_only_the_head_sees_ends_the_command(folder):
    worker = Worker(errand(folder), lambda: False)
    Path("in").rename("away")
    [fate] = told(worker, "a")
    assert f"does not see the head's {folder}/in" in fate["ends"] and fate["exit_code"] == 3


def test_a_bug_costs_one_file(folder, monkeypatch):
    def read(self, job, original=_worker.Work.read):
        return 1 / 0 if job.source.stem == "b" else original(self, job)

    monkeypatch.setattr(_worker.Work, "read", read)
    worker = Worker(errand(folder), lambda: False)
    assert {fate["number"] for fate in told(worker, "a", "b", "c")} <= {0}  # the rest is for a second round
    [fate] = told(worker, "b")
    assert fate["error"].startswith("in/b.png: ZeroDivisionError") and fate["exit_code"] == 1
    assert "facts" in told(worker, "c")[0]


def test_the_report_is_as_on_one_machine_whoever_finishes_first(tmp_path, monkeypatch, capsys):
    jobs = [job(name) for name in "abc"]
    fates = [
        {"number": 2, "seconds": 0.1, "error": "c is broken", "exit_code": 3},
        {"number": 0, "seconds": 0.1, "facts": {"status": "ok", "width": 1, "height": 1, "precision": "f32"}},
        {"number": 0, "seconds": 0.1, "facts": {"status": "ok", "width": 1, "height": 1, "precision": "f32"}},
        {"number": 1, "seconds": 0.1, "facts": {"status": "ok", "width": 1, "height": 1, "precision": "bf16"}},
    ]
    report = on_no_cluster(tmp_path, monkeypatch, jobs, lambda tasks: iter(fates))
    assert [(row["input"], row["status"]) for row in report.rows] == [
        ("in/a.png", "ok"),
        ("in/b.png", "ok"),
        ("in/c.png", "failed"),
    ]
    assert [error.exit_code for error in report.errors] == [3]
    assert "bf16 and f32" in capsys.readouterr().err


def test_files_that_are_lost_come_again_alone_and_then_fail(tmp_path, monkeypatch):
    rounds = []

    def stream(tasks):
        rounds.append(tasks)
        return iter([])

    report = on_no_cluster(tmp_path, monkeypatch, [job(f"{number}") for number in range(40)], stream)
    assert [len(tasks) for tasks in rounds] == [8, 40]
    assert {row["status"] for row in report.rows} == {"failed"} and "died every time" in report.rows[0]["error"]


def test_what_is_wrong_with_a_node_ends_the_command(tmp_path, monkeypatch):
    with pytest.raises(MezzotintError, match="does not see") as raised:
        on_no_cluster(tmp_path, monkeypatch, [job("a")], lambda tasks: iter([{"ends": "does not see", "exit_code": 3}]))
    assert raised.value.exit_code == 3


def on_no_cluster(tmp_path, monkeypatch, jobs, stream):
    """The report of a run in which workers say what `stream` makes of their tasks."""
    from contextlib import nullcontext

    from mezzotint.cli._signals import Interrupts

    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    monkeypatch.setattr(_ray, "_connected", lambda cluster: nullcontext(1))
    monkeypatch.setattr(_ray, "_stream", lambda cluster, tasks, *rest: stream(tasks))
    report = Report({}, jobs, False, None)
    _ray.run(_ray.Cluster(None, None, 1, 0), jobs, load, SETTINGS, report, Interrupts())
    return report


@pytest.mark.parametrize(
    ("resources", "wanted", "count"),
    [
        ({"CPU": 8.0, "memory": 1.0}, (2, 0), 4),
        ({"CPU": 7.0}, (2, 0), 3),
        ({"memory": 1.0}, (1, 0), 0),
        ({"CPU": 8.0, "GPU": 2.0}, (1, 0.5), 4),
        ({"CPU": 8.0}, (1, 1), 0),
    ],
)
def test_how_many_workers_a_node_holds(resources, wanted, count):
    assert _ray.fitting(resources, _ray.Cluster(None, None, *wanted)) == count


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(tmp_path, capsys):
    assert run("in", "-o", tmp_path) == 2
    assert "mezzotint[cluster]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-", "-o", "out"), "standard input"),
        (("in", "-o", "-"), "standard input and output"),
        (("in", "-o", "out", "--gpus-per-worker", "1"), "--runtime onnx"),
        (("in", "-o", "out", "--address", "ray://head:10001"), "on a node of the cluster"),
    ],
)
def test_what_cannot_be_meant(monkeypatch, capsys, arguments, said):
    monkeypatch.setattr(cluster, "find_spec", lambda name: True)
    assert run(*arguments) == 2
    assert said in capsys.readouterr().err
