"""Evaluation by the papers' protocol, on small images with answers worked out independently."""

import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mezzotint
from mezzotint import runtimes
from mezzotint.card import GENERATION, SUPER_RESOLUTION, Card
from mezzotint.errors import InputError, ModelError, QualityError, UsageError
from mezzotint.evaluation import Failure, Result, evaluate, super_resolution
from mezzotint.evaluation.super_resolution import super_resolve
from mezzotint.image.resize import imresize


class Fake:
    """A model that answers with `function(lr)`."""

    def __init__(self, function, scale: int = 2, in_channels: int = 3, task: str = SUPER_RESOLUTION) -> None:
        self.card = Card(name="fake", task=task, network="fake", scale=scale, in_channels=in_channels)
        self.function = function

    def __call__(self, lr: np.ndarray) -> np.ndarray:
        assert lr.dtype == np.float32 and lr.ndim == 4 and lr.shape[:2] == (1, self.card.in_channels)
        return self.function(lr)


def nearest(lr: np.ndarray, scale: int = 2) -> np.ndarray:
    return lr.repeat(scale, 2).repeat(scale, 3)


def save(path: Path, pixels: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def y_of(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = (rgb[..., c].astype(float) for c in range(3))
    return 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(255**2 / ((a.astype(float) - b) ** 2).mean())


def test_the_protocol_step_by_step(tmp_path) -> None:
    """Crop to a multiple, shrink on 8 bits, round the prediction, cut the border, compare Y: each step by itself."""
    picture = save(tmp_path / "a.png", noise(0, 33, 38, 3))
    report = evaluate(Fake(lambda lr: nearest(lr, 3), scale=3), tmp_path)
    hr = picture[:33, :36]
    sr = imresize(hr, 1 / 3).repeat(3, 0).repeat(3, 1)
    (row,) = report.results
    assert row.name == "a.png" and row.seconds >= 0
    assert row.psnr_y == pytest.approx(psnr(y_of(sr[3:-3, 3:-3]), y_of(hr[3:-3, 3:-3])), abs=1e-9)
    assert row.psnr_rgb == pytest.approx(psnr(sr[3:-3, 3:-3], hr[3:-3, 3:-3]), abs=1e-9)
    assert (report.model, report.scale, report.protocol, report.psnr_y) == ("fake", 3, "y", row.psnr_y)
    assert report.psnr == row.psnr_y
    assert row.psnr_lr == pytest.approx(psnr(imresize(sr, 1 / 3), imresize(hr, 1 / 3)), abs=1e-9)
    assert (row.height, row.width) == (33, 36) and report.psnr_lr == row.psnr_lr


def test_the_network_gets_and_gives_values_of_zero_to_one_rounded_half_up() -> None:
    lr = np.array([[[0], [255], [51]]], np.uint8)
    seen = []
    answers = np.array([[[[-0.2, 1.7, 100.5 / 255, 100.49 / 255, 1.5 / 255, 0.5 / 255]] * 2]])

    def network(planes: np.ndarray) -> np.ndarray:
        seen.append(planes)
        return answers

    result = super_resolve(Fake(network, in_channels=1), lr)
    np.testing.assert_array_equal(result[0, :, 0], [0, 255, 101, 100, 2, 1])
    np.testing.assert_allclose(seen[0], [[[[0, 1, 0.2]]]], atol=1e-7)


def test_a_grey_image_is_its_own_luma(tmp_path) -> None:
    grey = save(tmp_path / "grey.png", noise(1, 32, 40))
    seen = []

    def network(lr: np.ndarray) -> np.ndarray:
        seen.append(lr)
        # Three channels that disagree: their mean is the answer.
        return nearest(lr) + np.array([0.02, -0.01, -0.01], np.float32).reshape(1, 3, 1, 1)

    report = evaluate(Fake(network), tmp_path)
    assert all((lr == lr[:, :1]).all() for lr in seen)
    sr = imresize(grey, 0.5).repeat(2, 0).repeat(2, 1)
    expected = psnr(sr[2:-2, 2:-2], grey[2:-2, 2:-2])
    assert report.psnr_y == pytest.approx(expected, abs=1e-9)
    assert report.psnr_rgb == pytest.approx(expected, abs=1e-9)


def test_a_network_of_one_channel_takes_colours_one_by_one(tmp_path) -> None:
    save(tmp_path / "a.png", noise(2, 32, 32, 3))
    one = evaluate(Fake(nearest, in_channels=1), tmp_path)
    assert one.psnr_y == pytest.approx(evaluate(Fake(nearest), tmp_path).psnr_y, abs=1e-12)


def test_large_images_are_tiled_with_the_same_result(monkeypatch) -> None:
    lr = noise(3, 70, 90, 3)
    model = runtimes.load("bicubic-x3")
    whole = super_resolve(model, lr)
    sizes = []

    class Watched:
        card = model.card

        def __call__(self, part: np.ndarray) -> np.ndarray:
            sizes.append(part.shape[2] * part.shape[3])
            return model(part)

    monkeypatch.setattr(super_resolution, "_LARGEST_WHOLE", 1000)
    monkeypatch.setattr(super_resolution, "_TILE", 30)
    np.testing.assert_array_equal(super_resolve(Watched(), lr), whole)
    assert len(sizes) > 4 and max(sizes) < 2000


def pairs(root: Path, layout: dict[str, str]) -> Path:
    """HR images and LR images made by dropping pixels, which MATLAB's bicubic would not give."""
    for seed, (hr, lr) in enumerate(layout.items()):
        picture = save(root / hr, noise(seed, 32, 36, 3))
        save(root / lr, np.ascontiguousarray(picture[::2, ::2]))
    return root


@pytest.mark.parametrize(
    "layout",
    [
        {"HR/a.png": "LR/a.png", "HR/b.png": "LR/b.png"},
        {"HR/a.png": "LR/ax2.png", "HR/b.png": "LR/b_x2.bmp"},
        {"hr/a.png": "lr/X2/ax2.png", "hr/b.png": "lr/X2/bx2.png"},
        {"Set/HR/a.png": "Set/LR/a.png", "Set/HR/b.png": "Set/LR/b.png"},
        {"HR/a_SRF_2_HR.png": "LR/a_SRF_2_LR.png", "HR/b_HR.png": "LR/b_LR.png"},
        {"HR/x/a.png": "LR/x/a.png", "HR/y/a.png": "LR/y/a.png"},
        {"HR/box2.png": "LR/box2.png", "HR/bo.png": "LR/bo.png"},
    ],
    ids=lambda layout: next(iter(layout.values())),
)
def test_ready_made_pairs(tmp_path, layout: dict[str, str]) -> None:
    pairs(tmp_path, layout)
    given = []

    def network(lr: np.ndarray) -> np.ndarray:
        given.append(lr)
        return nearest(lr)

    report = evaluate(Fake(network), tmp_path)
    assert [row.name for row in report.results] == sorted(layout)
    for lr, name in zip(given[1:], sorted(layout), strict=True):
        expected = np.asarray(Image.open(tmp_path / layout[name])).transpose(2, 0, 1)
        np.testing.assert_allclose(lr[0] * 255, expected, atol=1e-3)


def test_pairs_in_a_zip_equal_pairs_in_a_folder(tmp_path) -> None:
    folder = pairs(tmp_path / "set", {"HR/a.png": "LR/a.png", "HR/b.png": "LR/b.png"})
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, file.relative_to(folder))
    scores = [
        [(row.name, row.psnr_y, row.ssim_y) for row in evaluate("bicubic-x2", data).results]
        for data in (folder, tmp_path / "set.zip")
    ]
    assert scores[0] == scores[1] and len(scores[0]) == 2


def test_pairs_that_do_not_fit_are_named_and_the_others_measured(tmp_path) -> None:
    pairs(tmp_path, {"HR/a.png": "LR/a.png", "HR/b.png": "LR/b.png", "HR/c.png": "LR/other.png"})
    save(tmp_path / "LR/b.png", noise(9, 16, 17, 3))
    report = evaluate("bicubic-x2", tmp_path)
    assert [row.name for row in report.results] == ["HR/a.png"]
    wrong_size, missing = report.failures
    assert wrong_size.name == "HR/b.png"
    assert "36 x 32" in wrong_size.error and "17 x 16" in wrong_size.error and "LR/b.png" in wrong_size.error
    assert missing.name == "HR/c.png" and "no twin" in missing.error


def test_only_the_twins_of_this_scale_are_taken(tmp_path) -> None:
    pairs(tmp_path, {"HR/a.png": "LR/X2/ax2.png"})
    save(tmp_path / "LR/X4/ax4.png", noise(3, 8, 9, 3))
    assert len(evaluate("bicubic-x2", tmp_path).results) == 1
    report = evaluate("bicubic-x4", tmp_path)
    assert len(report.results) == 1 and not report.failures
    with pytest.raises(InputError, match="no twin for scale 3"):
        evaluate("bicubic-x3", tmp_path)


def test_a_broken_image_does_not_stop_the_others(tmp_path) -> None:
    save(tmp_path / "a.png", noise(0, 32, 32, 3))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    save(tmp_path / "c.png", noise(1, 12, 40, 3))
    save(tmp_path / "d.png", noise(2, 32, 32, 3))
    rows: list[Result | Failure] = []
    report = evaluate("bicubic-x2", tmp_path, on_result=rows.append)
    assert [row.name for row in rows] == ["a.png", "b.png", "c.png", "d.png"]
    assert [row.name for row in report.failures] == ["b.png", "c.png"]
    assert "too small" in report.failures[1].error
    assert report.psnr_y == pytest.approx((report.results[0].psnr_y + report.results[1].psnr_y) / 2)


def test_no_usable_image_is_an_error(tmp_path) -> None:
    (tmp_path / "b.png").write_bytes(b"text")
    with pytest.raises(InputError, match=r"none of the 1 images .*b\.png"):
        evaluate("bicubic-x2", tmp_path)


def test_exact_reproductions_stay_valid_json(tmp_path) -> None:
    save(tmp_path / "flat.png", np.full((32, 32, 3), 77, np.uint8))
    save(tmp_path / "flat2.png", np.full((32, 32), 200, np.uint8))
    picture = save(tmp_path / "noise.png", noise(0, 32, 32, 3))
    report = evaluate("bicubic-x2", tmp_path)
    assert picture.any() and report.infinite == 2
    assert report.results[0].psnr_y == math.inf
    assert report.psnr_y == report.results[2].psnr_y
    facts = json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert facts["images"][0]["psnr_y"] is None and facts["infinite"] == 2 and facts["n"] == 3
    assert json.loads(report.results[0].to_json())["psnr_y"] is None
    (tmp_path / "noise.png").unlink()
    assert evaluate("bicubic-x2", tmp_path).psnr_y == math.inf
    assert evaluate("bicubic-x2", tmp_path).summary()["psnr_y"] is None


def test_a_model_that_is_wrong_is_not_scored(tmp_path) -> None:
    save(tmp_path / "a.png", noise(0, 32, 32, 3))
    with pytest.raises(ModelError, match="not 2 times"):
        evaluate(Fake(lambda lr: nearest(lr, 3)), tmp_path)
    with pytest.raises(QualityError, match="not finite"):
        evaluate(Fake(lambda lr: nearest(lr) * np.nan), tmp_path)
    with pytest.raises(UsageError, match="generates"):
        evaluate(Fake(nearest, task=GENERATION), tmp_path)


def test_mistakes_are_told_before_any_work(tmp_path) -> None:
    with pytest.raises(UsageError, match="protocol"):
        evaluate("bicubic-x2", tmp_path, protocol="lab")
    with pytest.raises(UsageError, match="did you mean bicubic-x4"):
        evaluate("bicubic-x44", tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        evaluate("bicubic-x2", tmp_path / "nowhere")


def test_the_public_name(tmp_path) -> None:
    save(tmp_path / "a.png", noise(0, 32, 32, 3))
    report = mezzotint.evaluate("bicubic-x2", tmp_path, protocol="rgb")
    assert report.psnr == report.psnr_rgb and 0 < report.ssim_y < 1 and report.seconds > 0
