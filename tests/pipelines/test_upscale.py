import dataclasses
import warnings

import numpy as np
import pytest
from PIL import Image

import mezzotint
from mezzotint import runtimes
from mezzotint.card import GENERATION, SUPER_RESOLUTION, Card
from mezzotint.errors import InterruptedRun, LimitError, ModelError, QualityError, UsageError
from mezzotint.image.io import Picture, write
from mezzotint.pipelines import upscale as module
from mezzotint.pipelines.upscale import Upscaler, best_model

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (21, 34, 3), dtype=np.uint8)


class Nearest:
    """A model that repeats pixels: every result can be foretold."""

    precision = "f32"

    def __init__(self, scale=2, channels=3, halo=0):
        self.card = Card("nearest", SUPER_RESOLUTION, "none", scale=scale, in_channels=channels, halo=halo)
        self.shapes = []

    def __call__(self, lr):
        assert lr.dtype == np.float32 and lr.shape[1] == self.card.in_channels and lr.flags.c_contiguous
        assert lr.min() >= 0 and lr.max() <= 1
        self.shapes.append(lr.shape)
        return lr.repeat(self.card.scale, 2).repeat(self.card.scale, 3)


def repeated(array, scale=2):
    return array.repeat(scale, 0).repeat(scale, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(21, 34), (21, 34, 1), (21, 34, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_keep_type_and_values(dtype, shape, channels):
    image = RNG.random(shape).astype(np.float32).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        image = RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    result = Upscaler(Nearest(channels=channels))(image)
    assert result.dtype == dtype
    # The mean of three equal float32 is not always that number.
    np.testing.assert_allclose(result, repeated(image), rtol=0, atol=0 if np.issubdtype(dtype, np.integer) else 1e-6)


def test_every_level_survives():
    for dtype in (np.uint8, np.uint16):
        levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(256 if dtype == np.uint16 else 16, -1)
        np.testing.assert_array_equal(Upscaler(Nearest(1))(levels), levels)


def test_values_are_rounded_half_up_and_clipped():
    model = Nearest(1, 1)
    for value, expected in ((-0.2, 0), (0.49 / 255, 0), (0.5 / 255, 1), (100.5 / 255, 101), (1.7, 255)):
        model.__class__ = type("Constant", (Nearest,), {"__call__": lambda self, lr, v=value: np.full_like(lr, v)})
        assert Upscaler(model)(np.zeros((2, 2), np.uint8))[0, 0] == expected


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 5)])
def test_tiny_and_narrow_images(size):
    model = runtimes.load("bicubic-x4")
    image = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    assert Upscaler(model)(image).shape == (4 * size[0], 4 * size[1], 3)


@pytest.mark.parametrize("name", ["bicubic-x2", "bicubic-x4"])
def test_tiles_do_not_show(name):
    upscaler = Upscaler(runtimes.load(name))
    whole = upscaler(RGB, tile=0)
    for tile in (1, 8, 19):
        np.testing.assert_array_equal(upscaler(RGB, tile=tile), whole)


def test_large_images_are_tiled_by_themselves(monkeypatch):
    monkeypatch.setattr(module.hardware, "memory", lambda: (10**9, 10**9))
    model = Nearest(halo=4)
    image = RNG.integers(0, 256, (300, 420), dtype=np.uint8)
    np.testing.assert_array_equal(Upscaler(model)(image), repeated(image))
    assert len(model.shapes) > 1 and len(set(model.shapes)) == 1 and max(model.shapes[0]) < 200
    model.shapes.clear()
    Upscaler(model)(image, tile=0)
    assert model.shapes == [(1, 3, 300, 420)]


def test_a_model_that_does_not_know_its_reach_is_not_tiled():
    with pytest.raises(UsageError, match="around"):
        Upscaler(Nearest(halo=None))(RGB, tile=8)
    assert Upscaler(Nearest(halo=None))(RGB).shape == (42, 68, 3)


@pytest.mark.parametrize("scale", [1, 1.5, 2, 2.5, 3.7, 8])
def test_any_scale(scale):
    upscaler = Upscaler(runtimes.load("bicubic-x2"))
    result = upscaler(RGB, scale)
    assert result.shape == (int(21 * scale + 0.5), int(34 * scale + 0.5), 3)
    y, x = np.mgrid[:40, :50]
    ramp = (2 * y + 3 * x).astype(np.uint8)
    large = upscaler(ramp, scale)
    assert np.abs(large.mean() - ramp.mean()) < 0.6


def test_scales_beyond_the_model_are_told_and_nonsense_is_refused():
    upscaler = Upscaler(Nearest())
    assert any("bicubic" in note for note in upscaler.picture(Picture(RGB), 5).notes)
    assert not upscaler.picture(Picture(RGB), 1.5).notes
    for bad in (0, -2, 0.5, 17, float("nan")):
        with pytest.raises(UsageError, match="scale"):
            upscaler(RGB, bad)


@pytest.mark.parametrize("in_rows", [False, True])
def test_between_tiles_it_can_be_ended(monkeypatch, in_rows):
    monkeypatch.setattr(module, "_ROWS_FROM", 1)
    asked = []

    def between():
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedRun("enough", 2)

    with pytest.raises(InterruptedRun):
        result = Upscaler(Nearest()).picture(Picture(RNG.random((40, 40, 3))), tile=8, in_rows=in_rows, between=between)
        result.pixels.whole()
    assert len(asked) == 3


def test_a_bare_batch_goes_through_the_network_alone():
    class Wild(Nearest):
        def __call__(self, lr):
            return super().__call__(lr) * 3 - 1

    lr = RNG.random((1, 3, 5, 6)).astype(np.float32)
    result = Upscaler(Wild())(lr)
    np.testing.assert_array_equal(result, lr.repeat(2, 2).repeat(2, 3) * 3 - 1)
    with pytest.raises(UsageError):
        Upscaler(Wild())(lr, 3)


@pytest.mark.parametrize("bad", [np.zeros((2, 2, 5)), np.zeros(3), np.zeros((2, 2), np.int32), np.zeros((0, 2, 3))])
def test_arrays_that_are_no_images(bad):
    with pytest.raises(UsageError):
        Upscaler(Nearest())(bad)


def sprite(hidden):
    """A light disc on full transparency, under which lies the colour `hidden`."""
    y, x = np.mgrid[:32, :32]
    alpha = np.where((y - 15.5) ** 2 + (x - 15.5) ** 2 < 100, 255, 0).astype(np.uint8)
    pixels = np.where(alpha[..., None] > 0, np.array([240, 200, 40]), hidden).astype(np.uint8)
    return np.concatenate([pixels, alpha[..., None]], 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparent_edges_have_no_dark_fringe(dtype):
    upscaler = Upscaler(runtimes.load("bicubic-x4"))
    unit = np.iinfo(dtype).max // 255
    results = [upscaler(sprite(hidden).astype(dtype) * dtype(unit)) for hidden in (0, 255)]
    # What lay hidden cannot be told from the result, and every visible pixel has the disc's colour.
    np.testing.assert_array_equal(results[0], results[1])
    visible = results[0][..., 3] > 0
    assert np.abs(results[0][visible][:, :3].astype(int) // unit - [240, 200, 40]).max() <= 1


def test_opaque_stays_opaque_and_clear_stays_clear():
    class Dim(Nearest):
        def __call__(self, lr):
            return super().__call__(lr) * 0.98 + 0.005

    result = Upscaler(Dim())(sprite(0))
    assert (result[28:36, 28:36, 3] == 255).all() and (result[:8, :8, 3] == 0).all()
    opaque = sprite(0)
    opaque[..., 3] = 255
    assert (Upscaler(Dim())(opaque)[..., 3] == 255).all()


class Broken(Nearest):
    def __call__(self, lr):
        result = super().__call__(lr)
        result[0, 0, 3, 3] = np.nan
        return result


def test_results_that_are_no_numbers_are_done_again_in_float32_or_refused():
    np.testing.assert_array_equal(Upscaler(Broken(), exact=Nearest)(RGB), repeated(RGB))
    for upscaler in (Upscaler(Broken()), Upscaler(Broken(), exact=Broken)):
        with pytest.raises(QualityError):
            upscaler(RGB)


def test_models_that_do_not_fit_are_told():
    model = Nearest()
    model.card = dataclasses.replace(model.card, scale=3)
    model.__class__ = type("Wrong", (Nearest,), {"__call__": lambda self, lr: lr})
    with pytest.raises(ModelError):
        Upscaler(model)(RGB)
    with pytest.raises(ModelError, match="4 channels"):
        Upscaler(Nearest(channels=4))(RGB)
    model.card = Card("g", GENERATION, "none")
    with pytest.raises(UsageError, match="cannot upscale"):
        Upscaler(model)


def test_what_would_not_fit_in_memory_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(module.hardware, "memory", lambda: (10**6, 10**4))
    model = Nearest()
    with pytest.raises(LimitError, match=r"memory and 0\.0 MB may be used"):
        Upscaler(model)(RGB)
    assert not model.shapes


def test_files_and_pillow_images_keep_what_they_carry(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).save(path, exif=exif, dpi=(200, 200), quality=95)
    from_path, from_image = (Upscaler(Nearest())(source) for source in (path, Image.open(path)))
    assert from_path.size == (42, 68) and from_path.mode == "RGB"
    assert from_path.tobytes() == from_image.tobytes()
    assert from_path.info["dpi"] == (200, 200)
    kept = Image.Exif()
    kept.load(from_path.info["exif"])
    assert kept[0x010F] == "Camera" and kept[0x0112] == 1


def test_sixteen_bit_colour_as_a_pillow_image_is_warned_about(tmp_path):
    write(Picture(RGB.astype(np.uint16) * 257), tmp_path / "deep.png")
    with pytest.warns(UserWarning, match="16"):
        assert Upscaler(Nearest())(tmp_path / "deep.png").mode == "RGB"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(Picture(RGB[..., :1].astype(np.uint16) * 257), tmp_path / "grey.png")
        assert Upscaler(Nearest())(tmp_path / "grey.png").mode == "I;16"


def test_the_python_api():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert mezzotint.upscale(Image.fromarray(RGB), scale=3).size == (102, 63)
        assert mezzotint.upscale(Image.fromarray(RGB)).size == (136, 84)
    assert mezzotint.upscale(Image.fromarray(RGB), model="bicubic-x2").size == (68, 42)
    upscaler = mezzotint.load("bicubic-x3")
    assert isinstance(upscaler, Upscaler) and upscaler.card.scale == 3
    np.testing.assert_array_equal(np.asarray(upscaler(Image.fromarray(RGB))), upscaler(RGB))


def test_the_model_is_chosen_from_what_ships(monkeypatch):
    shipped = {}

    def ship(*cards):
        shipped.clear()
        shipped.update({card.name: card for card in cards})

    def card(name, scale, network="net", task=SUPER_RESOLUTION):
        return Card(name, task, network, scale=scale)

    monkeypatch.setattr(module.catalog, "names", lambda: sorted(shipped))
    monkeypatch.setattr(module.catalog, "card", lambda name: shipped[name])
    plain = [card(f"bicubic-x{s}", s, "bicubic") for s in (2, 3, 4)]
    ship(*plain, card("fashion", None, task=GENERATION))
    assert best_model(4)[0] == "bicubic-x4" and best_model(2.5)[0] == "bicubic-x3" and best_model(9)[0] == "bicubic-x4"
    assert "bicubic-x3" in best_model(3)[1]
    ship(*plain, card("compact-x4", 4), card("big-x4", 4))
    assert best_model(4) == ("compact-x4", "") and best_model(2)[0] == "compact-x4" and best_model(8)[0] == "compact-x4"
    ship(*plain, card("compact-x4", 4), card("compact-x2", 2))
    assert best_model(2)[0] == "compact-x2" and best_model(3)[0] == "compact-x4" and best_model(1.5)[0] == "compact-x2"


def test_large_pictures_may_come_in_rows(monkeypatch):
    monkeypatch.setattr(module, "_ROWS_FROM", 1)
    upscaler = Upscaler(runtimes.load("bicubic-x2"))
    picture = Picture(RNG.integers(0, 65_536, (150, 190, 1), np.uint16))
    whole = upscaler.picture(picture, tile=0).pixels
    for options in ({"tile": 19}, {"memory": 60_000_000}):
        result = upscaler.picture(picture, in_rows=True, **options)
        assert (result.height, result.width) == (300, 380)
        bands = list(result.pixels.bands())
        assert len(bands) > 1
        np.testing.assert_array_equal(np.concatenate(bands), whole)
    # With transparency, at another scale, or untiled there is nothing to gain.
    alpha = Picture(picture.pixels, picture.pixels[..., 0])
    for result in (upscaler.picture(alpha, in_rows=True), upscaler.picture(picture, 3, in_rows=True)):
        assert isinstance(result.pixels, np.ndarray)


def test_a_bound_on_memory_makes_smaller_tiles_or_refuses():
    model = Nearest(halo=2)
    image = RNG.integers(0, 256, (200, 150, 3), np.uint8)
    upscaler = Upscaler(model)
    result = upscaler.picture(Picture(image), memory=250_000_000).pixels
    np.testing.assert_array_equal(result, repeated(image))
    assert len(model.shapes) > 1
    with pytest.raises(LimitError, match="memory"):
        upscaler.picture(Picture(image), memory=10_000)
