"""`mezzotint evaluate` at the command line: output, JSON, exit codes."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from mezzotint.cli import main


@pytest.fixture
def run(capsys):
    """Runs the command and returns (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, arguments)])
        return ended.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), np.uint8)).save(folder / name)
    return folder


def test_a_table(run, photos) -> None:
    code, out, err = run("bicubic-x4", photos)
    lines = [line.split() for line in out.splitlines()]
    assert code == 0 and err == ""
    assert lines[0] == ["image", "PSNR-Y", "SSIM-Y", "PSNR-LR", "seconds"]
    assert [line[0] for line in lines[1:]] == ["a.png", "b.png", "mean"]
    psnr = [float(line[1]) for line in lines[1:]]
    assert psnr[2] == pytest.approx((psnr[0] + psnr[1]) / 2, abs=1e-4)


def test_json_lines_and_the_summary(run, photos) -> None:
    code, out, err = run("bicubic-x4", photos, "--json")
    *images, summary = map(json.loads, out.splitlines())
    assert code == 0 and err == ""
    assert [image["name"] for image in images] == ["a.png", "b.png"]
    assert summary["summary"] is True and summary["model"] == "bicubic-x4" and summary["data"] == str(photos)
    assert summary["n"] == 2 and summary["scale"] == 4 and summary["failed"] == 0 and summary["seconds"] > 0
    for key in ("psnr_y", "psnr_rgb", "psnr_lr", "ssim_y"):
        assert summary[key] == pytest.approx(sum(image[key] for image in images) / 2)


def test_protocol_rgb_shows_the_other_psnr(run, photos) -> None:
    _, table, _ = run("bicubic-x2", photos, "--protocol", "rgb")
    _, lines, _ = run("bicubic-x2", photos, "--json")
    assert "PSNR-RGB" in table
    shown = float(table.splitlines()[-1].split()[1])
    assert shown == pytest.approx(json.loads(lines.splitlines()[-1])["psnr_rgb"], abs=1e-4)


def test_a_broken_file_among_good_ones(run, photos) -> None:
    (photos / "aa.png").write_bytes(b"not a picture")
    code, out, err = run("bicubic-x2", photos, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert "aa.png" in err and len(err.splitlines()) == 1
    assert rows[1]["name"] == "aa.png" and "error" in rows[1]
    assert rows[-1]["n"] == 2 and rows[-1]["failed"] == 1
    assert run("bicubic-x2", photos)[1].endswith("1 of 3 could not be evaluated\n")


def test_nothing_usable(run, tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"not a picture")
    code, _, err = run("bicubic-x2", tmp_path)
    assert code == 3 and "none of the 1 images" in err
    # No head of a table above an error.
    for model in ("bicubic-x2", "fashion-28"):
        code, out, err = run(model, tmp_path / "nowhere")
        assert code == 3 and not out and "nowhere" in err


@pytest.mark.parametrize(
    "wrong", [["bicubic-x9"], ["bicubic-x2", "--protocol", "lab"], ["bicubic-x2", "--threads", "0"]]
)
def test_usage_mistakes(run, photos, wrong) -> None:
    assert run(wrong[0], photos, *wrong[1:])[0] == 2


def test_the_report_as_a_file(run, photos, tmp_path) -> None:
    output = tmp_path / "results.json"
    assert run("bicubic-x2", photos, "--output", output)[0] == 0
    facts = json.loads(output.read_text())
    assert facts["n"] == 2 and [image["name"] for image in facts["images"]] == ["a.png", "b.png"]
    before = output.read_bytes()
    code, out, err = run("bicubic-x4", photos, "--output", output)
    assert code == 2 and out == "" and "--overwrite" in err and output.read_bytes() == before
    assert run("bicubic-x4", photos, "--output", output, "--overwrite")[0] == 0
    assert json.loads(output.read_text())["scale"] == 4


@pytest.mark.parametrize("option", ["--output", "--panel"])
def test_a_folder_that_is_not_there_is_told_before_the_work(run, photos, tmp_path, option) -> None:
    path = tmp_path / "none" / "r.png"
    code, out, err = run("bicubic-x4", photos, option, path)
    assert code == 6 and out == "" and str(path) in err


def test_a_zip_of_pictures_equals_their_folder(run, photos, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for file in photos.iterdir():
            archive.write(file, file.name)
    folder, archive = (
        [json.loads(row)["psnr_y"] for row in run("bicubic-x2", data, "--json")[1].splitlines()]
        for data in (photos, tmp_path / "photos.zip")
    )
    assert folder == archive and len(folder) == 3


def test_ensemble_asks_eight_times_and_answers_otherwise(run, photos) -> None:
    alone, together = (
        json.loads(run("compact-x4", photos, "--json", "--threads", 1, *option)[1].splitlines()[-1])
        for option in ([], ["--ensemble"])
    )
    assert together["psnr_y"] > alone["psnr_y"]
