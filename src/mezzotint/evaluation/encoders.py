"""What images are compared by: pixels, or a network from the user's file. Images N H W C uint8 -> features N D."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.metrics.memorization import thumbnails


@dataclass(frozen=True)
class Encoder:
    """`encode` gives the features, `facts` say what they are."""

    encode: Callable[[np.ndarray], np.ndarray]
    facts: dict[str, Any]


def thumbs(images: np.ndarray) -> np.ndarray:
    """Pixels, 0 to 1, averaged down to at most 16 a side: N D."""
    return thumbnails(images).reshape(len(images), -1) / 255


def pixels() -> Encoder:
    """`thumbs`: needs no network, and sees hardly more than layout and colour."""
    return Encoder(thumbs, {"network": "none: pixels, 0 to 1, averaged down to at most 16 a side"})


def squeezenet(path: str | Path, threads: int | None = None) -> Encoder:
    """SqueezeNet 1.1 from a `.safetensors` file. Needs torch; raises as `models.feature_files`."""
    from mezzotint.evaluation import features as networks
    from mezzotint.models.feature_files import load_squeezenet

    networks.use_threads(threads)
    network, digest = load_squeezenet(path)
    facts = {"network": "features.SqueezeNet11", "file": Path(path).name, "sha256": digest}
    return Encoder(lambda images: networks.encode(network, images), facts)


def inception(path: str | Path, threads: int | None = None) -> Encoder:
    """FID's own network, from the one file that defines it. Needs torch; raises as `models.feature_files`."""
    from mezzotint.evaluation import features as networks
    from mezzotint.models.feature_files import load_inception

    networks.use_threads(threads)
    network, digest = load_inception(path)
    resize = "TensorFlow 1 bilinear to 299x299, no antialiasing"
    facts = {"network": "inception.InceptionV3", "file": Path(path).name, "sha256": digest, "resize": resize}
    return Encoder(lambda images: networks.encode(network, images), facts)
