"""Damage small image files in many ways and decode them: what comes out is a picture or one of our own errors.

    python benchmarks/fuzz_decoding.py [--inputs 100000] [--seed 0]

Input n is a function of the seed and n alone, so a run that was stopped goes on where it was. The work is done in a child
process: were a decoder to crash it or to hang, its input would be counted as such and the rest go on. Counts by format and
outcome, the slowest input and the growth of memory go into results/fuzz.json.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import mmap
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
from environment import environment
from PIL import AvifImagePlugin, Image

from mezzotint.errors import InputError, LimitError
from mezzotint.image.animation import write_frames
from mezzotint.image.frames import read_animation
from mezzotint.image.io import Picture, decode, encode
from mezzotint.image.metadata import Metadata

RESULT = Path(__file__).parent / "results" / "fuzz.json"
MAX_PIXELS = 1_000_000
PIECE, PATIENCE = 5_000, 300
# A million pixels of 16 bits and four channels, several times over, and what decoders keep beside them.
MEMORY_BOUND_MB = 128


def seeds() -> dict[str, bytes]:
    """Small valid files by "format, kind", every mode that each format takes."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    plain, found = Image.fromarray(pixels), {}
    for name in ("PNG", "JPEG", "WebP", "AVIF", "TIFF", "BMP", "GIF"):
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
            image = Image.fromarray(pixels[..., 0].astype(np.uint16)) if mode == "I;16" else plain.convert(mode)
            options = {} if name in ("BMP", "GIF") else {"exif": exif}
            if name == "TIFF" and mode in ("L", "RGB"):
                options["compression"] = "tiff_lzw"
            stream = io.BytesIO()
            try:
                image.save(stream, name, **options)
            except (OSError, ValueError):
                continue
            found[f"{name}, {mode}"] = stream.getvalue()
    metadata = Metadata(exif=exif.tobytes().removeprefix(b"Exif\0\0"), xmp=b"<x/>", dpi=(72, 72))
    for name in ("PNG", "TIFF"):
        for channels in (1, 3):
            deep = Picture(pixels[..., :channels].astype(np.uint16) * 257, pixels[..., 0].astype(np.uint16))
            stream = io.BytesIO()
            encode(deep.replace(metadata=metadata), stream, name)
            found[f"{name}, 16 bit {channels}"] = stream.getvalue()
    films = [Picture(np.roll(pixels, index, 0), np.roll(pixels[..., 0], index, 0)) for index in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        for suffix, transparent in itertools.product(("gif", "apng", "webp", "avif"), (False, True)):
            path = Path(folder) / f"{transparent}.{suffix}"
            write_frames(films, path, [50, 60, 70], transparent=transparent, metadata=metadata)
            name = {"gif": "GIF", "apng": "PNG", "webp": "WebP", "avif": "AVIF"}[suffix]
            found[f"{name}, frames {'with opacity' if transparent else ''}"] = path.read_bytes()
    with suppress(ImportError):
        import pillow_heif

        for mode in ("L", "RGB", "RGBA"):
            stream = io.BytesIO()
            pillow_heif.from_pillow(plain.convert(mode)).save(stream, quality=80, exif=exif.tobytes())
            found[f"HEIC, {mode}"] = stream.getvalue()
    return found


def mutant(seed: int, index: int, whole: dict[str, bytes]) -> tuple[str, bytes]:
    """Name of the seed file and damaged bytes of input `index`: bits, bytes, gaps, insertions, copies, cuts."""
    rng = random.Random(f"{seed} {index}")
    name = rng.choice(sorted(whole))
    data = bytearray(whole[name])
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        place = rng.randrange(len(data))
        match rng.randrange(7):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place] = rng.choice((0, 1, 127, 128, 255))
            case 2:
                del data[place : place + rng.randrange(1, 9)]
            case 3:
                data[place:place] = rng.randbytes(rng.randrange(1, 9))
            case 4:
                start = rng.randrange(len(data))
                data[place : place + 8] = data[start : start + 8]
            case 5:
                # Sizes, counts and offsets are mostly two or four bytes long.
                data[place : place + 4] = rng.choice(
                    (b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0")
                )
            case 6:
                if rng.random() < 0.2:
                    del data[place:]
        data = data or bytearray(1)
    if name.startswith("PNG") and rng.random() < 0.7:
        # Checksums would stop nearly all damage at the door.
        data = with_checksums(data)
    return name, bytes(data)


def with_checksums(png: bytearray) -> bytearray:
    """The same file with right checksums, as far as its chunks can be followed."""
    place = 8
    while place + 12 <= len(png):
        end = place + 8 + int.from_bytes(png[place : place + 4], "big")
        if end + 4 > len(png):
            break
        png[end : end + 4] = zlib.crc32(png[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return png


def outcome(data: bytes) -> str:
    """What became of one input; exceptions that are not ours are named."""
    try:
        moving = read_animation(data, "mutant", max_pixels=MAX_PIXELS)
        if moving is None:
            decode(data, "mutant", max_pixels=MAX_PIXELS, first_frame=True)
        else:
            for _ in moving.frames():
                pass
    except InputError:
        return "InputError"
    except LimitError:
        return "LimitError"
    except Exception as error:
        return f"escaped: {type(error).__name__}"
    return "picture"


def peak_mb() -> float:
    """The most memory that this process has held (`ru_maxrss` would count its parent's, too)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def work(seed: int, first: int, last: int, place: Path) -> None:
    """The child: decode inputs `first` to `last`, noting in the file `place` which one is being decoded."""
    warnings.simplefilter("ignore")
    # Starting threads takes longer than decoding pictures this small.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1
    whole = seeds()
    for data in whole.values():
        outcome(data)
    before = peak_mb()
    counts: dict[str, Counter] = {}
    slowest, slowest_index, noted = 0.0, first, []
    place.write_bytes(bytes(8))
    # In shared memory, as a write to a file would wait for a busy disk.
    with place.open("r+b") as stream, mmap.mmap(stream.fileno(), 8) as note:
        for index in range(first, last):
            note[:] = index.to_bytes(8, "little")
            name, data = mutant(seed, index, whole)
            start = time.process_time()
            result = outcome(data)
            seconds = time.process_time() - start
            counts.setdefault(name.partition(",")[0], Counter())[result] += 1
            if result.startswith("escaped"):
                noted.append([index, name, result])
            if seconds > slowest:
                slowest, slowest_index = seconds, index
    grown = peak_mb() - before
    print(json.dumps({"counts": counts, "slowest": [slowest, slowest_index], "grown": grown, "noted": noted}))


def piece(seed: int, first: int, last: int) -> tuple[dict, int]:
    """Run a child over some inputs; returns what it found and the first input that is left."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "index"
        command = [sys.executable, __file__, "--seed", str(seed), "--piece", str(first), str(last), str(place)]
        child, fate, before = (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True),
            "",
            -1,
        )
        while not fate:
            try:
                told, _ = child.communicate(timeout=PATIENCE)
                if child.returncode == 0:
                    return json.loads(told), last
                fate = f"escaped: crash ({child.returncode})"
            except subprocess.TimeoutExpired:
                # The machine may be busy: only a child that is still at the same input hangs.
                at = int.from_bytes(place.read_bytes(), "little") if place.exists() else -1
                if at == before >= 0:
                    child.kill()
                    child.communicate()
                    fate = "escaped: hang"
                before = at
        at = int.from_bytes(place.read_bytes(), "little")
    # What came before it is done again, and then all but this one.
    nothing = {"counts": {}, "slowest": [0, at], "grown": 0, "noted": []}
    found = piece(seed, first, at)[0] if at > first else nothing
    name, _ = mutant(seed, at, seeds())
    counts = found["counts"].setdefault(name.partition(",")[0], {})
    counts[fate] = counts.get(fate, 0) + 1
    found["noted"].append([at, name, fate])
    return found, at + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--piece", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.piece:
        first, last, place = options.piece
        work(options.seed, int(first), int(last), Path(place))
        return
    state = {"seed": options.seed, "inputs": 0, "max_pixels": MAX_PIXELS, "memory_bound_mb": MEMORY_BOUND_MB}
    state |= {"seed_files": len(seeds()), "grown_mb": 0.0, "slowest_seconds": 0.0, "slowest_input": 0}
    state |= {"counts": {}, "escaped": []}
    if options.result.exists():
        before = json.loads(options.result.read_text())
        if all(before.get(key) == state[key] for key in ("seed", "max_pixels", "seed_files")):
            state = before
    while state["inputs"] < options.inputs:
        first = state["inputs"]
        found, state["inputs"] = piece(options.seed, first, min(first + PIECE, options.inputs))
        for name, counts in found["counts"].items():
            state["counts"][name] = dict(sorted((Counter(state["counts"].get(name, {})) + Counter(counts)).items()))
        state["counts"] = dict(sorted(state["counts"].items()))
        state["grown_mb"] = round(max(state["grown_mb"], found["grown"]), 1)
        state["escaped"] += found["noted"]
        if found["slowest"][0] > state["slowest_seconds"]:
            state["slowest_seconds"], state["slowest_input"] = round(found["slowest"][0], 4), found["slowest"][1]
        state["environment"] = environment()
        options.result.write_text(json.dumps(state, indent=1) + "\n")
    failed = state["escaped"] or state["slowest_seconds"] > 1 or state["grown_mb"] > MEMORY_BOUND_MB
    print(json.dumps({key: value for key, value in state.items() if key != "environment"}, indent=1))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
