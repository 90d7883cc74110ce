import numpy as np
import pytest
import torch

from mezzotint.data.crops import Crops
from mezzotint.data.images import ImageSet
from mezzotint.errors import InputError


def image_set(*shapes):
    images = ImageSet()
    for index, shape in enumerate(shapes):
        # Every pixel says which image it is of, and where.
        rows, columns, channels = shape
        planes = np.stack(np.broadcast_arrays(np.arange(rows)[:, None], np.arange(columns), index), axis=2)
        images.append(planes[..., :channels].astype(np.uint8), f"{index}.png", label=index)
    return images


def crops(**options):
    return Crops(image_set((40, 60, 3), (20, 30, 3)), **{"size": (8, 12), "batch": 64, "seed": 1, **options})


def pixels(batch, key="real"):
    return ((batch[key] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def test_parts_come_from_anywhere_and_bring_their_label():
    batches = crops()
    seen = []
    for step in range(20):
        batch = batches.batch(step)
        parts = pixels(batch)
        assert parts.shape == (64, 8, 12, 3) and batch["real"].dtype == torch.float32
        for part, label in zip(parts, batch["labels"].tolist(), strict=True):
            y, x, index = (int(value) for value in part[0, 0])
            assert index == label
            assert np.array_equal(part[..., 0], np.arange(y, y + 8)[:, None].repeat(12, 1))
            assert np.array_equal(part[0, :, 1], np.arange(x, x + 12))
            seen.append((index, y, x))
    # Four fifths of the area is the first picture's; its last row and column are reached.
    first = [place for place in seen if place[0] == 0]
    assert 0.75 < len(first) / len(seen) < 0.85
    assert {y for _, y, _ in first} == set(range(33)) and {x for _, _, x in first} == set(range(49))


def test_a_batch_depends_on_seed_and_step_alone_and_processes_share_it():
    whole, again, other = crops(), crops(), crops(seed=2)
    for step in (0, 7, 7, 3):
        first = whole.batch(step)
        assert all(torch.equal(value, again.batch(step)[key]) for key, value in first.items())
        for rank in range(3):
            part = crops(share=(rank, 3)).batch(step)
            assert all(torch.equal(value, first[key][rank::3]) for key, value in part.items())
    assert not torch.equal(whole.batch(0)["real"], other.batch(0)["real"])


def test_flipping_mirrors_half_of_the_parts():
    plain, flipped = crops().batch(0)["real"], crops(flip=True).batch(0)["real"]
    same = sum(torch.equal(a, b) for a, b in zip(plain, flipped, strict=True))
    mirrored = sum(torch.equal(a, b.flip(2)) for a, b in zip(plain, flipped, strict=True))
    assert same + mirrored == 64 and 16 <= mirrored <= 48


def test_held_out_parts_come_with_every_fourth_batch():
    batches = crops(held_out=image_set((9, 13, 3), (12, 12, 3)))
    assert ["held_out" in batches.batch(step) for step in range(8)] == [False, False, False, True] * 2
    batch = batches.batch(3)
    assert pixels(batch, "held_out")[..., 0].max() < 12 and len(batch["held_out_labels"]) == 64


def test_a_picture_smaller_than_a_part_is_refused():
    with pytest.raises(InputError, match=r"1\.png is 30x20, smaller than a part of 12x24"):
        crops(size=(24, 12))
