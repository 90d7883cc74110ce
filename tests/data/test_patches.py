"""Patches cut by index: the same pixels as slicing, turning and mirroring give, from memory of any kind."""

import numpy as np
import pytest
import torch

from mezzotint.data import patches
from mezzotint.data.batches import DegradedPairs, Images, PatchPairs
from mezzotint.data.images import ImageSet
from mezzotint.data.patches import cut, floats, hold, places
from mezzotint.image.resize import imresize


def image_set(*shapes, limit=1 << 30):
    images, random = ImageSet(limit), np.random.default_rng(0)
    for index, shape in enumerate(shapes):
        images.append(random.integers(0, 256, shape, np.uint8), f"{index}.png", label=index % 3)
    return images


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["memory", "disk", "tensor"])
def test_every_symmetry_is_what_numpy_makes_of_the_slice(channels, kind):
    images = image_set((9, 13, channels), (20, 11, channels), limit=0 if kind == "disk" else 1 << 30)
    pixels = torch.from_numpy(images.pixels) if kind == "tensor" else images.pixels
    assert isinstance(pixels, np.memmap) == (kind == "disk")
    indices, turns, flips = (np.repeat([0, 1], 8), np.tile([0, 1, 2, 3] * 2, 2), np.tile([0] * 4 + [1] * 4, 2))
    y, x, side = np.arange(16) % 4, np.arange(16) % 5, 6
    at = places(images.layout()[indices], y, x).turned(turns, side).mirrored(flips, side)
    for n, patch in enumerate(cut(pixels, at, (side, side, channels)).numpy()):
        expected = np.rot90(images[indices[n]][y[n] : y[n] + side, x[n] : x[n] + side], turns[n])
        assert np.array_equal(patch, expected[:, ::-1] if flips[n] else expected)


def test_whole_oblong_images_are_mirrored():
    images = image_set((3, 7, 3), (3, 7, 3))
    at = places(images.layout()[[1, 0]]).mirrored(np.array([1, 0]), 7)
    assert np.array_equal(cut(images.pixels, at, (3, 7, 3)).numpy(), [images[1][:, ::-1], images[0]])


@pytest.mark.parametrize(("zero", "unit"), [(0.0, 255.0), (127.5, 127.5)])
def test_every_level_has_one_value_wherever_it_is_computed(zero, unit):
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    here = floats(levels, torch.device("cpu"), zero, unit)
    assert here.dtype == torch.float32 and torch.equal(here.flatten(), patches._levels(zero, unit))
    exact = (np.arange(256) - zero) / unit
    assert np.array_equal(here.flatten().numpy(), exact.astype(np.float32))


def drawn_one_by_one(images, scale, patch, size, seed, step, augment):
    """`PatchPairs` spelled out with NumPy's own `choice` and one draw after the other: what every earlier run was given."""
    small = [
        imresize(images[i][: h // scale * scale, : w // scale * scale], 1 / scale)
        for i, (h, w, _) in enumerate(images.shapes)
    ]
    areas = np.array([lr.shape[0] * lr.shape[1] for lr in small], np.float64)
    random = np.random.default_rng([seed, step])
    for index in random.choice(len(small), size, p=areas / areas.sum()):
        height, width, _ = small[index].shape
        y, x = random.integers(height - patch + 1), random.integers(width - patch + 1)
        turns, flip = random.integers((4, 2)) if augment else (0, 0)
        for image, unit in ((small[index], 1), (images[index], scale)):
            cropped = np.rot90(image[y * unit : (y + patch) * unit, x * unit : (x + patch) * unit], turns)
            yield (cropped[:, ::-1] if flip else cropped).transpose(2, 0, 1).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("augment", [True, False])
def test_a_resumed_run_gets_the_batches_it_would_have_got_before(augment):
    images = image_set((17, 22, 3), (9, 30, 3), (12, 8, 3), (8, 8, 3))
    batches = PatchPairs(images, 2, 4, 32, 1, augment)
    for step in (0, 5):
        expected = list(drawn_one_by_one(images, 2, 4, 32, 1, step, augment))
        batch = batches.batch(step)
        assert np.array_equal(batch["lr"].numpy(), expected[0::2]) and np.array_equal(
            batch["hr"].numpy(), expected[1::2]
        )


def test_pixels_stay_where_they_are_when_a_gpu_has_no_room(monkeypatch):
    images = image_set((8, 8, 3))
    for free, there in ((1000, torch.Tensor), (200, np.ndarray)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)
        assert isinstance(hold(images, torch.device("cuda")), there)
    assert hold(images, torch.device("cpu")).base is images.buffer


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_are_the_same_on_a_gpu():
    images, faces = image_set((40, 33, 3), (16, 50, 3)), image_set(*[(9, 7, 1)] * 5)

    def reduce(hr, scale, random):
        return imresize(hr, 1 / scale)

    for make in (
        lambda device: PatchPairs(images, 2, 8, 5, 1, device=device),
        lambda device: DegradedPairs(images, 2, 8, 5, 1, reduce, device=device),
        lambda device: Images(faces, 4, 1, True, device=device),
    ):
        here, there = (make(torch.device(kind)).batch(3) for kind in ("cpu", "cuda"))
        for key, value in here.items():
            assert there[key].is_cuda and torch.equal(value, there[key].cpu())
