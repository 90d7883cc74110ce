import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.errors import ModelError, UsageError
from mezzotint.image.tiling import run_tiled, tiles

sides = st.integers(1, 90)


@settings(max_examples=120, deadline=None)
@given(sides, sides, st.integers(1, 40), st.integers(0, 12), st.sampled_from([1, 1, 2, 4, 8]))
def test_cores_cover_the_image_once_and_have_their_halo(height, width, tile, halo, alignment):
    covered = np.zeros((height, width), int)
    shapes = set()
    for core, padded in tiles(height, width, tile, halo, alignment):
        assert padded.top % alignment == padded.left % alignment == 0
        assert core.top < core.bottom and core.left < core.right
        covered[core.top : core.bottom, core.left : core.right] += 1
        assert padded.top <= max(0, core.top - halo) and padded.bottom >= min(height, core.bottom + halo)
        assert padded.left <= max(0, core.left - halo) and padded.right >= min(width, core.right + halo)
        assert padded.top >= 0 and padded.bottom <= height and padded.left >= 0 and padded.right <= width
        shapes.add((padded.bottom - padded.top, padded.right - padded.left))
    assert (covered == 1).all()
    ((rows, columns),) = shapes
    largest = max(tile, alignment) + 2 * halo + 2 * (alignment - 1)
    assert rows <= largest and columns <= largest


def network(scale, depth, seed=0):
    """A small convolutional network of `depth` 3 x 3 layers with zero padding, each output pixel summed in one order."""
    kernels = np.random.default_rng(seed).normal(0, 0.3, (depth, 3, 3)).astype(np.float32)

    def run(image):
        x = image.astype(np.float32)
        for kernel in kernels:
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            total = np.zeros_like(x)
            for i in range(3):
                for j in range(3):
                    total = total + kernel[i, j] * padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
            x = np.tanh(total) + x
        ramp = np.arange(scale * scale, dtype=np.float32).reshape(scale, scale)
        return np.kron(x, ramp + 1)

    return run


@pytest.mark.parametrize("size", [(27, 43), (1, 100), (32, 32)])
@pytest.mark.parametrize("tile", [2, 7, 16, 64])
def test_tiled_equals_whole_to_the_bit(size, tile):
    image = np.random.default_rng(1).random((1, 2, *size), np.float32)
    function = network(scale=2, depth=4)
    np.testing.assert_array_equal(run_tiled(function, image, 2, 4, tile), function(image))


def test_too_small_a_halo_would_show():
    # The test above could not fail if the network looked less far than it is said to.
    image = np.random.default_rng(1).random((1, 1, 40, 40), np.float32)
    function = network(scale=2, depth=4)
    assert (run_tiled(function, image, 2, 3, 8) != function(image)).any()


def test_without_halo_every_tile_is_still_put_in_its_place():
    image = np.random.default_rng(1).random((1, 3, 11, 23))
    np.testing.assert_array_equal(
        run_tiled(lambda x: x.repeat(3, 2).repeat(3, 3), image, 3, 0, 4), image.repeat(3, 2).repeat(3, 3)
    )


def test_few_shapes_reach_the_network():
    shapes = []

    def function(x):
        shapes.append(x.shape)
        return x

    run_tiled(function, np.zeros((1, 1, 257, 130)), 1, 10, 64)
    assert len(set(shapes)) == 1 and len(shapes) > 4


def test_wrong_shapes_and_sizes_are_told():
    with pytest.raises(ModelError, match="shape"):
        run_tiled(lambda x: x, np.zeros((1, 1, 8, 8)), 2, 0, 4)
    with pytest.raises(UsageError):
        list(tiles(8, 8, 0, 1))
