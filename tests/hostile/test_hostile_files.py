"""Files that break other tools: the right picture, or one clear line and the right exit code; and no file is destroyed."""

import hashlib
import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mezzotint.cli import main
from mezzotint.image.io import Picture, read, write

RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)
PROGRAM = "import sys; from mezzotint.cli import main; main(sys.argv[1:])"


@pytest.fixture
def upscale(tmp_path, capsys):
    """Run `mezzotint upscale`, see that no file that was there has changed, and return the exit code and stderr."""

    def run(*arguments):
        before = snapshot(tmp_path)
        code = 0
        try:
            main(["upscale", *map(str, arguments), "-m", "bicubic-x2"])
        except SystemExit as end:
            code = end.code or 0
        after = snapshot(tmp_path)
        assert {name: after.get(name) for name in before} == before
        assert not [name for name in after if name.endswith(".part")]
        error = capsys.readouterr().err
        assert "Traceback" not in error
        if code:
            assert error.count("\n") == 1 and error.startswith("mezzotint: error: ")
            assert set(after) == set(before)
        return code, error

    return run


def snapshot(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def png_bytes(image=None):
    stream = io.BytesIO()
    (image or Image.fromarray(RGB)).save(stream, "PNG")
    return stream.getvalue()


def bomb():
    """A PNG of 12,000 x 10,000 pixels in half a megabyte."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    compressor = zlib.compressobj(1)
    body = b"".join(compressor.compress(bytes(1_000_000)) for _ in range(121)) + compressor.flush()
    head = struct.pack(">IIBBBBB", 12_000, 10_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda: png_bytes()[:-60], 3, "truncated"),
        (lambda: png_bytes()[:20], 3, "damaged or truncated"),
        (lambda: b"", 3, "empty"),
        (lambda: b"Dear reader,\nthis is a letter.\n", 3, "text"),
        (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", 3, "PostScript"),
        (lambda: os.urandom(100), 3, "not an image"),
        (bomb, 4, "120,000,000 pixels"),
    ],
)
def test_what_is_no_picture_is_one_clear_line(make, code, words, upscale, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(make())
    got, error = upscale(path)
    assert got == code and words in error and str(path) in error


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes(size, upscale, tmp_path):
    source = tmp_path / "thin.png"
    Image.fromarray(np.full((*size, 3), 77, np.uint8)).save(source)
    assert upscale(source)[0] == 0
    result = np.asarray(Image.open(tmp_path / "thin_x2.png"))
    assert result.shape == (2 * size[0], 2 * size[1], 3) and (result == 77).all()


def test_sides_that_the_output_cannot_hold_are_refused_before_the_work(upscale, tmp_path):
    source = tmp_path / "wide.png"
    Image.new("L", (9000, 1)).save(source)
    code, error = upscale(source, "-o", tmp_path / "wide.webp")
    assert code == 4 and "16,383" in error


def test_palette_with_transparency(upscale, tmp_path):
    source = tmp_path / "sprite.png"
    pixels = np.full((8, 8, 3), (200, 40, 10), np.uint8)
    pixels[:, 4:] = 0
    flat = Image.fromarray(pixels).quantize(2)
    flat.save(source, transparency=int(np.asarray(flat)[0, 7]))
    assert upscale(source)[0] == 0
    result = np.asarray(Image.open(tmp_path / "sprite_x2.png"))
    assert result.shape == (16, 16, 4)
    assert (result[:, :6, 3] == 255).all() and (result[:, 10:, 3] == 0).all()
    visible = result[..., 3] > 0
    assert np.abs(result[visible][:, :3].astype(int) - (200, 40, 10)).max() <= 1


def test_cmyk_jpeg(upscale, tmp_path):
    source = tmp_path / "print.jpg"
    Image.fromarray(np.full((16, 16, 3), (200, 40, 10), np.uint8)).convert("CMYK").save(source, quality=95)
    code, error = upscale(source)
    result = Image.open(tmp_path / "print_x2.jpg")
    assert code == 0 and result.mode == "RGB" and "CMYK" in error
    assert np.abs(np.asarray(result).mean((0, 1)) - (200, 40, 10)).max() < 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_sixteen_bits_stay_sixteen_bits(channels, with_alpha, upscale, tmp_path):
    source = tmp_path / "deep.png"
    ramp = np.linspace(1000, 1255, 32 * 32).astype(np.uint16).reshape(32, 32, 1).repeat(channels, 2)
    write(Picture(ramp, ramp[..., 0] if with_alpha else None), source)
    code, error = upscale(source)
    result = read(tmp_path / "deep_x2.png")
    assert code == 0 and not error and result.pixels.dtype == np.uint16 and result.pixels.shape == (64, 64, channels)
    assert (result.alpha is not None) == with_alpha
    # In 8 bits these would be at most two values.
    assert len(np.unique(result.pixels)) > 200
    assert abs(result.pixels.mean() - ramp.mean()) < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_once(orientation, upscale, tmp_path):
    upright = Image.fromarray(RGB)
    methods = Image.Transpose
    inverse = [
        None,
        methods.FLIP_LEFT_RIGHT,
        methods.ROTATE_180,
        methods.FLIP_TOP_BOTTOM,
        methods.TRANSPOSE,
        methods.ROTATE_90,
        methods.TRANSVERSE,
        methods.ROTATE_270,
    ][orientation - 1]
    stored = upright if inverse is None else upright.transpose(inverse)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    assert upscale(tmp_path / "turned.png")[0] == 0 and upscale(tmp_path / "upright.png")[0] == 0
    turned, plain = (Image.open(tmp_path / f"{name}_x2.png") for name in ("turned", "upright"))
    np.testing.assert_array_equal(np.asarray(turned), np.asarray(plain))
    assert turned.getexif().get(0x0112, 1) == 1


def test_animations(upscale, tmp_path):
    source = tmp_path / "moving.gif"
    first, *rest = (Image.fromarray(np.full((8, 8), n, np.uint8)) for n in (10, 200, 90))
    first.save(source, save_all=True, append_images=rest, duration=50)
    assert upscale(source)[0] == 0
    moving = Image.open(tmp_path / "moving_x2.gif")
    assert moving.n_frames == 3 and moving.size == (16, 16)
    assert upscale(source, "--frames", "first", "--format", "png")[0] == 0
    result = Image.open(tmp_path / "moving_x2.png")
    assert result.size == (16, 16) and np.asarray(result.convert("L")).max() == 10


def test_folders_without_pictures(upscale, tmp_path):
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").write_text("words")
    code, error = upscale(tmp_path / "empty", "-o", tmp_path / "out")
    assert code == 3 and "no pictures" in error
    assert upscale(tmp_path / "missing.png")[0] == 3


def test_outputs_that_cannot_be_written(upscale, tmp_path):
    source, file = tmp_path / "a.png", tmp_path / "file"
    source.write_bytes(png_bytes())
    file.write_bytes(b"not a folder")
    assert upscale(source, "-o", file / "b.png")[0] == 6
    assert upscale(source, "-o", file / "sub" / "b.png")[0] == 6
    if Path("/proc/self").is_dir():
        assert upscale(source, "-o", "/proc/self/b.png")[0] == 6
    (tmp_path / "taken.png").mkdir()
    assert upscale(source, "-o", tmp_path / "taken.png")[0] == 0
    assert (tmp_path / "taken.png" / "a.png").is_file()


def test_the_output_is_never_the_input(upscale, tmp_path):
    source = tmp_path / "a.png"
    source.write_bytes(png_bytes())
    (tmp_path / "link.png").symlink_to(source)
    os.link(source, tmp_path / "hard.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    same = (source, tmp_path / "link.png", tmp_path / "hard.png", tmp_path / "loop" / "a.png", tmp_path / "." / "a.png")
    for target in same:
        code, error = upscale(source, "-o", target, "--overwrite")
        assert code == 2 and "would replace the input" in error
    assert upscale(tmp_path, "-o", tmp_path, "--overwrite")[0] == 2


@pytest.mark.parametrize("format_name", ["png", "jpeg", "tiff", "webp", "bmp"])
def test_a_full_disk_leaves_the_old_file(format_name, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    source, target = tmp_path / "a.png", tmp_path / f"b.{format_name}"
    Image.fromarray(noise).save(source)
    target.write_bytes(b"the old file")
    before = snapshot(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "upscale", source, "-o", target, "--overwrite", "-m", "bicubic-x2"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert done.stderr.count("\n") == 1 and "cannot write" in done.stderr
    assert snapshot(tmp_path) == before


def test_cmyk_with_its_own_profile_is_converted_by_it(tmp_path):
    # Any profile of another colour space than CMYK is of no use and must not stop the work.
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg", icc_profile=lab)
    assert read(tmp_path / "a.jpg").metadata.icc is None
