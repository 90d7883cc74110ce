"""HEIC photographs, 8 to 12 bits: by pillow-heif, where it is installed (`mezzotint[formats]`)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from mezzotint.errors import missing_extra
from mezzotint.image.metadata import Metadata, as_cicp, without_prefix
from mezzotint.image.picture import Picture


def open_image(data: bytes) -> Any:
    """The main image of a file, its header read, its pixels not yet. Raises `UsageError` without pillow-heif."""
    try:
        import pillow_heif
    except ImportError as error:
        raise missing_extra("pillow-heif", "formats") from error
    opened = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    return opened[opened.primary_index]


def read(image: Any) -> Picture:
    """Its pixels, uint8 or uint16 over the full range, and metadata; libheif has turned them upright."""
    depth, samples = image.info["bit_depth"], np.asarray(image)
    if samples.dtype == np.uint16:
        # They stand in the upper bits of 16.
        top = (1 << depth) - 1
        samples = (((samples >> (16 - depth)).astype(np.uint32) * 65_535 + top // 2) // top).astype(np.uint16)
    planes = samples[..., None] if samples.ndim == 2 else samples
    colours = 1 if planes.shape[2] < 3 else 3
    alpha = np.ascontiguousarray(planes[..., colours]) if planes.shape[2] > colours else None
    info = image.info
    profile = info.get("nclx_profile") or {}
    primaries, transfer = profile.get("color_primaries", 2), profile.get("transfer_characteristics", 2)
    icc = info.get("icc_profile")
    colour = () if icc else as_cicp(primaries, transfer)
    metadata = Metadata(without_prefix(info.get("exif")), icc or None, info.get("xmp") or None, png_colour=colour)
    # EXIF may still name the turn that the file itself has prescribed and libheif has made.
    return Picture(np.ascontiguousarray(planes[..., :colours]), alpha, "HEIC", False, metadata.upright())
