"""Make the pictures of the README and the docs with the tool itself.

    python benchmarks/figures.py ORIGINALS.zip

ORIGINALS holds the photographs that examples/photos was reduced from (see NOTICE).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import mezzotint
from mezzotint.data.sources import open_source
from mezzotint.image.grid import contact_sheet
from mezzotint.image.io import from_pillow, write
from mezzotint.image.resize import imresize

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
# Photograph -> number of the original, and top left corner of the detail, in pixels of the original.
DETAILS = {"facade": ("2079234", (128, 192)), "church": ("2936831", (150, 130)), "beetle": ("792079", (130, 140))}
SIDE = 224


def main() -> None:
    source = open_source(sys.argv[1])
    for name, (number, corner) in DETAILS.items():
        (index,) = (i for i, file in enumerate(source.names) if f"_{number}_" in file)
        panel(name, source.image(index), corner)
    images = np.concatenate([_arrays(label) for label in mezzotint.load("fashion-28").card.labels])
    captions = [label for label in mezzotint.load("fashion-28").card.labels for _ in range(8)]
    _save(contact_sheet(images, columns=8, captions=captions), "clothes")


def panel(name: str, original: np.ndarray, corner: tuple[int, int]) -> None:
    """The small picture, bicubic, compact-x4 and the original, side by side."""
    small = np.asarray(Image.open(ROOT / "examples" / "photos" / f"{name}.png"))
    enlarged = [
        small.repeat(4, axis=0).repeat(4, axis=1),
        imresize(small, 4),
        mezzotint.load("compact-x4")(small),
        original,
    ]
    top, left = corner
    details = np.stack([image[top : top + SIDE, left : left + SIDE] for image in enlarged])
    _save(contact_sheet(details, columns=4, gap=4, captions=["small", "bicubic", "compact-x4", "original"]), name)


def _arrays(label: str) -> np.ndarray:
    return np.stack([np.asarray(image) for image in mezzotint.generate("fashion-28", n=8, seed=0, label=label)])[
        ..., None
    ]


def _save(sheet: np.ndarray, name: str) -> None:
    write(from_pillow(Image.fromarray(sheet.squeeze())), IMAGES / f"{name}.png", overwrite=True)


if __name__ == "__main__":
    main()
