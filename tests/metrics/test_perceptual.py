"""LPIPS with SqueezeNet: worked out by hand on a network of one multiplication, and lawful on the real architecture."""

import math

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from mezzotint.cli import main  # noqa: E402
from mezzotint.errors import InputError, ModelError, UsageError  # noqa: E402
from mezzotint.evaluation import evaluate  # noqa: E402
from mezzotint.evaluation.features import load_lpips_squeeze  # noqa: E402
from mezzotint.metrics.perceptual import SMALLEST_SQUEEZE, PerceptualNetwork, lpips_squeeze  # noqa: E402
from mezzotint.models.features import SqueezeNet11  # noqa: E402

CHANNELS = (64, 128, 256, 384, 384, 512, 512)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """SqueezeNet 1.1 with random weights, in halves, and heads of random positive weights."""
    folder = tmp_path_factory.mktemp("lpips")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = {name: value.half() for name, value in SqueezeNet11().state_dict().items()}
        heads = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(CHANNELS)}
    safetensors_torch.save_file(state, folder / "squeezenet.safetensors")
    safetensors_torch.save_file(heads, folder / "heads.safetensors")
    return folder / "squeezenet.safetensors", folder / "heads.safetensors"


@pytest.fixture(scope="module")
def network(files):
    return load_lpips_squeeze(*files)[0]


def picture(seed: int = 0, side: int = 48) -> np.ndarray:
    """Smooth and bright, so that noise upon it is rarely clipped."""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(3 * x + c + seed) * np.cos(4 * y - c) for c in range(3)]
    return (128 + 60 * np.stack(waves, axis=2)).astype(np.uint8)


def test_by_hand_on_a_network_of_one_multiplication() -> None:
    """Two stages, the second twice the first: unit vectors are the same in both, so both give the same squares."""
    network = PerceptualNetwork(
        [lambda x: x, lambda x: 2 * x], [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 0.0, 0.0])]
    )
    a, b = np.full((2, 2, 3), 255, np.uint8), np.full((2, 2, 3), 255, np.uint8)
    b[0, 0] = [0, 255, 255]

    def unit(rgb: tuple[int, int, int]) -> list[float]:
        shift, scale = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
        vector = [(v / 255 * 2 - 1 - s) / d for v, s, d in zip(rgb, shift, scale, strict=True)]
        return [v / math.hypot(*vector) for v in vector]

    squares = [(p - q) ** 2 for p, q in zip(unit((255, 255, 255)), unit((0, 255, 255)), strict=True)]
    # One place of four differs.
    expected = (squares[0] + 2 * squares[1] + 3 * squares[2] + 10 * squares[0]) / 4
    assert lpips_squeeze(a, b, network) == pytest.approx(expected, rel=1e-5)


def test_nothing_between_equal_pictures_and_the_same_both_ways(network) -> None:
    a, b = picture(0), picture(1)
    assert lpips_squeeze(a, a.copy(), network) == 0
    there, back = lpips_squeeze(a, b, network), lpips_squeeze(b, a, network)
    assert 0 < there == pytest.approx(back, rel=1e-6)


def test_it_grows_with_noise_and_with_blur(network) -> None:
    a = picture()
    noise = np.random.default_rng(0).normal(0, 1, a.shape)
    noisy = [np.clip(a + strength * noise, 0, 255).astype(np.uint8) for strength in (4, 12, 36)]
    distances = [lpips_squeeze(b, a, network) for b in noisy]
    assert 0 < distances[0] < distances[1] < distances[2]

    def blurred(times: int) -> np.ndarray:
        values = noisy[2].astype(float)
        for _ in range(times):
            for axis in (0, 1):
                values = (np.roll(values, 1, axis) + 2 * values + np.roll(values, -1, axis)) / 4
        return values.astype(np.uint8)

    distances = [lpips_squeeze(blurred(times), noisy[2], network) for times in (1, 3, 9)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_a_grey_picture_is_three_equal_channels(network) -> None:
    a, b = picture(0)[..., :1], picture(1)[..., :1]
    grey, colour = lpips_squeeze(a, b, network), lpips_squeeze(a.repeat(3, 2), b.repeat(3, 2), network)
    assert grey == pytest.approx(colour, rel=1e-6)


def test_the_slices_are_those_of_lpips(network) -> None:
    x = torch.zeros(1, 3, 64, 64)
    for stage, head, channels in zip(network.stages, network.heads, CHANNELS, strict=True):
        x = stage(x)
        assert x.shape[1] == channels == len(head)


def test_no_gradient_and_no_trace(network) -> None:
    random = torch.get_rng_state()
    assert isinstance(lpips_squeeze(picture(0), picture(1), network), float)
    assert torch.is_grad_enabled() and torch.equal(random, torch.get_rng_state())
    assert not any(weight.requires_grad for stage in network.stages for weight in stage.parameters())


def test_the_smallest_picture(network) -> None:
    a, b = picture(0, SMALLEST_SQUEEZE), picture(1, SMALLEST_SQUEEZE)
    assert lpips_squeeze(a, b, network) > 0


def test_pictures_that_cannot_be_compared(network) -> None:
    with pytest.raises(UsageError, match="one shape"):
        lpips_squeeze(picture(), picture(side=40), network)


def test_files_are_named_and_checked(files, tmp_path) -> None:
    _, facts = load_lpips_squeeze(*files)
    assert facts["heads"]["file"] == "heads.safetensors" and len(facts["squeezenet"]["sha256"]) == 64
    with pytest.raises(ModelError, match=r"heads\.safetensors does not hold SqueezeNet 1\.1"):
        load_lpips_squeeze(files[1], files[0])
    with pytest.raises(ModelError, match=r"'lin0\.model\.1\.weight' is missing"):
        load_lpips_squeeze(files[0], files[0])
    with pytest.raises(InputError, match="nowhere"):
        load_lpips_squeeze(files[0], tmp_path / "nowhere.safetensors")
    heads = safetensors_torch.load_file(files[1])
    heads["lin3.model.1.weight"][0, 5] = float("nan")
    safetensors_torch.save_file(heads, tmp_path / "bad.safetensors")
    with pytest.raises(ModelError, match="not finite"):
        load_lpips_squeeze(files[0], tmp_path / "bad.safetensors")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(picture(0, 48)).save(folder / "a.png")
    Image.fromarray(picture(1, 40)[..., 0]).save(folder / "b.png")
    return folder


def test_evaluate_adds_it_when_asked(files, network, photos) -> None:
    seen = {}
    report = evaluate(
        "bicubic-x2", photos, lpips=files, on_images=lambda name, lr, sr, hr: seen.update({name: (sr, hr)})
    )
    values = [lpips_squeeze(*seen[name], network) for name in ("a.png", "b.png")]
    assert [row.lpips_squeeze for row in report.results] == pytest.approx(values)
    assert report.lpips_squeeze == pytest.approx(sum(values) / 2)
    summary = report.summary()
    assert summary["lpips_squeeze"] == report.lpips_squeeze
    assert summary["lpips_files"]["heads"]["file"] == "heads.safetensors"
    without = evaluate("bicubic-x2", photos)
    assert without.lpips_squeeze is None and without.psnr_y == report.psnr_y
    assert "lpips" not in without.to_json() and "lpips" not in without.results[0].to_json()


def test_a_picture_too_small_for_squeezenet_is_named(files, photos) -> None:
    Image.fromarray(picture(0, 16)).save(photos / "c.png")
    report = evaluate("bicubic-x2", photos, lpips=files)
    (failure,) = report.failures
    assert failure.name == "c.png" and "16 x 16, needs 17 x 17" in failure.error
    assert len(evaluate("bicubic-x2", photos).results) == 3


def test_on_the_command_line(files, photos, capsys) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", "bicubic-x2", *map(str, arguments)])
        return ended.value.code or 0, *capsys.readouterr()

    code, out, _ = run(photos, "--lpips", files[0], "--lpips-heads", files[1])
    header, *rows = (line.split() for line in out.splitlines())
    assert code == 0 and header[-1] == "LPIPS-squeeze" and [len(row) for row in rows] == [6, 6, 6]
    assert float(rows[2][-1]) == pytest.approx((float(rows[0][-1]) + float(rows[1][-1])) / 2, abs=1e-4)
    code, _, err = run(photos, "--lpips", files[0])
    assert code == 2 and "--lpips-heads" in err
