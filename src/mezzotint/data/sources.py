"""Where images come from: a folder, a zip, an IDX file (MNIST's format), or one picture, all read through one small value.

Opening looks at names and headers only; nothing is decoded until it is asked for, and the order never depends on the
file system. A name inside a zip is a label for messages and never a path, so a hostile archive writes nothing.
"""

from __future__ import annotations

import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from mezzotint.data import idx
from mezzotint.errors import InputError, LimitError
from mezzotint.image.alpha import on_white
from mezzotint.image.decode import decode as decode_picture
from mezzotint.image.formats import SUFFIXES
from mezzotint.image.picture import to_eight_bits

# One encoded image. The largest honest ones are a fifth of this; a bomb in a zip says how large it would become.
_LARGEST_FILE = 512 << 20


@dataclass(frozen=True)
class Source:
    """Images in a fixed order. `names` are unique, with `/` between folders; `labels[i]` indexes `classes`.

    `read(i)` returns image i as encoded bytes, `image(i, opacity=False)` its pixels as `decode` does. Both may be called
    from several threads and raise `InputError` naming the image.
    """

    path: Path
    names: list[str]
    read: Callable[[int], bytes]
    image: Callable[..., np.ndarray]
    labels: list[int] | None = None
    classes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)


def open_source(path: str | Path) -> Source:
    """Open a folder (searched recursively), a zip, an IDX file (`.gz` or not; its labels are found beside it) or a picture.

    A folder or zip has labels when every image sits in one of several sub-folders of one depth, as ImageNet's; an IDX
    file, when the twin that MNIST's naming calls for is there. A folder with MNIST's files opens its training images, or
    those of the test where there are no others.
    Hidden files, `__MACOSX` and the folders of training runs are left out. Raises `InputError` for what is missing,
    unreadable or without images.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if head[:2] == b"PK":
        return _zip(path)
    if idx.looks_like(path):
        return _idx(path)
    if path.suffix.lower() in SUFFIXES:
        return _files(path.parent, [path.name])
    raise InputError(f"{path} holds no data set: expected a folder, a zip or an IDX file of images, or a picture")


def decode(data: bytes, name: str, opacity: bool = False) -> np.ndarray:
    """Pixels of an encoded image: H W C uint8, C of 1 (grey) or 3, turned upright by EXIF, transparency on white.

    With `opacity`, that of an image with transparency is one more channel; the colours stay as they look on white, so
    that what programs hide under full transparency does not count, and resizing mixes no such colours into the edges.

    The formats are those of `mezzotint.image`, known by content and not by name; of an animation the first frame is
    taken, and 16-bit values are rounded to 8. Raises `InputError` naming `name`, whatever is wrong with the bytes.
    """
    try:
        picture = decode_picture(data, name, first_frame=True)
    except LimitError as error:
        # One image that is too large is left out of a data set like one that is damaged.
        raise InputError(str(error).partition(";")[0]) from error
    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None:
        pixels = on_white(pixels, alpha[..., None])
        if opacity:
            pixels = np.concatenate([pixels, alpha[..., None]], axis=2)
    return to_eight_bits(pixels) if pixels.dtype == np.uint16 else pixels


def _folder(path: Path) -> Source:
    # Links are followed, since people assemble data sets from them; a real folder is entered once, so loops end.
    names, seen = [], set()
    for folder, children, files in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            children.clear()
            continue
        if folder != str(path) and {"recipe.json", "log.jsonl"} <= set(files):
            children.clear()  # a training run, whose samples are not pictures to learn from
            continue
        seen.add(real)
        relative = Path(folder).relative_to(path)
        names += [(relative / file).as_posix() for file in files]
    names = _images(names)
    if not names:
        for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
            for file in (path / f"{name}.gz", path / name):
                if file.is_file():
                    return _idx(file)
        raise InputError(f"no images in {path}: looked for {', '.join(SUFFIXES)} in it and its sub-folders")
    return _files(path, names)


def _files(path: Path, names: list[str]) -> Source:
    """The files `names` below the folder `path`."""

    def read(i: int) -> bytes:
        file = path / names[i]
        try:
            if file.stat().st_size > _LARGEST_FILE:
                raise InputError(f"{file} has {file.stat().st_size:,} bytes, more than {_LARGEST_FILE:,}")
            return file.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror or error}") from error

    return Source(path, names, read, _decoded(read, lambda i: str(path / names[i])), *_labels(names))


def _zip(path: Path) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"cannot read {path} as a zip: {error}") from error
    names = _images(entries)
    if not names:
        raise InputError(f"no images in {path}: looked for {', '.join(SUFFIXES)} at every depth of the zip")
    # A ZipFile shares one file position, so each thread of each process opens its own.
    local = threading.local()

    def read(i: int) -> bytes:
        entry = entries[names[i]]
        if entry.file_size > _LARGEST_FILE:
            raise InputError(f"{path}: {names[i]} would unpack to {entry.file_size:,} bytes, over {_LARGEST_FILE:,}")
        try:
            if getattr(local, "process", None) != os.getpid():
                local.archive, local.process = zipfile.ZipFile(path), os.getpid()
            # Never inflates beyond the size checked above, and compares the checksum.
            data: bytes = local.archive.read(entry)
        except Exception as error:  # damage, encryption and unknown compression all raise differently
            raise InputError(f"cannot read {names[i]} in {path} ({error})") from error
        return data

    return Source(path, names, read, _decoded(read, lambda i: f"{path}: {names[i]}"), *_labels(names))


def _idx(path: Path) -> Source:
    images = idx.read(path)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise InputError(f"{path} holds no images but an array of {' x '.join(map(str, images.shape))}")
    labels = idx.labels_beside(path, len(images))
    names = [f"{i:06d}" for i in range(len(images))]

    def encoded(i: int) -> bytes:
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(images[i].squeeze(2) if images.shape[3] == 1 else images[i]).save(stream, "PNG")
        return stream.getvalue()

    classes = [] if labels is None else [str(label) for label in range(max(labels) + 1)]
    return Source(path, names, encoded, lambda i, opacity=False: images[i], labels, classes)


def _decoded(read: Callable[[int], bytes], name: Callable[[int], str]) -> Callable[..., np.ndarray]:
    return lambda i, opacity=False: decode(read(i), name(i), opacity)


def _images(names: Iterable[str]) -> list[str]:
    """Those of `names` that are named like images and are not hidden, in one order on every machine.

    Whether they are images is told by their content, when they are decoded.
    """

    def visible(name: str) -> bool:
        parts = PurePosixPath(name).parts
        return not any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)

    return sorted(name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES and visible(name))


def _labels(names: list[str]) -> tuple[list[int] | None, list[str]]:
    """Labels and classes by sub-folder; none unless all images lie at one depth in at least two sub-folders."""
    parents = [PurePosixPath(name).parts[:-1] for name in names]
    folders = sorted(set(parents))
    if len(folders) < 2 or len({len(folder) for folder in folders}) > 1:
        return None, []
    # Sorted, so what the first and the last share all share; "train/cat" and "train/dog" are the classes cat and dog.
    shared = next(i for i, (a, b) in enumerate(zip(folders[0], folders[-1], strict=True)) if a != b)
    number = {folder: i for i, folder in enumerate(folders)}
    return [number[parent] for parent in parents], ["/".join(folder[shared:]) for folder in folders]
