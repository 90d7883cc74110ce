import io
import sys

import numpy as np
import pytest

from mezzotint.errors import LimitError, UsageError
from mezzotint.image import video
from mezzotint.image.animation import check_animation, write_animation
from mezzotint.image.video import encode_mp4


def squares(n=6, height=28, width=31, channels=3):
    """A bright square that wanders over a coloured ground."""
    frames = np.full((n, height, width, channels), (200, 40, 90)[:channels], np.uint8)
    for index in range(n):
        frames[index, 6:14, 2 * index + 4 : 2 * index + 14] = 255
    return frames


def shown(data):
    """(frames N H W 3, frames a second, the file's note)."""
    av = pytest.importorskip("av", reason="films need PyAV: pip install 'mezzotint[video]'")
    with av.open(io.BytesIO(data)) as film:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])
        stream = film.streams.video[0]
        assert stream.codec_context.pix_fmt == "yuv420p"
        return frames, float(stream.average_rate), film.metadata["comment"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_film_shows_its_frames_at_their_rate(channels):
    pytest.importorskip("av", reason="films need PyAV")
    frames = squares(channels=channels)
    back, rate, note = shown(encode_mp4(frames, 40, "Model: fake, größer"))
    assert back.shape == (6, 28, 32, 3) and rate == 25 and note == "Model: fake, größer"
    difference = np.abs(back[:, :, :31].astype(int) - frames)
    assert np.median(difference) <= 3 and difference.mean() < 8
    # The frames come in their order: each is nearest to its own.
    distances = np.abs(back[:, None, :, :31].astype(int) - frames).mean((2, 3, 4))
    assert distances.argmin(1).tolist() == list(range(6))


def test_an_odd_side_is_filled_by_its_last_pixels():
    pytest.importorskip("av", reason="films need PyAV")
    frames = np.tile(np.arange(27, dtype=np.uint8)[:, None, None] * 9, (2, 1, 15, 1))
    back, _, _ = shown(encode_mp4(frames, 60, "x"))
    assert back.shape == (2, 28, 16, 3)
    assert np.abs(back[:, 27].astype(int) - 26 * 9).max() < 16


def test_equal_frames_give_equal_bytes(tmp_path):
    pytest.importorskip("av", reason="films need PyAV")
    for name in "ab":
        write_animation(squares(), tmp_path / f"{name}.mp4", 50, comment="x")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with pytest.raises(LimitError, match="4096"):
        write_animation(np.zeros((1, 2, 5000, 1), np.uint8), tmp_path / "wide.mp4", 50)
    assert not (tmp_path / "wide.mp4").exists()


def test_without_pyav_the_extra_is_named_before_any_work(monkeypatch):
    for name in ("av", "av.codec"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"mezzotint\[video\]"):
        check_animation("walk.mp4", 60)


def test_pyav_without_an_encoder_is_told(monkeypatch):
    pytest.importorskip("av", reason="films need PyAV")
    monkeypatch.setattr(video, "_ENCODERS", ("nothing",))
    with pytest.raises(UsageError, match="nothing"):
        check_animation("walk.mp4", 60)


def test_without_h264_it_is_an_older_film(monkeypatch):
    pytest.importorskip("av", reason="films need PyAV")
    monkeypatch.setattr(video, "_ENCODERS", ("nothing", "mpeg4"))
    back, rate, _ = shown(encode_mp4(squares(), 40, "x"))
    assert rate == 25 and np.abs(back[:, :, :31].astype(int) - squares()).mean() < 8
