"""Evaluation on degraded pictures: which ones they are depends on recipe, seed and name alone, and the report says so."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint.cli import main
from mezzotint.data.second_order import SecondOrder
from mezzotint.errors import InputError, UsageError
from mezzotint.evaluation import evaluate
from mezzotint.recipes import degradation

PHOTO_TEST = Path(__file__).parents[2] / "benchmarks" / "photo-degradation.toml"
NOISY = """
seed = 7

[degradation]
name = "second_order.SecondOrder"
blur = [0.0, 0.0]
final_sinc = 0.0
"""


@pytest.fixture
def photos(tmp_path) -> Path:
    for seed, name in enumerate(("a.png", "b.png")):
        smooth = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 10, 3), np.uint8))
        (tmp_path / "photos").mkdir(exist_ok=True)
        smooth.resize((60, 48), Image.Resampling.BICUBIC).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.fixture
def noisy(tmp_path) -> Path:
    (tmp_path / "noisy.toml").write_text(NOISY)
    return tmp_path / "noisy.toml"


def low_resolutions(photos: Path, **options: object) -> dict[str, np.ndarray]:
    seen = {}
    evaluate("bicubic-x2", photos, on_images=lambda name, lr, sr, hr: seen.update({name: lr}), **options)
    return seen


def test_the_low_resolution_is_what_the_chain_makes_with_the_seed_told(photos, noisy) -> None:
    seen = low_resolutions(photos, degrade=noisy)
    report = evaluate("bicubic-x2", photos, degrade=noisy)
    chain = SecondOrder(blur=(0.0, 0.0), final_sinc=0.0)
    for row in report.results:
        hr = np.asarray(Image.open(photos / row.name))
        assert row.seed == zlib.crc32(f"7 {row.name}".encode())
        np.testing.assert_array_equal(seen[row.name], chain(hr, 2, np.random.default_rng(row.seed)))
    assert len({row.seed for row in report.results}) == 2
    clean = evaluate("bicubic-x2", photos)
    assert report.psnr_y < clean.psnr_y - 1 and clean.results[0].seed is None


def test_a_picture_is_degraded_the_same_whatever_lies_beside_it(photos, noisy) -> None:
    both, other = low_resolutions(photos, degrade=noisy), low_resolutions(photos, degrade=noisy, seed=8)
    (photos / "a.png").unlink()
    alone = low_resolutions(photos, degrade=noisy, seed=7)
    np.testing.assert_array_equal(alone["b.png"], both["b.png"])
    assert (other["b.png"] != both["b.png"]).any()


def test_the_report_says_how(photos, noisy) -> None:
    summary = evaluate("bicubic-x2", photos, degrade=noisy, seed=3).summary()["degradation"]
    assert summary["recipe"] == str(noisy) and summary["seed"] == 3
    assert summary["name"] == "second_order.SecondOrder" and summary["blur"] == [0.0, 0.0]
    assert "degradation" not in evaluate("bicubic-x2", photos).summary()


def test_the_photo_test_is_milder_than_what_photo_x4_trains_on_and_another_chain() -> None:
    component, seed = degradation.read(PHOTO_TEST)
    test = SecondOrder(**component.arguments)
    training, _ = degradation.read("photo-x4")
    assert seed == 0 and component != training
    # One compression that matters, of quality 30 to 90; one reduction; blur before it and noise behind it.
    assert test.quality == [[100.0, 100.0], [30.0, 90.0]] and test.clean == test.webp == 0
    assert test.noise[0] == [0.0, 0.0] and test.noise[1][1] <= training.arguments["noise"][0][1]
    assert test.blur[0] > 0 and test.resize[0] == test.resize[1] == [0.0, 0.0, 1.0]


def test_mistakes(photos, tmp_path) -> None:
    def read(text: str) -> None:
        (tmp_path / "wrong.toml").write_text(text)
        degradation.read(tmp_path / "wrong.toml")

    with pytest.raises(UsageError, match="compact-x4 has no table"):
        evaluate("bicubic-x2", photos, degrade="compact-x4")
    with pytest.raises(UsageError, match="no recipe named 'photo-x9'"):
        evaluate("bicubic-x2", photos, degrade="photo-x9")
    with pytest.raises(InputError, match="cannot read recipe"):
        degradation.read(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="not valid TOML"):
        read("seed = ")
    with pytest.raises(UsageError, match=r"has 2 mistake\(s\): degradation.webp: .* degradation.blurr: there is"):
        read('[degradation]\nname = "second_order.SecondOrder"\nblurr = 1\nwebp = "yes"')
    with pytest.raises(UsageError, match="shares of a degradation"):
        read('[degradation]\nname = "second_order.SecondOrder"\nwebp = 2.0')
    with pytest.raises(UsageError, match="seed must be a whole number"):
        read('seed = -1\n[degradation]\nname = "second_order.SecondOrder"')
    for side in ("HR", "LR"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        Image.new("RGB", (48, 48) if side == "HR" else (24, 24)).save(tmp_path / "pairs" / side / "a.png")
    with pytest.raises(UsageError, match="brings its own low resolution"):
        evaluate("bicubic-x2", tmp_path / "pairs", degrade="photo-x4")
    assert evaluate("bicubic-x2", tmp_path / "pairs" / "HR", degrade="photo-x4").results


def test_the_command(photos, noisy, capsys) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, arguments)])
        return ended.value.code or 0, *capsys.readouterr()

    code, out, _ = run("bicubic-x2", photos, "--degrade", noisy)
    assert code == 0 and out.splitlines()[-1] == f"low resolution made by {noisy}, seed 7"
    _, out, _ = run("bicubic-x2", photos, "--degrade", noisy, "--seed", 9, "--json")
    first, _, summary = map(json.loads, out.splitlines())
    assert first["seed"] == zlib.crc32(b"9 a.png") and summary["degradation"]["seed"] == 9
    code, _, err = run("bicubic-x2", photos, "--seed", 9)
    assert code == 2 and "--seed is for generators and for --degrade" in err
    code, _, err = run("fashion-28", photos, "--degrade", noisy)
    assert code == 2 and "--degrade is for super-resolution" in err
