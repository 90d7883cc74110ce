"""MATLAB's bicubic as a model like any other: the baseline of every table."""

from __future__ import annotations

import numpy as np

from mezzotint.card import Card
from mezzotint.image.resize import imresize


class Bicubic:
    """`Model` without weights: 1 C H W -> 1 C sH sW, values 0 to 1 in, unclipped out."""

    def __init__(self, card: Card) -> None:
        self.card, self.precision = card, "f32"

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Enlarge by the card's scale."""
        (lr,) = inputs
        sr = imresize(lr[0].transpose(1, 2, 0), self.card.scale)
        return np.ascontiguousarray(sr.transpose(2, 0, 1)[None])
