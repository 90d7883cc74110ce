"""Whatever bytes come: a picture or one of our errors, never anything else, and never a wrong picture."""

import io
import random

import numpy as np
import pytest
from PIL import Image

from mezzotint.errors import InputError, LimitError
from mezzotint.image.animation import write_frames
from mezzotint.image.frames import read_animation
from mezzotint.image.io import Picture, decode, encode
from mezzotint.image.metadata import Metadata

RGB = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010E] = 6, "words"


def seeds():
    plain = Image.fromarray(RGB)
    found = {}
    for name in ("PNG", "JPEG", "WebP", "AVIF", "TIFF", "BMP", "GIF"):
        for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"):
            image = Image.fromarray(RGB[..., 0].astype(np.uint16)) if mode == "I;16" else plain.convert(mode)
            options = {} if name in ("BMP", "GIF") else {"exif": EXIF}
            stream = io.BytesIO()
            try:
                image.save(stream, name, **options)
            except (OSError, ValueError):
                continue
            found[f"{name} {mode}"] = stream.getvalue()
    for name, channels in (("PNG", 1), ("PNG", 3), ("TIFF", 1), ("TIFF", 3)):
        stream = io.BytesIO()
        metadata = Metadata(exif=EXIF.tobytes().removeprefix(b"Exif\0\0"), xmp=b"<x/>", dpi=(72, 72))
        encode(
            Picture(RGB[..., :channels].astype(np.uint16) * 257, RGB[..., 0].astype(np.uint16), metadata=metadata),
            stream,
            name,
        )
        found[f"{name} 16 bit {channels}"] = stream.getvalue()
    return found


SEEDS = seeds()


def test_there_are_enough_seeds():
    assert len(SEEDS) > 30


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SEEDS)
def test_mutations_give_a_picture_or_one_of_our_errors(name):
    rng, seed = random.Random(name), SEEDS[name]
    accepted = 0
    for _ in range(90 if name.startswith("AVIF") else 130):
        data = bytearray(seed)
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            place = rng.randrange(len(data))
            match rng.randrange(5):
                case 0:
                    data[place] ^= 1 << rng.randrange(8)
                case 1:
                    data[place] = rng.choice((0, 1, 127, 128, 255))
                case 2:
                    del data[place : place + rng.randrange(1, 9)]
                    data = data or bytearray(1)
                case 3:
                    data[place:place] = rng.randbytes(rng.randrange(1, 9))
                case 4:
                    start = rng.randrange(len(data))
                    data[place : place + 8] = data[start : start + 8]
        try:
            picture = decode(bytes(data), "mutant", max_pixels=1_000_000, first_frame=True)
        except (InputError, LimitError) as error:
            assert "mutant" in str(error) and "\n" not in str(error)
        else:
            accepted += 1
            assert picture.pixels.ndim == 3 and picture.pixels.shape[2] in (1, 3) and picture.pixels.size
            assert picture.alpha is None or picture.alpha.shape == picture.pixels.shape[:2]
            if accepted % 5 == 0:
                # What damaged metadata were let in must not stop the result from being written.
                for target in ("PNG", "JPEG", "WebP", "TIFF"):
                    encode(picture.replace(metadata=picture.metadata.resized(5, 5)), io.BytesIO(), target)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SEEDS)
def test_every_prefix_is_an_error_or_the_whole_picture(name):
    whole = decode(SEEDS[name])
    seed = SEEDS[name]
    step = max(1, len(seed) // 150)
    for length in [*range(0, len(seed), step), *range(max(0, len(seed) - 20), len(seed))]:
        try:
            part = decode(seed[:length])
        except (InputError, LimitError):
            continue
        np.testing.assert_array_equal(part.pixels, whole.pixels)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["gif", "apng", "webp"])
def test_mutations_of_animations_give_frames_or_one_of_our_errors(tmp_path, suffix):
    films = [Picture(np.roll(RGB, index, 0), np.roll(RGB[..., 0], index, 0)) for index in range(3)]
    write_frames(films, tmp_path / f"a.{suffix}", [50] * 3, transparent=True)
    seed, rng, accepted = (tmp_path / f"a.{suffix}").read_bytes(), random.Random(suffix), 0
    for _ in range(150):
        data = bytearray(seed)
        for _ in range(rng.choice((1, 1, 3))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found = read_animation(bytes(data), "mutant", max_pixels=1_000_000)
            shapes = {picture.pixels.shape for picture in found.frames()} if found else set()
        except (InputError, LimitError) as error:
            assert "mutant" in str(error)
        else:
            accepted += bool(shapes)
            assert len(shapes) <= 1
    assert accepted > (0 if suffix == "apng" else 20)
