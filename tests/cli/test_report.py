"""`mezzotint report`."""

import contextlib
import io
import json
import subprocess
import sys

import pytest

from mezzotint.cli import main


def command(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(["report", *map(str, arguments)])
    return end.value.code or 0, out.getvalue(), err.getvalue()


def test_the_page_of_a_finished_run_is_made_anew(tmp_path):
    record = {"recipe": {"description": "of long ago", "steps": 3}}
    (tmp_path / "recipe.json").write_text(json.dumps(record))
    (tmp_path / "log.jsonl").write_text('{"step": 3, "minutes": 1.0, "generator": 0.5}\n')
    code, out, err = command(tmp_path)
    assert (code, out, err) == (0, f"{tmp_path} -> {tmp_path / 'report.html'}\n", "")
    assert "of long ago" in (tmp_path / "report.html").read_text()


def test_a_folder_without_a_run_is_one_line(tmp_path):
    code, out, err = command(tmp_path)
    assert (code, out) == (3, "") and "holds no run" in err and err.count("\n") == 1


def test_it_needs_no_torch():
    program = "import sys, mezzotint.training.report\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
