import numpy as np
import pytest
from PIL import Image

from mezzotint.errors import LimitError, OutputError, UsageError
from mezzotint.image.animation import write_animation
from mezzotint.image.metadata import GENERATED, Metadata


def shown(path):
    """The frames of a file as N H W C and their durations in ms."""
    with Image.open(path) as image:
        frames, durations = [], []
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
        return np.stack(frames), durations, dict(image.info)


def noise(n=5, channels=1):
    return np.random.default_rng(0).integers(0, 256, (n, 12, 9, channels), np.uint8)


@pytest.mark.parametrize("suffix", ["gif", "webp", "apng"])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_come_back_with_their_times_for_ever(tmp_path, suffix, channels):
    frames = noise(channels=channels) if suffix != "gif" or channels == 1 else noise(channels=3) // 128 * 255
    write_animation(frames, tmp_path / f"a.{suffix}", 70)
    back, durations, info = shown(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(back, np.broadcast_to(frames, (*frames.shape[:3], 3)))
    assert durations == [70] * 5 and info["loop"] == 0


def test_a_gif_of_many_colours_has_one_palette_so_that_what_stands_still_does_not_flicker(tmp_path):
    # More colours in a frame than a palette has.
    frames = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), np.uint8)
    frames[:, 3:-3] = frames[:1, 3:-3]
    write_animation(frames, tmp_path / "a.gif", 50)
    back, _, _ = shown(tmp_path / "a.gif")
    assert len(back) == 6 and (back[:, 3:-3] == back[:1, 3:-3]).all()
    assert np.abs(back.astype(int) - frames).mean() < 24


def test_equal_frames_keep_their_whole_time(tmp_path):
    frames = noise(4)
    frames[2] = frames[1]
    for suffix in ("gif", "apng"):
        write_animation(frames, tmp_path / f"a.{suffix}", 40)
        assert sum(shown(tmp_path / f"a.{suffix}")[1]) == 160


def test_files_say_what_made_them(tmp_path):
    metadata = Metadata().stamped(GENERATED, {"Model": "fake"})
    for suffix in ("webp", "apng", "gif"):
        write_animation(noise(), tmp_path / f"a.{suffix}", 50, metadata, "Model: fake")
    with Image.open(tmp_path / "a.webp") as webp, Image.open(tmp_path / "a.apng") as apng:
        assert webp.info["xmp"] == apng.info["xmp"] == metadata.xmp
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.info["comment"] == b"Model: fake"


@pytest.mark.parametrize(
    ("name", "duration", "error"),
    [
        ("a.png", 50, UsageError),
        ("a.gif", 10, UsageError),
        ("a.gif", 45, UsageError),
        ("a.webp", 30_001, UsageError),
        ("no/a.gif", 50, OutputError),
    ],
)
def test_mistakes_leave_nothing_behind(tmp_path, name, duration, error):
    with pytest.raises(error):
        write_animation(noise(), tmp_path / name, duration)
    assert not list(tmp_path.iterdir())


def test_sides_beyond_the_format_are_refused(tmp_path):
    with pytest.raises(LimitError):
        write_animation(np.zeros((2, 1, 17_000, 1), np.uint8), tmp_path / "a.webp", 50)


def test_what_exists_is_replaced_on_demand_only(tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="overwrite"):
        write_animation(noise(), path, 50)
    assert path.read_bytes() == b"precious"
    write_animation(noise(), path, 50, overwrite=True)
    assert len(shown(path)[0]) == 5
