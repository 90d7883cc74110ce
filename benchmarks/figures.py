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
from mezzotint.recipes import degradation
from mezzotint.refs import resolve

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
# Photograph -> number of the original, and top left corner of the detail, in pixels of the original.
DETAILS = {"facade": ("2079234", (128, 192)), "church": ("2936831", (150, 130)), "beetle": ("792079", (130, 140))}
SIDE = 224
PHOTO_TEST = Path(__file__).with_name("photo-degradation.toml")


def main() -> None:
    source = open_source(sys.argv[1])
    originals = {}
    for name, (number, _) in DETAILS.items():
        (index,) = (i for i, file in enumerate(source.names) if f"_{number}_" in file)
        originals[name] = source.image(index)
    small = {name: np.asarray(Image.open(ROOT / "examples" / "photos" / f"{name}.png")) for name in DETAILS}
    for name in DETAILS:
        _save(_sheet(small, originals, ["compact-x4"], [name]), name)
    _save(_sheet(small, originals, ["srresnet-x4", "srgan-x4"], list(DETAILS)), "texture")
    chain, seed = degradation.read(PHOTO_TEST)
    degrade = resolve(chain.name, "data")(**chain.arguments)
    degraded = {
        name: degrade(image, 4, np.random.default_rng([seed, *name.encode()])) for name, image in originals.items()
    }
    _save(_sheet(degraded, originals, ["compact-x4", "photo-x4"], list(DETAILS)), "photo")
    images = np.concatenate([_arrays(label) for label in mezzotint.load("fashion-28").card.labels])
    captions = [label for label in mezzotint.load("fashion-28").card.labels for _ in range(8)]
    _save(contact_sheet(images, columns=8, captions=captions), "clothes")
    for model in ("clothes-64", "emoji-64"):
        # The first that come, none picked.
        images = np.stack([np.asarray(image) for image in mezzotint.generate(model, n=48, seed=0)])
        _save(contact_sheet(images, columns=12), model)


def _sheet(
    small: dict[str, np.ndarray], originals: dict[str, np.ndarray], models: list[str], names: list[str]
) -> np.ndarray:
    """A row for each name: the small picture, bicubic, the models, the original, each cut to its detail."""
    details = []
    for name in names:
        lr, (top, left) = small[name], DETAILS[name][1]
        enlarged = [lr.repeat(4, axis=0).repeat(4, axis=1), imresize(lr, 4)]
        enlarged += [mezzotint.load(model)(lr) for model in models]
        details += [image[top : top + SIDE, left : left + SIDE] for image in (*enlarged, originals[name])]
    captions = ["small", "bicubic", *models, "original"]
    return contact_sheet(np.stack(details), columns=len(captions), gap=4, captions=captions * len(names))


def _arrays(label: str) -> np.ndarray:
    return np.stack([np.asarray(image) for image in mezzotint.generate("fashion-28", n=8, seed=0, label=label)])[
        ..., None
    ]


def _save(sheet: np.ndarray, name: str) -> None:
    write(from_pillow(Image.fromarray(sheet.squeeze())), IMAGES / f"{name}.png", overwrite=True)


if __name__ == "__main__":
    main()
