import numpy as np
import pytest
import torch

from mezzotint.data.batches import Images, PatchPairs
from mezzotint.data.images import ImageSet
from mezzotint.errors import InputError
from mezzotint.image.resize import imresize

SCALE, PATCH = 2, 4


def image_set(*shapes, limit=1 << 30):
    images, random = ImageSet(limit), np.random.default_rng(0)
    for index, shape in enumerate(shapes):
        images.append(random.integers(0, 256, shape, np.uint8), f"{index}.png", label=index % 3)
    return images


def pairs(images=None, **options):
    images = images or image_set((17, 22, 3), (9, 30, 3), (12, 8, 3))
    return PatchPairs(images, SCALE, PATCH, **{"batch": 6, "seed": 1, **options})


def pixels(tensor):
    """B C H W, 0 to 1 -> B H W C uint8; every value must be a whole number of levels."""
    levels = tensor.permute(0, 2, 3, 1).double() * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    return levels.round().byte().numpy()


def symmetries(image):
    for turns in range(4):
        yield np.rot90(image, turns)
        yield np.rot90(image, turns)[:, ::-1]


def windows(image, side, step):
    for y in range(0, image.shape[0] - side + 1, step):
        for x in range(0, image.shape[1] - side + 1, step):
            yield y, x, image[y : y + side, x : x + side]


def places(images, lr, hr):
    """All (image, symmetry) where `lr` is a crop of the reduced whole image and `hr` the same place of the original."""
    for index in range(len(images)):
        whole = images[index][: images[index].shape[0] // SCALE * SCALE, : images[index].shape[1] // SCALE * SCALE]
        small = imresize(whole, 1 / SCALE)
        for y, x, window in windows(small, PATCH, 1):
            large = whole[y * SCALE : (y + PATCH) * SCALE, x * SCALE : (x + PATCH) * SCALE]
            for symmetry, (a, b) in enumerate(zip(symmetries(window), symmetries(large), strict=True)):
                if np.array_equal(a, lr) and np.array_equal(b, hr):
                    yield index, symmetry


def test_patches_are_aligned_crops_of_whole_images_in_all_eight_symmetries():
    images = image_set((17, 22, 3), (9, 30, 3), (12, 8, 3))
    batch = pairs(images, batch=60).batch(0)
    found = [list(places(images, *pair)) for pair in zip(pixels(batch["lr"]), pixels(batch["hr"]), strict=True)]
    assert all(len(place) == 1 for place in found)
    assert {place[0][0] for place in found} == {0, 1, 2}
    assert {place[0][1] for place in found} == set(range(8))


def test_without_augmentation_patches_stand_upright():
    images = image_set((17, 22, 3))
    batch = pairs(images, batch=20, augment=False).batch(0)
    for pair in zip(pixels(batch["lr"]), pixels(batch["hr"]), strict=True):
        assert [symmetry for _, symmetry in places(images, *pair)] == [0]


def test_shapes_types_and_memory_of_a_batch():
    batch = pairs().batch(3)
    assert batch["lr"].shape == (6, 3, 4, 4) and batch["hr"].shape == (6, 3, 8, 8)
    for images in batch.values():
        assert images.dtype == torch.float32 and float(images.min()) >= 0 and float(images.max()) <= 1
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_patches_reach_every_corner():
    """An image of one patch and a column: both positions are drawn."""
    images = image_set((8, 10, 3))
    batch = pairs(images, batch=40, augment=False).batch(0)
    corners = {image.tobytes() for image in pixels(batch["hr"])}
    assert corners == {images[0][:, :8].tobytes(), images[0][:, 2:].tobytes()}


def test_large_images_are_drawn_more_often():
    images = image_set((8, 8, 3), (40, 40, 3))
    batch = pixels(pairs(images, batch=300, augment=False).batch(0)["hr"])
    small = sum(np.array_equal(image, images[0]) for image in batch)
    assert 1 <= small <= 40  # 1/26 of 300 is 11.5


def test_an_image_smaller_than_a_patch_is_named():
    with pytest.raises(InputError, match=r"1\.png is 30x7, smaller than a patch of 8"):
        pairs(image_set((9, 30, 3), (7, 30, 3)))


def generation(count=10, **options):
    return Images(image_set(*[(5, 6, 1)] * count), **{"batch": 4, "seed": 1, **options})


@pytest.mark.parametrize("make", [pairs, generation])
def test_a_batch_depends_on_seed_and_step_alone(make):
    batches, again, other = make(), make(), make(seed=2)
    for step in (0, 1, 7, 5, 5, 0):  # in any order, repeated
        first, second = batches.batch(step), again.batch(step)
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    key = "hr" if make is pairs else "real"
    for different in (again.batch(1), other.batch(0)):
        assert not torch.equal(different[key], again.batch(0)[key])


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("make", [pairs, generation])
def test_processes_make_the_batch_of_one_among_them(make, ranks):
    options = {"batch": 6} if make is pairs else {"batch": 6, "flip": True}
    for step in (0, 3):
        whole = make(**options).batch(step)
        for rank in range(ranks):
            share = make(**options, share=(rank, ranks)).batch(step)
            assert all(torch.equal(share[key], whole[key][rank::ranks]) for key in whole)


def test_every_epoch_of_images_is_a_new_permutation():
    batches, count = generation(), 10
    originals = {batches.images[index].tobytes(): index for index in range(count)}

    def drawn(step):
        real = ((batches.batch(step)["real"] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        return [originals[image.tobytes()] for image in real]

    stream = [index for step in range(15) for index in drawn(step)]  # six epochs; batches lie across their borders
    epochs = [tuple(stream[start : start + count]) for start in range(0, 60, count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs) and len(set(epochs)) == 6


def test_labels_stay_with_their_images_and_values_are_signed():
    batches = generation()
    originals = {batches.images[index].tobytes(): batches.images.labels[index] for index in range(10)}
    for step in range(5):
        batch = batches.batch(step)
        real = ((batch["real"] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        assert [originals[image.tobytes()] for image in real] == batch["labels"].tolist()
        assert batch["labels"].dtype == torch.int64 and -1 <= float(batch["real"].min()) < 0


def test_flipping_mirrors_half_of_the_images_left_to_right():
    batches, plain = generation(40, batch=40, flip=True), generation(40, batch=40)
    same, mirrored = 0, 0
    for flipped, upright in zip(batches.batch(0)["real"], plain.batch(0)["real"], strict=True):
        same += torch.equal(flipped, upright)
        mirrored += torch.equal(flipped, upright.flip(2))
    assert same + mirrored == 40 and 8 <= mirrored <= 32


def test_a_batch_larger_than_the_set_repeats_it():
    batch = generation(3, batch=7).batch(0)
    assert len(batch["real"]) == 7 and sorted(batch["labels"].tolist()[:3]) == [0, 1, 2]


def test_images_of_different_sizes_are_refused():
    with pytest.raises(InputError, match="different sizes"):
        Images(image_set((5, 6, 1), (6, 5, 1)), batch=2, seed=0)


def test_batches_from_disk_equal_those_from_memory():
    shapes = (17, 22, 3), (9, 30, 3)
    memory, disk = pairs(image_set(*shapes)), pairs(image_set(*shapes, limit=0))
    assert isinstance(disk.lr.buffer, np.memmap)
    assert all(torch.equal(memory.batch(4)[key], disk.batch(4)[key]) for key in ("lr", "hr"))


def test_every_fourth_batch_brings_held_out_images():
    images, held_out = image_set(*[(5, 6, 1)] * 9).split(3)
    batches = Images(images, batch=8, seed=1, held_out=held_out)
    assert [step for step in range(8) if "held_out" in batches.batch(step)] == [3, 7]
    known = {held_out[index].tobytes() for index in range(3)}
    batch = batches.batch(3)
    shown = ((batch["held_out"] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert {image.tobytes() for image in shown} <= known and len(batch["held_out_labels"]) == 8
    trained = ((batch["real"] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert not {image.tobytes() for image in trained} & known
