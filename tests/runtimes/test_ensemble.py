"""Self-ensemble: each of the eight views comes back to its place, and their mean is better than one answer."""

import numpy as np
import pytest

from mezzotint import runtimes
from mezzotint.errors import UsageError
from mezzotint.evaluation import evaluate
from mezzotint.image.io import from_pillow, write
from mezzotint.runtimes.ensemble import Ensemble

RANDOM = np.random.default_rng(0)


def test_a_model_without_a_preferred_direction_is_left_as_it_is():
    model = runtimes.load("bicubic-x3")
    lr = RANDOM.random((1, 3, 9, 14), np.float32)
    assert np.allclose(Ensemble(model)(lr), model(lr), atol=1e-6)


def test_a_preferred_direction_is_averaged_out():
    class Shifted:
        """Bicubic that moves the picture one pixel to the right."""

        def __init__(self):
            self.inner = runtimes.load("bicubic-x2")
            self.card, self.precision = self.inner.card, "f32"

        def __call__(self, lr):
            return np.roll(self.inner(lr), 1, axis=3)

    lr = np.zeros((1, 1, 11, 11), np.float32)
    lr[0, 0, 5, 5] = 1
    answer = Ensemble(Shifted())(lr)[0, 0]
    assert not np.allclose(Shifted()(lr)[0, 0], Shifted()(lr)[0, 0, :, ::-1], atol=1e-3)
    for view in (answer[::-1], answer[:, ::-1], answer.T):
        assert np.allclose(answer, view, atol=1e-6)


def test_generators_have_no_ensemble():
    with pytest.raises(UsageError, match="super-resolution"):
        runtimes.load("fashion-28", ensemble=True)


def test_it_is_at_least_as_good_on_a_picture(tmp_path):
    from PIL import Image

    y, x = np.mgrid[:96, :96]
    rings = 127 + 100 * np.sin(np.hypot(x - 40, y - 50) / 3)
    write(from_pillow(Image.fromarray(rings.astype(np.uint8)).convert("RGB")), tmp_path / "rings.png")
    alone, together = (evaluate("compact-x4", tmp_path, threads=1, ensemble=ensemble) for ensemble in (False, True))
    assert together.psnr_y > alone.psnr_y
