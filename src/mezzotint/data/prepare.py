"""What happens to an image before it joins a training set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mezzotint.image.resize import imresize


def fit_size(size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Crop the middle of an image to the aspect of `size` (height, width) and resize it, antialiased, to `size`."""

    def fit(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        factor = min(height / size[0], width / size[1])
        rows, columns = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
        top, left = (height - rows) // 2, (width - columns) // 2
        middle = image[top : top + rows, left : left + columns]
        return middle if middle.shape[:2] == size else imresize(middle, size=size)

    return fit
