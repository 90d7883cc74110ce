import io
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from mezzotint.cli import main
from mezzotint.image.animation import write_frames
from mezzotint.image.frames import read_animation
from mezzotint.image.io import Picture

TIMES = [40, 120, 500]


def run(*arguments):
    try:
        main(["upscale", *map(str, arguments), "-m", "bicubic-x2"])
    except SystemExit as end:
        return end.code or 0
    return 0


def film(path, alpha=False, n=3):
    """Squares of one colour that change places, over nothing or over black."""
    frames = []
    for index in range(n):
        opacity = np.zeros((16, 16), np.uint8)
        opacity[4 * index : 4 * index + 4, 4:12] = 255
        pixels = np.where(opacity[..., None] > 0, np.array([250, 200, 10]), 0).astype(np.uint8)
        frames.append(Picture(pixels, opacity if alpha else None))
    write_frames(frames, path, TIMES[:n], plays=2, transparent=alpha, palette_of=frames)
    return path


def found(path):
    animation = read_animation(path.read_bytes())
    assert animation is not None
    return animation


@pytest.mark.parametrize("suffix", ["gif", "apng", "webp", "avif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_all_frames_are_enlarged_in_the_same_format(tmp_path, suffix, alpha, capsys):
    source = film(tmp_path / f"a.{suffix}", alpha)
    assert run(source) == 0
    assert "(32x32, 3 frames," in capsys.readouterr().out
    large, small = found(tmp_path / f"a_x2.{suffix}"), found(source)
    assert large.format == small.format and (large.width, large.height) == (32, 32)
    assert (large.durations, large.transparent) == (small.durations, alpha)
    assert large.plays == small.plays and large.lossless == small.lossless
    for big, little in zip(large.frames(), small.frames(), strict=True):
        # Nothing of the frame before is left over, and at the edges of what is opaque nothing is dark.
        lit = (little.pixels[..., 0] > 200) & (True if little.alpha is None else little.alpha > 128)
        inside = big.pixels[lit.repeat(2, 0).repeat(2, 1)].astype(int)
        assert np.abs(np.median(inside, 0) - [250, 200, 10]).max() < 8
        if alpha:
            assert (big.alpha[little.alpha.repeat(2, 0).repeat(2, 1) == 0] < 128).mean() > 0.9
            assert np.abs(big.pixels[big.alpha > 200].astype(int) - [250, 200, 10]).max() < 16
        else:
            assert big.pixels[0, -1].max() < 8


@pytest.mark.parametrize("target", ["b.gif", "b.webp", "b.apng", "b.avif"])
def test_one_kind_of_animation_becomes_another(tmp_path, target, capsys):
    assert run(film(tmp_path / "a.gif"), "-o", tmp_path / target) == 0
    assert found(tmp_path / target).durations == tuple(TIMES)
    assert found(tmp_path / target).plays == (0 if target == "b.avif" else 2)
    assert ("for ever" in capsys.readouterr().err) == (target == "b.avif")
    assert run(tmp_path / "a.gif", "--format", target[2:]) == 0
    assert found(tmp_path / f"a_x2.{target[2:]}").durations == tuple(TIMES)


def test_formats_that_hold_one_picture_are_refused_before_the_work_and_first_takes_one(tmp_path, capsys):
    source = film(tmp_path / "a.gif")
    for name in ("jpeg", "png", "tiff", "bmp"):
        assert run(source, "--format", name) == 3
        assert "3 frames" in (told := capsys.readouterr().err) and "--frames first" in told
    assert list(tmp_path.iterdir()) == [source]
    assert run(source, "--frames", "first") == 0
    with Image.open(tmp_path / "a_x2.png") as image:
        assert image.size == (32, 32) and not getattr(image, "is_animated", False)


def test_a_bad_frame_leaves_nothing(tmp_path):
    data = film(tmp_path / "a.webp").read_bytes()
    (tmp_path / "b.webp").write_bytes(data[: len(data) - 40])
    assert run(tmp_path / "b.webp") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.webp", "b.webp"]


def test_provenance_goes_with_it_unless_stripped(tmp_path):
    for suffix in ("gif", "webp", "apng"):
        source = film(tmp_path / f"a.{suffix}")
        assert run(source) == 0 and run(source, "-o", tmp_path / f"bare.{suffix}", "--strip") == 0
        for name, expected in ((f"a_x2.{suffix}", True), (f"bare.{suffix}", False)):
            with Image.open(tmp_path / name) as image:
                told = image.info.get("comment" if suffix == "gif" else "xmp") or b""
                assert (b"bicubic-x2" in told) == expected


def test_equal_frames_are_enlarged_once(tmp_path, monkeypatch):
    from mezzotint.pipelines.upscale import Upscaler

    still = Picture(np.full((8, 8, 3), 90, np.uint8))
    moved = Picture(np.full((8, 8, 3), 20, np.uint8))
    write_frames([still, still, still, moved], tmp_path / "a.webp", [50] * 4)
    done, whole = [], Upscaler.picture
    monkeypatch.setattr(Upscaler, "picture", lambda *given, **options: done.append(1) or whole(*given, **options))
    assert run(tmp_path / "a.webp") == 0
    assert len(done) == 2


def test_an_animation_through_pipes(tmp_path, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(film(tmp_path / "a.gif").read_bytes()))
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", stream)
    monkeypatch.setattr(sys, "stdout", out)
    assert run("-", "-o", "-") == 0
    again = read_animation(out.buffer.getvalue())
    assert again is not None and again.format == "GIF" and again.width == 32


def test_a_signal_ends_it_between_two_frames_and_nothing_is_left(tmp_path):
    rng = np.random.default_rng(0)
    frames = (Picture(rng.integers(0, 256, (120, 120, 3), np.uint8)) for _ in range(150))
    write_frames(frames, tmp_path / "a.apng", [50] * 150)
    program = "import sys; from mezzotint.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "upscale", str(tmp_path / "a.apng"), "-m", "bicubic-x4"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".*.part")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 143 and told.count("\n") == 1 and "interrupted" in told
    assert [path.name for path in tmp_path.iterdir()] == ["a.apng"]
