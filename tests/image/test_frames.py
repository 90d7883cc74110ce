import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mezzotint.errors import InputError, LimitError, UsageError
from mezzotint.image.animation import write_frames
from mezzotint.image.frames import moves, read_animation
from mezzotint.image.io import Picture
from mezzotint.image.metadata import Metadata

RNG = np.random.default_rng(0)
TIMES = [40, 120, 40, 500, 70]


def scene(n=5, alpha=False):
    """A square that wanders over a striped ground of few colours; with alpha, over nothing."""
    found = []
    for index in range(n):
        pixels = np.zeros((24, 30, 3), np.uint8)
        pixels[::4] = (200, 40, 40)
        opacity = np.zeros((24, 30), np.uint8)
        part = np.s_[3 * index : 3 * index + 6, 4 * index : 4 * index + 8]
        pixels[part], opacity[part] = (20, 30, 240), 255
        if alpha:
            pixels[opacity == 0] = 0
        found.append(Picture(pixels, opacity if alpha else None))
    return found


def shown(picture):
    """What an eye sees: colours where there is opacity."""
    return picture.pixels if picture.alpha is None else np.where(picture.alpha[..., None] > 0, picture.pixels, 0)


@pytest.mark.parametrize("suffix", ["gif", "apng", "webp"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("plays", [0, 1, 3])
def test_frames_times_plays_and_opacity_come_back(tmp_path, suffix, alpha, plays):
    path, frames = tmp_path / f"a.{suffix}", scene(alpha=alpha)
    write_frames(iter(frames), path, TIMES, plays=plays, transparent=alpha, palette_of=frames)
    found = read_animation(path.read_bytes())
    assert found is not None and list(found.durations) == TIMES and found.plays == plays
    assert found.transparent == alpha and (found.width, found.height) == (30, 24) and found.lossless
    back = list(found.frames())
    for frame, again in zip(frames, back, strict=True):
        np.testing.assert_array_equal(shown(again), shown(frame))
        assert (again.alpha is not None) == alpha
        if alpha:
            np.testing.assert_array_equal(again.alpha, frame.alpha)


def test_avif_of_a_wide_gamut_says_so(tmp_path):
    write_frames(scene(), tmp_path / "a.avif", TIMES)
    data = (tmp_path / "a.avif").read_bytes().replace(b"colrnclx\0\1\0\r", b"colrnclx\0\x09\0\x10")
    found = read_animation(data)
    assert found.metadata.png_colour == ((b"cICP", b"\x09\x10\0\1"),)


def test_avif_comes_close(tmp_path):
    write_frames(scene(), tmp_path / "a.avif", TIMES)
    found = read_animation((tmp_path / "a.avif").read_bytes())
    assert found is not None and list(found.durations) == TIMES and not found.lossless
    for frame, again in zip(scene(), found.frames(), strict=True):
        assert np.abs(again.pixels.astype(int) - frame.pixels).mean() < 3


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
def test_a_gif_of_another_program_is_composited(disposal):
    """Frames that cover a part only, on what the disposal of the frame before has left."""
    ground, spot = Image.new("P", (20, 12), 1), Image.new("P", (20, 12), 1)
    for image in (ground, spot):
        image.putpalette([0, 0, 0, 250, 0, 0, 0, 250, 0])
    spot.paste(2, (5, 5, 9, 9))
    stream = io.BytesIO()
    ground.save(
        stream, "GIF", save_all=True, append_images=[spot, ground], duration=[50, 60, 70], disposal=disposal, loop=2
    )
    found = read_animation(stream.getvalue())
    assert found is not None and found.durations == (50, 60, 70) and found.plays == 3
    with Image.open(io.BytesIO(stream.getvalue())) as image:
        for index, frame in enumerate(found.frames()):
            image.seek(index)
            np.testing.assert_array_equal(shown(frame), np.asarray(image.convert("RGB")))


def test_equal_frames_are_stored_once_and_still_ones_do_not_move(tmp_path):
    first, second = scene(2)
    for suffix in ("gif", "apng"):
        write_frames([first, first, second], tmp_path / f"a.{suffix}", [30, 50, 40])
        found = read_animation((tmp_path / f"a.{suffix}").read_bytes())
        assert found is not None and found.durations == (80, 40)
    for name in ("GIF", "PNG", "WebP", "TIFF", "JPEG"):
        stream = io.BytesIO()
        Image.fromarray(first.pixels).save(stream, name)
        assert not moves(stream.getvalue()) and read_animation(stream.getvalue()) is None
    assert not moves(b"GIF89a") and read_animation(b"") is None


@pytest.mark.parametrize("suffix", ["apng", "webp"])
def test_metadata_of_the_whole_are_kept_and_the_turn_made_once(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    path, raw = tmp_path / f"a.{suffix}", exif.tobytes().removeprefix(b"Exif\0\0")
    write_frames(scene(), path, TIMES, metadata=Metadata(exif=raw, icc=b"profile" * 20, xmp=b"<x/>"))
    found = read_animation(path.read_bytes())
    assert found is not None and (found.width, found.height) == (24, 30)
    assert (found.metadata.icc, found.metadata.xmp) == (b"profile" * 20, b"<x/>") and found.metadata.orientation == 1
    for frame, again in zip(scene(), found.frames(), strict=True):
        np.testing.assert_array_equal(again.pixels, np.rot90(frame.pixels, -1))


def test_a_default_image_that_is_no_frame_is_left_out():
    stream, images = io.BytesIO(), [Image.fromarray(frame.pixels) for frame in scene(4)]
    images[0].save(stream, "PNG", save_all=True, append_images=images[1:], default_image=True, duration=90)
    found = read_animation(stream.getvalue())
    assert found is not None and found.durations == (90, 90, 90)
    np.testing.assert_array_equal(next(found.frames()).pixels, scene(4)[1].pixels)


def test_times_are_rounded_without_drifting(tmp_path):
    frames = [Picture(RNG.integers(0, 256, (4, 4, 3), np.uint8)) for _ in range(30)]
    write_frames(frames, tmp_path / "a.gif", [33] * 30)
    found = read_animation((tmp_path / "a.gif").read_bytes())
    assert found is not None and sum(found.durations) == 990 and set(found.durations) == {30, 40}


@pytest.mark.parametrize("suffix", ["gif", "apng", "webp"])
def test_memory_does_not_grow_with_the_length(tmp_path, suffix):
    def frames(n):
        rng = np.random.default_rng(0)
        for _ in range(n):
            yield Picture(rng.integers(0, 2, (200, 300, 1), np.uint8).repeat(3, 2) * 255)

    peaks = []
    for n in (3, 40):
        tracemalloc.start()
        write_frames(frames(n), tmp_path / f"{n}.{suffix}", [50] * n)
        found = read_animation((tmp_path / f"{n}.{suffix}").read_bytes())
        assert found is not None and sum(1 for _ in found.frames()) == n
        # The file itself is held while it is read.
        peaks.append(tracemalloc.get_traced_memory()[1] - 2 * len(found.data))
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 10 * 200 * 300 * 3


def test_damage_in_a_later_frame_and_size_are_found_at_once(tmp_path):
    frames = scene()
    for suffix in ("gif", "apng", "webp"):
        path = tmp_path / f"a.{suffix}"
        write_frames(frames, path, TIMES, palette_of=frames)
        data = path.read_bytes()
        if suffix == "gif":
            # It does not say how many frames it holds.
            part = read_animation(data[: data.rindex(b"!\xf9")])
            assert part is not None and len(part.durations) == 4 and "4 frames" in part.notes[0]
        else:
            with pytest.raises(InputError):
                read_animation(data[: len(data) * 4 // 5])
        with pytest.raises(LimitError, match="film"):
            read_animation(data, "film", max_pixels=100)


def test_what_fails_leaves_nothing(tmp_path):
    def broken():
        yield scene()[0]
        raise UsageError("enough")

    for suffix in ("gif", "apng", "webp", "avif"):
        with pytest.raises(UsageError, match="enough"):
            write_frames(broken(), tmp_path / f"a.{suffix}", [50, 50])
    with pytest.raises(UsageError, match="apng"):
        write_frames(scene(), tmp_path / "a.png", TIMES)
    assert not list(tmp_path.iterdir())
