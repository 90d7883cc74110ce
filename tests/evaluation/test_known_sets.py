"""What is said about the test sets of the papers, without a picture of them."""

import json

import numpy as np
import pytest
from PIL import Image

from mezzotint.cli import main
from mezzotint.evaluation import evaluate
from mezzotint.evaluation.known_sets import remark

SET5 = 567_456  # five pictures: 512x512, 288x288, 256x256, 280x280, 228x344


@pytest.mark.parametrize(
    ("model", "data", "scale", "pictures", "pixels", "psnr", "said"),
    [
        ("bicubic-x4", "anything.zip", 4, 5, SET5, 28.43, "this is 28.43: pictures and protocol are theirs"),
        ("bicubic-x3", "Set5", 3, 5, 563_886, 30.41, "x3 30.39 dB PSNR-Y, this is 30.41: pictures and protocol are theirs"),
        ("bicubic-x2", "data/set14.zip", 2, 14, 3_217_680, 30.23, "Set14: papers give bicubic x2 30.24"),
        ("bicubic-x4", "B100", 4, 100, 15_360_000, 25.96, "BSD100: papers give bicubic x4 25.96"),
        ("bicubic-x4", "Urban100/HR", 4, 100, 70_000_000, 23.14, "pictures and protocol are theirs"),
        ("bicubic-x4", "Set5", 4, 5, SET5, 26.9, "this is 26.90: the pictures were changed"),
        ("bicubic-x4", "x", 4, 5, 553_248, 28.5, "this is 28.50: the pictures have 553,248 pixels, and the set's"),
        ("bicubic-x4", "x", 4, 5, 553_248, 28.44, "as good as theirs, though the pictures have 553,248"),
        ("bicubic-x4", "Set5", 4, 4, 480_000, 28.1, "there are 4 pictures, and the set has 5"),
        ("runs/mine", "Set5", 4, 5, SET5, 31.3, "evaluate bicubic-x4 here"),
        ("runs/mine", "Set5", 4, 4, 480_000, 31.3, "here there are 4 pictures, and the set has 5: do not compare"),
    ],
)  # fmt: skip
def test_known_pictures(model, data, scale, pictures, pixels, psnr, said) -> None:
    assert said in remark(model, data, scale, pictures, pixels, psnr)


@pytest.mark.parametrize(
    ("data", "scale", "pictures", "pixels"),
    [("photos", 4, 5, 3 * SET5), ("photos", 4, 6, SET5), ("Set50", 4, 50, 1), ("Set5", 8, 5, SET5), ("Set5/a/b", 4, 9, 1)],
)  # fmt: skip
def test_nothing_is_said_about_others(data, scale, pictures, pixels) -> None:
    assert remark(f"bicubic-x{scale}", data, scale, pictures, pixels, 28.4) == ""


def test_the_command_and_the_json_say_it_at_the_end(tmp_path, capsys) -> None:
    folder = tmp_path / "Set5"
    folder.mkdir()
    for seed in range(2):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), np.uint8)).save(
            folder / f"{seed}.png"
        )
    with pytest.raises(SystemExit):
        main(["evaluate", "bicubic-x4", str(folder)])
    assert capsys.readouterr().out.splitlines()[-1].startswith("Set5: papers give bicubic x4 28.42 dB PSNR-Y, this is ")
    report = evaluate("bicubic-x4", folder)
    assert "there are 2 pictures" in json.loads(report.to_json())["remark"]
    # A picture that is missing, or a degradation of one's own: no comparison.
    (folder / "broken.png").write_bytes(b"")
    assert evaluate("bicubic-x4", folder).remark == "" and "remark" not in evaluate("bicubic-x4", folder).summary()
    (folder / "broken.png").unlink()
    assert evaluate("bicubic-x4", folder, degrade="photo-x4").remark == ""
