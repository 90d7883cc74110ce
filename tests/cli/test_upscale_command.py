import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from mezzotint.cli import main

SMALL = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def run(*arguments):
    """The exit code of a command run in this process."""
    try:
        main(["upscale", *map(str, arguments)])
    except SystemExit as end:
        return end.code or 0
    return 0


def picture(path, array=SMALL, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def rows(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_picture_lands_beside_its_input(tmp_path, capsys):
    source = picture(tmp_path / "photo.png")
    assert run(source, "-m", "bicubic-x2") == 0
    assert Image.open(tmp_path / "photo_x2.png").size == (18, 12)
    out = capsys.readouterr().out
    assert out.startswith(f"{source} -> {tmp_path / 'photo_x2.png'} (18x12, ") and out.count("\n") == 1
    assert run(source, "-s", "2.5", "-m", "bicubic-x3") == 0
    assert Image.open(tmp_path / "photo_x2.5.png").size == (23, 15)


def test_without_a_trained_model_the_fallback_is_told(tmp_path, capsys, monkeypatch):
    from mezzotint import catalog

    monkeypatch.setattr(catalog, "names", lambda: ["bicubic-x2", "bicubic-x3", "bicubic-x4"])
    assert run(picture(tmp_path / "a.png")) == 0
    assert (tmp_path / "a_x4.png").exists()
    assert "bicubic-x4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "format_name"), [("b.png", "PNG"), ("b.jpg", "JPEG"), ("b.webp", "WEBP"), ("b.tif", "TIFF")]
)
def test_the_suffix_of_the_output_decides(tmp_path, output, format_name):
    assert run(picture(tmp_path / "a.png"), "-m", "bicubic-x2", "-o", tmp_path / output) == 0
    assert Image.open(tmp_path / output).format == format_name


def test_keep_goes_by_content_and_gif_becomes_png(tmp_path):
    picture(tmp_path / "really-jpeg.png", format="JPEG")
    picture(tmp_path / "b.JPG")
    picture(tmp_path / "c.gif")
    assert run(tmp_path, "-m", "bicubic-x2", "-o", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.JPG", "c.png", "really-jpeg.jpg"]


def test_folders_are_mirrored_and_everything_is_reported(tmp_path, capsys):
    for name in ("in/b.png", "in/a.png", "in/sub/c.png", "in/.hidden.png"):
        picture(tmp_path / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    out, report = tmp_path / "out", tmp_path / "report.json"
    assert run(tmp_path / "in", "-o", out, "-m", "bicubic-x2", "--recursive", "--json", "--report", report) == 0
    found = rows(capsys)
    assert [row["input"] for row in found[:-1]] == [str(tmp_path / "in" / n) for n in ("a.png", "b.png", "sub/c.png")]
    keys = {"input", "output", "status", "scale", "model", "runtime", "seconds", "width", "height", "warnings"}
    assert all(keys <= set(row) and row["status"] == "ok" for row in found[:-1])
    assert found[-1]["summary"] is True and found[-1]["n"] == found[-1]["ok"] == 3
    assert Image.open(out / "sub" / "c.png").size == (18, 12)
    assert json.loads(report.read_text())["pictures"] == found[:-1]
    assert run(tmp_path / "in", "-o", tmp_path / "flat", "-m", "bicubic-x2") == 0
    assert not (tmp_path / "flat" / "sub").exists()


def test_patterns_and_repeated_inputs(tmp_path, capsys):
    for name in ("a.png", "b.png", "c.jpg"):
        picture(tmp_path / name)
    assert run(tmp_path / "*.png", tmp_path / "a.png", "-o", tmp_path / "out", "-m", "bicubic-x2", "--json") == 0
    assert rows(capsys)[-1]["n"] == 2
    assert run(tmp_path / "*.bmp", "-o", tmp_path / "out") == 3


def test_one_bad_file_does_not_stop_the_others(tmp_path, capsys):
    for name in ("a.png", "c.png"):
        picture(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no picture")
    code = run(tmp_path, tmp_path / "none.png", "-o", tmp_path / "out", "-m", "bicubic-x2", "--json")
    captured = capsys.readouterr()
    found = [json.loads(line) for line in captured.out.splitlines()]
    assert code == 1
    assert [row["status"] for row in found[:-1]] == ["ok", "failed", "ok", "failed"]
    assert found[1]["exit_code"] == 3 and "text" in found[1]["error"]
    assert (found[-1]["ok"], found[-1]["failed"]) == (2, 2)
    assert captured.err.count("error:") == 3 and "2 of 4 pictures failed" in captured.err


def test_when_all_fail_for_one_reason_the_exit_code_is_that_reason(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    assert run(tmp_path, "-o", tmp_path / "out", "-m", "bicubic-x2") == 3


def test_existing_results_are_refused_replaced_or_skipped(tmp_path, capsys):
    source = picture(tmp_path / "a.png")
    target = tmp_path / "a_x2.png"
    target.write_bytes(b"mine")
    assert run(source, "-m", "bicubic-x2") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(source, "-m", "bicubic-x2", "--skip-existing", "--json") == 0
    found = rows(capsys)
    assert found[0]["status"] == "skipped" and found[-1]["skipped"] == 1
    assert target.read_bytes() == b"mine"
    assert run(source, "-m", "bicubic-x2", "--overwrite", "--skip-existing") == 2
    assert run(source, "-m", "bicubic-x2", "--overwrite") == 0
    assert Image.open(target).size == (18, 12)


def test_clashes_are_found_before_any_work(tmp_path, capsys):
    picture(tmp_path / "1" / "a.png")
    picture(tmp_path / "2" / "a.png")
    out = tmp_path / "out"
    assert run(tmp_path / "1" / "a.png", tmp_path / "2" / "a.png", "-o", out) == 2
    assert "would both become" in capsys.readouterr().err
    picture(tmp_path / "3" / "a.png")
    picture(tmp_path / "3" / "a.jpg")
    assert run(tmp_path / "3", "-o", out, "--format", "png") == 2
    assert run(tmp_path / "3", "-o", tmp_path / "x.png") == 2
    assert run(tmp_path / "3") == 2
    assert not out.exists() and not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("-s", "0"),
        ("-s", "99"),
        ("-s", "nan"),
        ("-m", "no-such-model"),
        ("--tile", "big"),
        ("--format", "xyz"),
        ("--quality", "0"),
        ("--runtime", "abacus"),
        ("--precision", "f8"),
        ("--frames", "last"),
        ("--nonsense",),
        ("-o", "x.png", "--format", "jpeg"),
    ],
)
def test_wrong_options_end_with_two_and_leave_nothing(tmp_path, options, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = picture(tmp_path / "a.png")
    assert run(source, *options) == 2
    assert list(tmp_path.iterdir()) == [source]


def test_provenance_is_written_unless_stripped(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    source = picture(tmp_path / "a.jpg", exif=exif, dpi=(300, 300))
    assert run(source, "-m", "bicubic-x2", "-o", tmp_path / "b.png") == 0
    info = Image.open(tmp_path / "b.png").info
    assert b"algorithmicallyEnhanced" in info["xmp"] and b"bicubic-x2" in info["xmp"] and b"Camera" in info["exif"]
    assert run(source, "-m", "bicubic-x2", "-o", tmp_path / "c.png", "--strip") == 0
    info = Image.open(tmp_path / "c.png").info
    assert "xmp" not in info and "exif" not in info and info["dpi"][0] == pytest.approx(300, abs=0.1)


def test_limits_and_quality_reach_the_work(tmp_path):
    source = picture(tmp_path / "a.png", np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    assert run(source, "-m", "bicubic-x2", "--max-pixels", 1599) == 4
    for quality in (30, 98):
        assert run(source, "-m", "bicubic-x2", "-o", tmp_path / f"{quality}.jpg", "--quality", quality) == 0
    assert (tmp_path / "30.jpg").stat().st_size < (tmp_path / "98.jpg").stat().st_size / 2
    assert run(source, "-m", "bicubic-x2", "-o", tmp_path / "tiled.png", "--tile", 16) == 0
    assert run(source, "-m", "bicubic-x2", "-o", tmp_path / "whole.png", "--tile", 0) == 0
    assert (tmp_path / "tiled.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_a_process_starts_fast_and_leaves_stdout_to_the_result(tmp_path):
    source = picture(tmp_path / "a.png", np.zeros((128, 128, 3), np.uint8))
    probe = "import sys; from mezzotint.cli import main; main(sys.argv[1:])"
    imported = "import sys, mezzotint.cli.upscale; print('numpy' in sys.modules, 'PIL' in sys.modules)"
    listed = subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True, check=True)
    assert listed.stdout == "False False\n"
    done = subprocess.run(
        [sys.executable, "-c", probe, "upscale", str(source), "-m", "bicubic-x4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith(f"{source} -> ")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_in_good_order(tmp_path, number, code):
    for n in range(120):
        picture(tmp_path / "in" / f"{n:03}.png", np.zeros((150, 150, 3), np.uint8))
    out = tmp_path / "out"
    program = "import sys; from mezzotint.cli import main; main(sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        program,
        "upscale",
        str(tmp_path / "in"),
        "-o",
        str(out),
        "-m",
        "bicubic-x4",
        "--json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not (out.is_dir() and len(list(out.iterdir())) > 2) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == code
    assert stderr.count("\n") == 1 and "interrupted" in stderr
    *done, summary = (json.loads(line) for line in stdout.splitlines())
    assert summary["summary"] and summary["not_done"] > 0
    # What is there is whole, and nothing half is left behind.
    found = sorted(path.name for path in out.iterdir())
    assert not [name for name in found if name.endswith(".part")]
    assert len(done) <= len(found) <= len(done) + 1
    for name in found:
        Image.open(out / name).load()


def test_shards_do_every_picture_once(tmp_path, capsys):
    for index in range(7):
        picture(tmp_path / "in" / f"{index}.png")
    made = []
    for share in (1, 2, 3):
        assert run(tmp_path / "in", "-m", "bicubic-x2", "-o", tmp_path / str(share), "--shard", f"{share}/3") == 0
        made += [path.name for path in (tmp_path / str(share)).iterdir()]
    assert sorted(made) == [f"{index}.png" for index in range(7)]
    for wrong in ("0/3", "4/3", "2", "a/b"):
        assert run(tmp_path / "in", "-m", "bicubic-x2", "-o", tmp_path / "x", "--shard", wrong) == 2
    assert not (tmp_path / "x").exists()


def test_a_share_may_be_empty(tmp_path):
    assert run(picture(tmp_path / "a.png"), "-m", "bicubic-x2", "-o", tmp_path / "b.png", "--shard", "2/2") == 0
    assert not (tmp_path / "b.png").exists()
