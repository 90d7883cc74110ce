"""Generators that copy, or make noise, now and then: what is chosen of them is known."""

import json

import numpy as np
import pytest

from mezzotint import catalog, runtimes
from mezzotint.card import GENERATION, Card
from mezzotint.cli import main
from mezzotint.errors import LimitError, QualityError, UsageError
from mezzotint.evaluation.selection import select
from mezzotint.pipelines.generate import Generator

SIDE = 12
CARD = Card("bars", GENERATION, "none", latent_dim=4, size=(SIDE, SIDE), out_channels=1, labels=("dark", "bright"))


def bar(random: np.random.Generator, label: int) -> np.ndarray:
    """A blurred bar at any place and of any width: H W uint8."""
    place, width = random.uniform(2, SIDE - 2), random.uniform(0.5, 2)
    profile = np.clip(width + 1 - np.abs(np.arange(SIDE) - place), 0, 1)
    tilt = 1 - 0.3 * random.uniform() * np.arange(SIDE) / SIDE
    return (
        (np.outer(tilt, profile) * (120 + 100 * label) + random.normal(0, 3, (SIDE, SIDE)))
        .clip(0, 255)
        .astype(np.uint8)
    )


TRAINING, HELD_OUT = (
    np.stack([bar(np.random.default_rng((seed, i)), i % 2) for i in range(600)])[..., None] for seed in (1, 2)
)


class Fake:
    """Makes bars; each third image, by its noise, is a copy (class 1) or noise (class 0), as asked for."""

    card, precision = CARD, "f32"

    def __init__(self, faults: float = 0.3, copies: bool = True) -> None:
        self.faults, self.copies = faults, copies

    def __call__(self, z, labels):
        return np.stack(
            [
                self.draw(np.random.default_rng(row.view(np.uint32)), int(label))
                for row, label in zip(z, labels, strict=True)
            ]
        )

    def draw(self, random, label):
        faulty = random.uniform() < self.faults
        image = bar(random, label)
        if faulty and self.copies:
            image = TRAINING[random.integers(len(TRAINING)), ..., 0] + random.integers(-1, 2, (SIDE, SIDE)) / 2
        elif faulty:
            image = random.integers(0, 256, (SIDE, SIDE))
        return image[None].astype(np.float32) / 127.5 - 1


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bars")
    for name, images in (("training", TRAINING), ("held", HELD_OUT)):
        header = bytes([0, 0, 8, 3]) + np.array(images.shape[:3], ">u4").tobytes()
        (folder / f"{name}-idx3-ubyte").write_bytes(header + images.tobytes())
    return folder / "training-idx3-ubyte", folder / "held-idx3-ubyte"


@pytest.mark.parametrize("held_out", [False, True])
def test_copies_are_dropped_and_new_images_hardly_ever(data, held_out):
    reference = data[1] if held_out else None
    found = select(Generator(Fake()), 30, 3, data[0], reference)
    assert 0.2 * 90 < found.copies < 0.4 * 90 and found.judged_by.startswith("held-out" if held_out else "training")
    distances = np.abs(found.images[:, None].astype(int) - TRAINING[None]).mean((2, 3, 4)).min(1)
    assert len(found.images) + len(found.missing) == 30 and distances.min() > 0.75
    healthy = select(Generator(Fake(0)), 60, 2, data[0], reference)
    assert healthy.copies <= 6 and not healthy.missing


def test_noise_is_chosen_only_where_there_is_nothing_else(data):
    generator = Generator(Fake(0.4, copies=False))
    plain, chosen = (select(generator, 40, k, data[0]) for k in (1, 4))
    # Noise has a realism of about 0.1.
    assert (plain.realism < 0.15).mean() > 0.2 and (chosen.realism < 0.15).mean() < 0.06
    assert np.median(chosen.realism) > chosen.usual
    # Classes in turn, as without choosing.
    assert chosen.labels.tolist() == [i % 2 for i in range(40) if i not in chosen.missing]


def test_an_image_is_the_same_whatever_n_and_the_first_candidate_is_what_generate_gives(data):
    generator = Generator(Fake(copies=False))
    few, many, again = (select(generator, n, 3, data[0], seed=5) for n in (6, 20, 20))
    np.testing.assert_array_equal(many.images, again.images)
    assert few.numbers.tolist() == many.numbers[: len(few.numbers)].tolist()
    np.testing.assert_array_equal(few.images, many.images[: len(few.images)])
    images = generator.arrays(20, 5)
    first = many.numbers < 2**32
    assert first.any() and not first.all()
    np.testing.assert_array_equal(many.images[first], images[many.numbers[first]])


def test_nothing_but_copies_is_refused(data):
    with pytest.raises(QualityError, match="all 8 candidates"):
        select(Generator(Fake(1)), 4, 2, data[0], data[1])


def test_mistakes(data, tmp_path):
    with pytest.raises(LimitError, match="200,000"):
        select(Generator(Fake()), 100_000, 3, data[0])
    few = tmp_path / "few-idx3-ubyte"
    few.write_bytes(bytes([0, 0, 8, 3]) + np.array((9, SIDE, SIDE), ">u4").tobytes() + TRAINING[:9].tobytes())
    with pytest.raises(UsageError, match="9 usable images"):
        select(Generator(Fake()), 4, 3, few)


@pytest.fixture
def command(monkeypatch, capsys):
    monkeypatch.setattr(catalog, "card", lambda name: CARD)
    monkeypatch.setattr(runtimes, "load", lambda name, *options: Fake())

    def call(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["generate", "-m", "bars", *map(str, arguments)])
        return end.value.code or 0, *capsys.readouterr()

    return call


def test_the_command_says_what_was_dropped_and_why(command, data, tmp_path):
    given = ("-n", 12, "--real", data[0], "--reference", data[1], "--best-of", 3)
    code, out, _ = command(*given, "-o", tmp_path / "a.png")
    assert code == 0 and "36 candidates" in out and "dropped: nearer to a training image" in out
    code, out, _ = command(*given, "-o", tmp_path / "a.npz", "--json")
    summary = json.loads(out.splitlines()[-1])
    images = np.load(tmp_path / "a.npz")["images"]
    assert (
        summary["n"] == len(images) == len(summary["numbers"])
        and summary["dropped"] > 0
        and summary["candidates"] == 36
    )
    assert command("-n", 4, "--best-of", 3)[0] == 2
    np.save(tmp_path / "z.npy", np.zeros((2, 4), np.float32))
    assert command("--real", data[0], "--latent", tmp_path / "z.npy")[0] == 2
