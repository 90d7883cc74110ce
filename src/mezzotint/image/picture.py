"""A picture as arrays with all that its file said beside the pixels, and the way from and to Pillow's images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mezzotint.errors import InputError
from mezzotint.image.metadata import Metadata

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Picture", "from_pillow", "to_pillow"]


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels the right way up, and where they came from."""

    # H W C, uint8 or uint16 over the full range; C is 1 (grey) or 3 (RGB). Of a picture too large to be held, `Rows`.
    pixels: np.ndarray
    alpha: np.ndarray | None = None  # H W, same type; colours are not premultiplied
    format: str = "PNG"
    lossless: bool = True  # whether the file it came from held its pixels exactly
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()  # what was lost or changed on the way, each fit to be shown as a warning

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    def replace(self, **parts: Any) -> Picture:
        """A copy with some parts changed."""
        return dataclasses.replace(self, **parts)


def from_pillow(image: Image.Image) -> Picture:
    """A Pillow image of any mode as a `Picture`, turned upright by its EXIF orientation.

    | mode | becomes |
    |---|---|
    | 1, L | grey |
    | LA, La | grey + alpha |
    | P, PA | RGB, + alpha if the palette or the image has transparency |
    | RGB, RGBX, HSV, YCbCr | RGB |
    | RGBA, RGBa | RGB + alpha |
    | 1, L, RGB with a transparent colour | as above + alpha |
    | CMYK | RGB: by its ICC profile, which is then dropped for sRGB; without one by the plain formula, and noted |
    | LAB | RGB (sRGB) |
    | I;16 (all byte orders) | grey, 16 bits |
    | I | grey, 16 bits, if within 0 to 65,535 |
    | F | grey, 16 bits, if within 0 to 1 |

    Raises `InputError` for values outside these ranges and for other modes.
    """
    image.load()
    metadata = Metadata.of_pillow(image)
    notes: tuple[str, ...] = ()
    mode = image.mode
    alpha: np.ndarray | None = None
    if mode in ("I;16", "I;16L", "I;16B", "I;16N", "I", "F"):
        pixels = _deep_grey(np.asarray(image), mode)[..., None]
    else:
        if mode == "CMYK":
            image, note = _cmyk_to_rgb(image, metadata.icc)
            notes += (note,) if note else ()
            metadata = metadata.replace(icc=None)
        elif mode == "LAB":
            image = _lab_to_rgb(image)
            metadata = metadata.replace(icc=None)
        array = np.asarray(image.convert(_plain_mode(image)))
        array = array[..., None] if array.ndim == 2 else array
        colours = 1 if array.shape[2] < 3 else 3
        pixels = np.ascontiguousarray(array[..., :colours])
        if array.shape[2] > colours:
            alpha = np.ascontiguousarray(array[..., colours])
    pixels, alpha = (
        upright(pixels, metadata.orientation),
        None if alpha is None else upright(alpha, metadata.orientation),
    )
    return Picture(pixels, alpha, image.format or "PNG", metadata=metadata.upright(), notes=notes)


def to_pillow(picture: Picture) -> Image.Image:
    """A `Picture` as a Pillow image: L, LA, RGB, RGBA, or I;16 for 16-bit grey, with metadata in `info`.

    Pillow has no 16-bit RGB and no 16-bit alpha: such pictures come out rounded to 8 bits; callers say so.
    """
    from PIL import Image

    pixels, alpha = picture.pixels, picture.alpha
    if pixels.dtype == np.uint16 and not (pixels.shape[2] == 1 and alpha is None):
        pixels, alpha = to_eight_bits(pixels), None if alpha is None else to_eight_bits(alpha)
    if pixels.dtype == np.uint16:
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    else:
        planes = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)
        image = Image.fromarray(np.ascontiguousarray(planes[..., 0] if planes.shape[2] == 1 else planes))
    image.info.update(picture.metadata.pillow_info())
    return image


def to_eight_bits(samples: np.ndarray) -> np.ndarray:
    """uint16 over 0 to 65,535 -> uint8 over 0 to 255, rounded half up: 257 levels to one."""
    return ((samples.astype(np.uint32) * 2 + 257) // 514).astype(np.uint8)


def _plain_mode(image: Image.Image) -> str:
    """The one of L, LA, RGB, RGBA that loses nothing of `image`."""
    mode = image.mode
    transparent = "transparency" in image.info
    if mode in ("1", "L"):
        return "LA" if transparent else "L"
    if mode in ("LA", "La"):
        return "LA"
    if mode in ("RGBA", "RGBa", "PA"):
        return "RGBA"
    if mode in ("P", "RGB"):
        return "RGBA" if transparent else "RGB"
    if mode in ("RGBX", "HSV", "YCbCr"):
        return "RGB"
    raise InputError(f"images of mode {mode} are not supported; convert it to RGB first")


def _deep_grey(samples: np.ndarray, mode: str) -> np.ndarray:
    """Samples of more than 8 bits -> uint16, or an error where that would lose any."""
    if mode == "F":
        if not (np.isfinite(samples).all() and samples.min() >= 0 and samples.max() <= 1):
            raise InputError("its floating-point values are not within 0 to 1; convert it to 16 bits first")
        return np.floor(samples.astype(np.float64) * 65_535 + 0.5).astype(np.uint16)
    if mode == "I" and not (samples.min() >= 0 and samples.max() <= 65_535):
        raise InputError("its values are not within 0 to 65,535; convert it to 16 bits without sign first")
    return samples.astype(np.uint16)


def _cmyk_to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, str]:
    """RGB and a note; empty if the file's own profile said what its inks look like."""
    import io

    from PIL import ImageCms

    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
        if converted is not None:
            return converted, ""
    return image.convert("RGB"), "CMYK without a usable ICC profile: its colours are approximate"


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    try:
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise InputError(f"its LAB colours cannot be converted ({error})") from error
    assert converted is not None
    return converted


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation (1 to 8) on H W or H W C."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)
