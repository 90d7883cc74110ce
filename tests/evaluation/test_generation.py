"""Controls: generators whose fault is known are told apart, and real images pass."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from mezzotint import evaluate_generator
from mezzotint.card import GENERATION, SUPER_RESOLUTION, Card
from mezzotint.cli import main
from mezzotint.errors import InputError, LimitError, ModelError, UsageError
from mezzotint.evaluation import encoders, features, generation
from mezzotint.models.feature_files import load_squeezenet
from mezzotint.models.features import SmallClassifier, SqueezeNet11

SIDE, CLASSES, COUNT = 16, 4, 320
CARD = Card(
    "fake", GENERATION, "none.None", latent_dim=3, size=(SIDE, SIDE), out_channels=1, labels=("a", "b", "c", "d")
)


def bar(label: int, random: np.random.Generator) -> np.ndarray:
    """A bright bar at one of four angles, its place, width and brightness random: H W uint8."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    angle = label * np.pi / CLASSES + random.normal(0, 0.1)
    across = np.abs(x * np.cos(angle) + y * np.sin(angle) - random.normal(0, 2.5))
    image = random.uniform(120, 250) * np.clip(random.uniform(1, 4) - across, 0, 1) + random.normal(0, 4, (SIDE, SIDE))
    return image.clip(0, 255).astype(np.uint8)


def bars(seed: int, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(count) % CLASSES
    return np.stack([bar(label, np.random.default_rng((seed, i))) for i, label in enumerate(labels)]), labels


TRAINING, HELD_OUT = bars(1), bars(2)


def write_idx(path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """(training images, held-out images): IDX files with their labels beside them."""
    folder = tmp_path_factory.mktemp("bars")
    for name, (images, labels) in (("train", TRAINING), ("t10k", HELD_OUT)):
        write_idx(folder / f"{name}-images-idx3-ubyte", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels)
    return folder / "train-images-idx3-ubyte", folder / "t10k-images-idx3-ubyte"


class Fake:
    """A generator that draws each image by `draw(label, random)`, random by its z."""

    def __init__(self, draw, card: Card = CARD) -> None:
        self.draw, self.card, self.precision = draw, card, "f32"

    def __call__(self, z, labels=None):
        randoms = [np.random.default_rng(part.view(np.uint32)) for part in z]
        labels = [random.integers(CLASSES) for random in randoms] if labels is None else labels
        images = [self.draw(int(label), random) for label, random in zip(labels, randoms, strict=True)]
        return np.stack(images)[:, None].astype(np.float32) / 127.5 - 1


def copy(label: int, random: np.random.Generator) -> np.ndarray:
    return random.choice(TRAINING[0][TRAINING[1] == label])


def noise(label: int, random: np.random.Generator) -> np.ndarray:
    return random.integers(0, 256, (SIDE, SIDE), np.uint8)


PERFECT = Fake(bar)
COPYING = Fake(copy)
CONSTANT = Fake(lambda label, random: HELD_OUT[0][5])
HALF = Fake(lambda label, random: bar(label % 2, random))
NOISE = Fake(noise)


@pytest.fixture(autouse=True, scope="module")
def few_patches():
    """The sliced Wasserstein distance of few images: it would take most of the time here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "_SWD_IMAGES", 64)
        yield


@pytest.fixture(scope="module")
def measured(data, few_patches):
    """Reports in the features of pixels, by generator, each made once."""
    reports = {}

    def measure(model):
        if model not in reports:
            reports[model] = evaluate_generator(model, *data, n=COUNT, classifier_images=0)
        return reports[model]

    return measure


def test_new_images_of_the_same_distribution_pass(measured) -> None:
    report = measured(PERFECT)
    assert report.findings == [] and all(verdict.passed for verdict in report.verdicts)
    judged = {verdict.metric for verdict in report.verdicts}
    assert judged == {"training_z", "duplicates", "coverage_pixels", "precision_pixels", "fd_pixels", "swd"}
    assert report["authentic"].value == pytest.approx(report["authentic"].real, abs=0.15)
    assert report["fd_pixels"].ratio < 1.3 and report["swd"].ratio < 1.5
    for metric in ("precision", "recall", "density", "coverage"):
        score = report[f"{metric}_pixels"]
        assert score.value == pytest.approx(score.real, abs=0.12)
    assert abs(report["training_z"].value) < 3 and abs(report["ct_z"].value) < 4


def test_a_copying_generator_is_found_by_memorisation_only(measured) -> None:
    report = measured(COPYING)
    assert any("copies training images" in finding for finding in report.findings)
    assert report["training_z"].value > 4 and report["ct_z"].value < -4 and report["nearest_ratio"].value < 0.1
    # By every other number it is as good as the real images.
    assert report["fd_pixels"].ratio < 2 and report["coverage_pixels"].value > 0.5
    generated, nearest, _ = report.triptychs[0]
    np.testing.assert_array_equal(generated, nearest)


def test_a_constant_generator_covers_nothing(measured) -> None:
    report = measured(CONSTANT)
    assert report["coverage_pixels"].value < 0.1 and report["recall_pixels"].value < 0.1
    assert report["duplicates"].value == 1 and report["precision_pixels"].value == 1
    told = " ".join(report.findings)
    assert "misses parts" in told and "repeats itself" in told and "copies" not in told


def test_half_the_classes_leave_half_the_data_uncovered(measured) -> None:
    report = measured(HALF)
    whole = measured(PERFECT)
    assert report["coverage_pixels"].value < 0.62 * whole["coverage_pixels"].value
    assert report["recall_pixels"].value < 0.75 * whole["recall_pixels"].value
    assert report["precision_pixels"].value > 0.8 * whole["precision_pixels"].value
    assert len(report.findings) == 1 and "misses parts" in report.findings[0]


def test_noise_is_far_and_not_precise(measured) -> None:
    report = measured(NOISE)
    assert report["fd_pixels"].ratio > 20 and report["swd"].ratio > 3
    assert report["precision_pixels"].value == 0 and report["kd_pixels"].value > 20 * abs(report["kd_pixels"].real)
    assert any("unlike the data" in finding for finding in report.findings)


CONTROLS = {"copying": COPYING, "constant": CONSTANT, "half the classes": HALF, "noise": NOISE}


@pytest.mark.parametrize(
    ("control", "broken"),
    [
        ("copying", {"training_z"}),
        ("constant", {"duplicates", "coverage_pixels"}),
        ("half the classes", {"coverage_pixels"}),
        ("noise", {"precision_pixels", "coverage_pixels", "fd_pixels"}),
    ],
)
def test_each_control_fails_by_the_verdicts_it_should(measured, control, broken) -> None:
    verdicts = {verdict.metric: verdict for verdict in measured(CONTROLS[control]).verdicts}
    failed = {metric for metric, verdict in verdicts.items() if not verdict.passed}
    assert broken <= failed
    for metric in broken:
        line = str(verdicts[metric])
        assert (
            line.startswith("FAIL") and ("at most" in line or "at least" in line) and verdicts[metric].finding in line
        )
    assert ("training_z" in failed) == (control == "copying")


def test_held_out_images_in_place_of_generated_ones_pass(data) -> None:
    # Real images of a third draw, which the generator holds and gives one after the other.
    third, labels = bars(3, 2 * COUNT)
    queues = [list(third[labels == label]) for label in range(CLASSES)]
    report = evaluate_generator(Fake(lambda label, random: queues[label].pop(0)), *data, n=COUNT, classifier_images=0)
    assert all(verdict.passed for verdict in report.verdicts)


def test_a_copying_generator_is_not_authentic(measured) -> None:
    report = measured(COPYING)
    assert report["authentic"].value < 0.05 < report["authentic"].real and report["ct_cells"].value < -4


def test_images_enlarged_by_a_second_stage_are_measured_at_their_size(data, tmp_path) -> None:
    # Bars of twice the size, of which the generator makes the small ones.
    for name, seed in (("train", 1), ("test", 2)):
        write_idx(tmp_path / f"{name}-idx3-ubyte", bars(seed, 64)[0].repeat(2, axis=1).repeat(2, axis=2))
    paths = tmp_path / "train-idx3-ubyte", tmp_path / "test-idx3-ubyte"
    report = evaluate_generator(PERFECT, *paths, n=32, classifier_images=0, upscale="bicubic-x2")
    assert report.triptychs.shape[1:] == (3, 2 * SIDE, 2 * SIDE, 1) and report.upscale == "bicubic-x2"
    assert json.loads(report.to_json())["upscale"] == "bicubic-x2" and any("32x32" in note for note in report.notes)
    # Bicubic is smooth where these real images are made of blocks: the patches tell.
    assert report["fd_pixels"].ratio < 3 and report["swd"].ratio > report["fd_pixels"].ratio


def test_fid_is_what_the_distance_is_called_in_inceptions_features_only(data, monkeypatch, tmp_path) -> None:
    facts = {"network": "inception.InceptionV3", "sha256": "67"}
    stand_in = encoders.Encoder(lambda images: encoders.thumbs(images)[:, ::16], facts)
    monkeypatch.setattr(generation, "fid_inception", lambda path, threads: stand_in)
    report = evaluate_generator(PERFECT, *data, n=64, classifier_images=0, inception="file.pth")
    assert "fid" in report.scores and "fd_inception" not in report.scores and report.features["inception"] == facts
    assert report["fid"].ratio is not None and "kd_inception" in report.scores
    assert any(note.startswith("fid: 64 generated") for note in report.notes)
    monkeypatch.undo()
    (tmp_path / "other.pth").write_bytes(b"something else")
    with pytest.raises(ModelError, match="not pt_inception"):
        evaluate_generator(PERFECT, *data, inception=tmp_path / "other.pth")


def test_labels_give_a_classifier(data) -> None:
    report = evaluate_generator(PERFECT, *data, n=160, classifier_images=COUNT)
    score = report["classifier_accuracy"]
    assert score.real > 0.8 and score.value > 0.8 and score.n == COUNT and score.n_reference == COUNT
    assert report["recognised"].value > 0.8
    assert report["fd_own"].ratio < 3 and "fd_pixels" not in report.scores
    assert report.features["own"]["accuracy"] == score.real
    # 160 images, 128 features, and a classifier that has seen the images of the floor.
    assert len(report.notes) == 2


def test_wrong_labels_are_useless_to_a_classifier(data) -> None:
    swapped = Fake(lambda label, random: bar((label + 1) % CLASSES, random))
    report = evaluate_generator(swapped, *data, n=100, classifier_images=COUNT)
    assert report["classifier_accuracy"].value < 0.2 and report["recognised"].value < 0.2
    # The images themselves are right.
    assert report["precision_own"].value > 0.5


def test_a_generator_without_classes_on_labelled_data(data) -> None:
    unconditional = Fake(bar, dataclasses.replace(CARD, labels=()))
    report = evaluate_generator(unconditional, *data, n=100, classifier_images=100)
    assert "fd_own" in report.scores and "classifier_accuracy" not in report.scores
    assert any("does not make the 4 classes" in note for note in report.notes)


def test_without_held_out_images_halves_are_compared(data) -> None:
    report = evaluate_generator(COPYING, data[0], n=COUNT, classifier_images=0)
    assert report.reference is None and report.n == COUNT // 2
    assert any("halves" in note for note in report.notes)
    assert report["nearest_ratio"].value < 0.9


def test_squeezenet_from_a_file_of_halves(data, tmp_path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    state = SqueezeNet11().state_dict()
    path = tmp_path / "squeezenet.safetensors"
    safetensors.save_file({**{k: v.half() for k, v in state.items()}, "classifier.1.bias": torch.zeros(9)}, path)
    report = evaluate_generator(PERFECT, *data, n=16, classifier_images=0, features=path)
    assert len(report.features["squeezenet"]["sha256"]) == 64
    assert report["fd_squeezenet"].n == 16 and "fd_own" not in report.scores
    images = np.random.default_rng(0).integers(0, 256, (3, 30, 20, 1), np.uint8)
    network, _ = load_squeezenet(path)
    grey = features.encode(network, images)
    assert grey.shape == (3, 512) and np.isfinite(grey).all()
    np.testing.assert_allclose(grey, features.encode(network, images.repeat(3, axis=3)), rtol=1e-5, atol=1e-6)


def test_files_that_are_no_squeezenet(data, tmp_path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    state = SqueezeNet11().state_dict()
    for name, wrong in (
        ("lacks", {k: v for k, v in state.items() if not k.startswith("features.12")}),
        ("shape", state | {"features.0.bias": torch.zeros(3)}),
        ("nan", state | {"features.0.bias": torch.full((64,), torch.nan)}),
    ):
        safetensors.save_file(wrong, tmp_path / f"{name}.safetensors")
        with pytest.raises(ModelError, match=name):
            evaluate_generator(PERFECT, *data, features=tmp_path / f"{name}.safetensors")
    with pytest.raises(InputError):
        evaluate_generator(PERFECT, *data, features=tmp_path / "nowhere.safetensors")


def test_the_classifier_is_the_same_every_time_and_leaves_the_random_state() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = (features.train_classifier(TRAINING[0][..., None], TRAINING[1], CLASSES, epochs=1) for _ in "ab")
    other = features.train_classifier(TRAINING[0][..., None], TRAINING[1], CLASSES, epochs=1, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    images = HELD_OUT[0][:9, ..., None]
    np.testing.assert_array_equal(features.encode(first, images), features.encode(second, images))
    assert not np.array_equal(features.encode(first, images), features.encode(other, images))
    with pytest.raises(UsageError, match="labels"):
        features.train_classifier(TRAINING[0][..., None], TRAINING[1], 2)


def test_large_colour_images_are_brought_to_the_classifiers_size() -> None:
    network = SmallClassifier(3, classes=2).eval()
    images = np.random.default_rng(0).integers(0, 256, (4, 100, 130, 3), np.uint8)
    assert features.encode(network, images).shape == (4, 128)
    assert set(features.predictions(network, images)) <= {0, 1}


def test_equal_arguments_give_equal_reports(measured, data) -> None:
    again = evaluate_generator(PERFECT, *data, n=COUNT, classifier_images=0)
    assert again.to_json() == measured(PERFECT).to_json()
    other = evaluate_generator(PERFECT, *data, n=COUNT, classifier_images=0, seed=1)
    assert other["fd_pixels"].value != again["fd_pixels"].value


def test_every_number_says_where_it_comes_from(measured) -> None:
    report = json.loads(measured(PERFECT).to_json())
    assert report["summary"] is True and report["n"] == COUNT and report["seed"] == 0
    assert {score["metric"] for score in report["scores"]} > {"swd", "fd_pixels", "ct_z", "duplicates"}
    for score in report["scores"]:
        assert score["n"] > 0 and score["n_reference"] > 0 and score["seed"] == 0
        assert report[score["metric"]] == score["value"]
    assert "fid" not in json.dumps(report).lower()


def test_mistakes_are_told(data, tmp_path) -> None:
    for arguments, options, message in (
        ((Fake(bar, dataclasses.replace(CARD, task=SUPER_RESOLUTION, scale=2)), *data), {}, "generates nothing"),
        ((PERFECT, *data), {"n": 3}, "at least 16"),
        (("no-such-model", *data), {}, "no model named"),
    ):
        with pytest.raises(UsageError, match=message):
            evaluate_generator(*arguments, **options)
    with pytest.raises(LimitError, match="at most 200,000"):
        evaluate_generator(PERFECT, *data, n=10**12)
    write_idx(tmp_path / "images-idx3-ubyte", TRAINING[0][:5])
    with pytest.raises(UsageError, match="too few"):
        evaluate_generator(PERFECT, data[0], tmp_path / "images-idx3-ubyte")
    with pytest.raises(UsageError, match=r"2 training and 2 held-out images \(halves of .*\) are too few"):
        evaluate_generator(PERFECT, tmp_path / "images-idx3-ubyte")
    with pytest.raises(UsageError, match=r"are also in .*: images are held out only if"):
        evaluate_generator(PERFECT, data[0], data[0])
    write_idx(tmp_path / "labels-idx1-ubyte", np.arange(5))
    with pytest.raises(UsageError, match="other classes"):
        evaluate_generator(PERFECT, data[0], tmp_path / "images-idx3-ubyte")


# --- the command ---


@pytest.fixture
def command(capsys, monkeypatch):
    """Runs `mezzotint evaluate` on a generator that is there by name; returns (exit code, stdout, stderr)."""
    from mezzotint import catalog, runtimes

    known = catalog.card
    monkeypatch.setattr(catalog, "card", lambda name: CARD if name == "bars" else known(name))
    monkeypatch.setattr(runtimes, "load", lambda *arguments: COPYING)

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, arguments)])
        return ended.value.code or 0, *capsys.readouterr()

    return call


def test_the_command_prints_a_table_and_what_it_means(command, data, tmp_path) -> None:
    sheet = tmp_path / "copies.png"
    code, out, err = command(
        "bars", data[0], "--reference", data[1], "-n", 64, "--classifier-images", 0, "--pictures", sheet
    )
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert code == 0 and err == ""
    assert float(rows["fd_pixels"][0]) / float(rows["fd_pixels"][1]) == pytest.approx(float(rows["fd_pixels"][2]), 0.01)
    assert "copies training images" in out and "FAIL  training_z" in out and "pass  coverage_pixels" in out
    assert sheet.stat().st_size > 1000


def test_the_command_as_json_and_into_a_file(command, data, tmp_path) -> None:
    output = tmp_path / "report.json"
    code, out, err = command(
        "bars", data[0], "--reference", data[1], "-n", 32, "--classifier-images", 0, "--json", "-o", output, "--seed", 3
    )
    *scores, summary = map(json.loads, out.splitlines())
    assert code == 0 and err == ""
    assert summary["summary"] is True and summary["seed"] == 3 and summary["findings"]
    assert {score["metric"]: score["value"] for score in scores}.items() <= summary.items()
    assert json.loads(output.read_text())["scores"] == scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bars", "--protocol", "rgb"], "--protocol is for super-resolution"),
        (["bicubic-x2", "-n", "5"], "-n is for generators"),
        (["bicubic-x2", "--classifier-images", "5"], "--classifier-images is for generators"),
        (["bicubic-x2", "--pictures", "a.png"], "--pictures is for generators"),
        (["bars", "--pictures", "a.txt"], "a.txt: a picture's name ends"),
        (["bars", "-n", "3"], "at least 16"),
        (["bars", "--upscale", "fashion-28"], "cannot"),
        (["bicubic-x2", "--inception", "a.pth"], "--inception is for generators"),
    ],
)
def test_options_of_the_other_task_are_refused(command, data, arguments, message) -> None:
    code, _, err = command(arguments[0], data[0], *arguments[1:])
    assert code == 2 and message in err and len(err.splitlines()) == 1
