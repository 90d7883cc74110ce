"""`mezzotint generate --upscale`: from noise to an enlarged picture through two models that ship."""

import numpy as np
import pytest
from PIL import Image

from mezzotint.cli import main


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["generate", "-n", "3", *map(str, arguments)])
    return end.value.code or 0


def test_the_same_images_enlarged(tmp_path):
    assert run("-o", tmp_path / "small.npz") == 0
    assert run("--upscale", "2", "-o", tmp_path / "large.npz") == 0
    small, large = (np.load(tmp_path / f"{name}.npz")["images"] for name in ("small", "large"))
    assert large.shape == (3, 2 * small.shape[1], 2 * small.shape[2], small.shape[3])
    reduced = large.reshape(3, small.shape[1], 2, small.shape[2], 2, -1).mean(axis=(2, 4))
    assert np.abs(reduced - small).mean() < 0.1 * np.ptp(small)


def test_pictures_say_what_enlarged_them(tmp_path):
    assert run("--upscale", "4", "-o", tmp_path / "sheet.png") == 0
    assert b"Upscaler" in Image.open(tmp_path / "sheet.png").info["xmp"]


def test_impossible_scales_are_refused_and_nothing_is_written(tmp_path):
    assert run("--upscale", "40", "-o", tmp_path / "sheet.png") == 2
    assert not list(tmp_path.iterdir())
