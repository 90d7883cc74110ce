"""Any amount: pipes, lists, several files at once, and a batch that is killed again and again."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.cli import main
from mezzotint.image.io import decode

RNG = np.random.default_rng(0)
PROGRAM = "import sys; from mezzotint.cli import main; main(sys.argv[1:])"


def run(*arguments):
    try:
        main(["upscale", *map(str, arguments), "-m", "bicubic-x2"])
    except SystemExit as end:
        return end.code or 0
    return 0


def picture(path, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (side, side + 3, 3), np.uint8)).save(path)
    return path


def piped(monkeypatch, data=b""):
    """Standard input with these bytes, and standard output to be looked at."""
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    monkeypatch.setattr(sys, "stdout", out)
    return out


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
def test_from_stdin_to_stdout(tmp_path, monkeypatch, format_name):
    stream = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (5, 7, 3), np.uint8)).save(stream, format_name)
    out = piped(monkeypatch, stream.getvalue())
    assert run("-", "-o", "-") == 0
    again = decode(out.buffer.getvalue())
    assert again.format == format_name and (again.height, again.width) == (10, 14)
    out = piped(monkeypatch, stream.getvalue())
    assert run("-", "-o", "-", "--format", "webp") == 0 and decode(out.buffer.getvalue()).format == "WebP"
    piped(monkeypatch, stream.getvalue())
    assert run("-", "-o", tmp_path / "a.tif") == 0 and decode((tmp_path / "a.tif").read_bytes()).width == 14
    out = piped(monkeypatch)
    assert run(picture(tmp_path / "b.png"), "-o", "-") == 0 and decode(out.buffer.getvalue()).height == 16


def test_pipes_that_cannot_be_meant(tmp_path, monkeypatch, capsys):
    source = picture(tmp_path / "a.png")
    for arguments in (("-",), ("-", "-o", tmp_path), (source, "-o", "-", "--json"), (source, "-", "-o", "-")):
        piped(monkeypatch)
        assert run(*arguments) == 2
    piped(monkeypatch, b"no picture")
    assert run("-", "-o", "-") == 3 and "standard input" in capsys.readouterr().err


def test_a_list_keeps_order_and_structure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ["in/z/a.png", "in/a/a.png", "in/a/with [brackets].png", "none.png"]
    for name in names[:-1]:
        picture(Path(name))
    Path("list.txt").write_text("\n".join(names) + "\n\n")
    assert run("@list.txt", "-o", "out", "--json") == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["input"] for row in rows[:-1]] == names
    assert [row["status"] for row in rows[:-1]] == ["ok", "ok", "ok", "failed"]
    assert all((Path("out") / name).exists() for name in names[:-1])
    piped(monkeypatch, b"in/z/a.png\n")
    assert run("@-", "-o", "out2") == 0 and Path("out2/in/z/a.png").exists()
    Path("empty.txt").write_text("\n")
    assert run("@empty.txt", "-o", "x") == 3 and run("@no-such-list", "-o", "x") == 3


def test_patterns_mirror_what_lies_below_them(tmp_path):
    for name in ("in/a/x.png", "in/b/x.png"):
        picture(tmp_path / name)
    assert run(tmp_path / "in" / "**" / "*.png", "-o", tmp_path / "out") == 0
    assert (tmp_path / "out/a/x.png").exists() and (tmp_path / "out/b/x.png").exists()


def test_the_same_bytes_however_many_are_done_at_once(tmp_path, capsys):
    for index in range(12):
        picture(tmp_path / "in" / f"{index:02}.{('png', 'jpg', 'webp')[index % 3]}", 8 + 5 * (index % 4))
    (tmp_path / "in" / "05.png").write_bytes(b"broken")
    found = {}
    for workers in (1, 3, 20):
        out = tmp_path / str(workers)
        assert run(tmp_path / "in", "-o", out, "--workers", workers, "--json") == 1
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()][:-1]
        assert [row["input"] for row in rows] == sorted(row["input"] for row in rows)
        assert [row["status"] == "failed" for row in rows] == [Path(row["input"]).name == "05.png" for row in rows]
        found[workers] = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(found[1]) == 12 and found[1] == found[3] == found[20]


def test_a_result_that_cannot_be_written_is_one_failure(tmp_path, capsys, monkeypatch):
    from mezzotint.cli import _work
    from mezzotint.errors import OutputError

    def full(result, path, *given, **options):
        if path.name == "b.png":
            raise OutputError("disk full")
        path.write_bytes(b"done")
        return ()

    monkeypatch.setattr(_work, "write", full)
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / "in" / name)
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--json") == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["status"] for row in rows[:-1]] == ["ok", "failed", "ok"] and rows[1]["exit_code"] == 6


def test_the_report_lists_every_file_and_its_place_is_checked_first(tmp_path, capsys):
    for name in ("a.png", "b.png"):
        picture(tmp_path / "in" / name)
    (tmp_path / "in" / "c.png").write_bytes(b"broken")
    out = tmp_path / "out"
    assert run(tmp_path / "in" / "a.png", "-o", out) == 0
    for name in ("r.json", "r.jsonl"):
        (out / "b.png").unlink(missing_ok=True)
        assert run(tmp_path / "in", "-o", out, "--skip-existing", "--report", tmp_path / name) == 1
    whole = json.loads((tmp_path / "r.json").read_text())
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    for pictures, summary in ((whole["pictures"], whole), (rows[:-1], rows[-1])):
        assert [row["status"] for row in pictures] == ["skipped", "ok", "failed"]
        assert (summary["ok"], summary["failed"], summary["skipped"], summary["not_done"]) == (1, 1, 1, 0)
    assert run(tmp_path / "in", "-o", tmp_path / "x", "--report", tmp_path / "none" / "r.json") == 6
    assert not any((tmp_path / "x").glob("*.png"))


def test_a_report_takes_the_place_of_no_picture(tmp_path, capsys):
    source = picture(tmp_path / "a.png")
    before = source.read_bytes()
    (tmp_path / "r.json").mkdir()
    for name in ("a.png", "r.txt", "r.json"):
        assert run(source, "-o", tmp_path / "x.png", "--report", tmp_path / name) == 2
        assert str(tmp_path / name) in capsys.readouterr().err
    assert source.read_bytes() == before and not (tmp_path / "x.png").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("json_lines", [[], ["--json"]])
def test_standard_output_that_is_full_loses_neither_picture_nor_report(tmp_path, json_lines):
    source, report = picture(tmp_path / "a.png"), tmp_path / "r.json"
    command = [sys.executable, "-c", PROGRAM, "upscale", source, "-m", "bicubic-x2", "--report", report, *json_lines]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(list(map(str, command)), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr.startswith("mezzotint: error: cannot write to standard output") and done.stderr.count("\n") == 1
    assert done.returncode == 6 and (tmp_path / "a_x2.png").exists()
    assert json.loads(report.read_text())["ok"] == 1


def test_names_that_standard_output_cannot_say_end_nothing(tmp_path):
    for name in ("ä.png", "日本.png"):
        picture(tmp_path / "in" / name)
    command = [sys.executable, "-c", PROGRAM, "upscale", "in", "-o", "out", "-m", "bicubic-x2"]
    settings = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, check=False)
    assert done.returncode == 0 and b"\xe4.png" in done.stdout and b"\\u65e5" in done.stdout
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_closed_standard_input_and_output_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert run("-", "-o", tmp_path / "b.png") == 3 and "standard input is closed" in capsys.readouterr().err
    assert run("@-", "-o", tmp_path / "b.png") == 3 and "standard input is closed" in capsys.readouterr().err
    source = picture(tmp_path / "a.png")
    monkeypatch.setattr(sys, "stdout", None)
    assert run(source, "-o", "-") == 2


def test_names_that_no_file_can_have_are_told_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = picture(tmp_path / "a.png")
    for target in ("a" * 300 + ".png", Path("out") / ("b" * 300) / "c.png"):
        assert run(source, "-o", target) == 6 and "cannot" in capsys.readouterr().err
    # The name of the result is longer than that of the source.
    assert run(picture(tmp_path / ("c" * 251 + ".png"))) == 6 and "_x2.png" in capsys.readouterr().err
    assert run("d" * 300 + ".png", "-o", "a_x2.png", "--skip-existing") == 3
    assert run("@" + "e" * 300, "-o", "out") == 3
    assert run("", "-o", "everything") == 2 and "empty name" in capsys.readouterr().err


def test_lists_by_find_print0_and_by_windows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = [picture(tmp_path / name).name for name in ("a\nb.png", "c.png")]
    piped(monkeypatch, b"".join(name.encode() + b"\0" for name in names))
    assert run("@-", "-o", "zeros") == 0
    assert sorted(path.name for path in (tmp_path / "zeros").iterdir()) == names
    (tmp_path / "list").write_bytes("\ufeffc.png\r\n".encode())
    assert run("@list", "-o", "marked") == 0
    (tmp_path / "list").write_bytes("\ufeffc.png\r\n".encode("utf-16-le"))
    assert run("@list", "-o", "wide") == 3 and "UTF-16" in capsys.readouterr().err


def test_an_output_folder_inside_the_input_is_no_input_of_the_next_run(tmp_path, capsys):
    for name in ("a.png", "sub/b.png"):
        picture(tmp_path / "in" / name)
    command = (tmp_path / "in", "-o", tmp_path / "in" / "sub" / "large", "--recursive")
    assert run(*command) == 0
    picture(tmp_path / "in" / "c.png")
    assert run(*command, "--skip-existing") == 0 and capsys.readouterr().out.count(" skipped") == 2
    large = tmp_path / "in" / "sub" / "large"
    assert sorted(str(file.relative_to(large)) for file in large.rglob("*.png")) == ["a.png", "c.png", "sub/b.png"]
    assert run(tmp_path / "in", "-o", tmp_path / "in", "--recursive") == 2
    assert run(large, "-o", large, "--recursive") == 2


def test_a_person_who_waits_sees_how_fast_it_goes(tmp_path, monkeypatch, capsys):
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / "in" / name)
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    assert run(tmp_path / "in", "-o", tmp_path / "out") == 0
    assert "3/3" in shown.getvalue() and "files/s" in shown.getvalue() and "MP/s" in shown.getvalue()
    assert capsys.readouterr().out.count(" -> ") == 3


def killed_batch(folder, n, broken, kills, seed):
    """A command killed `kills` times at random, then left alone; returns the rows of its report, run by run, and what is
    in the output folder.
    """
    rng = random.Random(seed)
    bad = set(rng.sample(range(n), broken))
    for index in range(n):
        path = folder / "in" / f"{index % 7}" / f"{index:04}.png"
        picture(path)
        if index in bad:
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2])
    report = folder / "report.jsonl"
    command = ["upscale", folder / "in", "-o", folder / "out", "-m", "bicubic-x2", "--recursive", "--skip-existing"]
    command = [sys.executable, "-c", PROGRAM, *map(str, command), "--report", str(report), "--workers", "2"]

    def done():
        return sum(1 for _ in (folder / "out").rglob("*.png"))

    for kill in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Killed where it gets to some random share of what is to be done.
        aim, deadline = (n - broken) * (kill + rng.random()) / (kills + 1), time.monotonic() + 120
        while done() <= aim and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    last = subprocess.run(command, capture_output=True, text=True, check=False)
    rows, torn = [], 0
    for line in report.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            torn += 1
    assert torn <= kills
    return rows, last, {f"{index:04}.png" for index in bad}


def check_killed_batch(folder, n, broken, kills, seed=0):
    rows, last, bad = killed_batch(folder, n, broken, kills, seed)
    assert last.returncode == 1 and f"{broken} of" in last.stderr
    summary = rows[-1]
    assert summary["summary"] and summary["not_done"] == 0
    assert summary["ok"] + summary["skipped"] == n - broken and summary["failed"] == broken
    final = rows[-1 - n : -1]
    assert {Path(row["input"]).name for row in final if row["status"] == "failed"} == bad
    assert len({row["input"] for row in final}) == n
    # Nothing was done twice.
    written = [row["input"] for row in rows if row.get("status") == "ok"]
    assert len(written) == len(set(written)) > (n - broken) / 2
    out = folder / "out"
    found = sorted(path for path in out.rglob("*") if path.is_file())
    assert len(found) == n - broken and not [path for path in found if path.suffix != ".png"]
    for path in found:
        assert decode(path.read_bytes()).width == 22


def test_a_batch_that_is_killed_ends_complete(tmp_path):
    check_killed_batch(tmp_path, 60, 5, 2)


@pytest.mark.slow
def test_a_batch_of_two_thousand_that_is_killed_ten_times_ends_complete(tmp_path):
    check_killed_batch(tmp_path, 2_000, 20, 10)
