import json

import numpy as np
import pytest

from mezzotint.card import GENERATION, Card
from mezzotint.errors import InputError, OutputError, UsageError
from mezzotint.pipelines.generate import Generator, noise
from mezzotint.pipelines.latent_file import read_latents, write_latents

CARD = Card(name="fake", task=GENERATION, network="none", latent_dim=6, size=(2, 3), labels=("Bag", "Coat"))
Z = np.stack([noise(0, i, (6,)) for i in range(3)])


class Fake:
    card, precision = CARD, "f32"


def entries(*labels):
    return [{"label": label, "psnr": 20.5} for label in labels]


def test_latents_come_back_to_the_bit_with_their_classes(tmp_path):
    write_latents(tmp_path / "a.json", CARD.replace(weights_sha256="ab"), Z, entries("Coat", None, "Bag"))
    back = read_latents(tmp_path / "a.json", CARD)
    assert back.z.tobytes() == Z.tobytes() and back.weights_sha256 == "ab"
    generator = Generator(Fake())
    assert back.classes(generator).tolist() == [1, 1, 0]
    assert back.classes(generator, "coat").tolist() == [1, 1, 1] and back.classes(generator, "all").tolist() == [
        0,
        1,
        0,
    ]
    assert json.loads((tmp_path / "a.json").read_text())["latents"][0]["psnr"] == 20.5


def test_an_array_of_numpy_will_do(tmp_path):
    np.save(tmp_path / "a.npy", Z.astype(np.float64))
    back = read_latents(tmp_path / "a.npy", CARD)
    assert back.z.tobytes() == Z.tobytes() and back.classes(Generator(Fake())).tolist() == [0, 1, 0]


def test_noise_of_the_shape_of_an_image(tmp_path):
    card = CARD.replace(latent_dim=(1, 2, 3))
    write_latents(tmp_path / "a.json", card, Z.reshape(3, 1, 2, 3), entries(None, None, None))
    assert read_latents(tmp_path / "a.json", card).z.shape == (3, 1, 2, 3)
    with pytest.raises(UsageError, match="N x 6, not 3 x 1 x 2 x 3"):
        read_latents(tmp_path / "a.json", CARD)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.txt", b"", UsageError),
        ("a.json", b"{}", InputError),
        ("a.json", b"[" * 100_000, InputError),
        ("a.json", b"\xff\xfe", InputError),
        ("a.json", b'{"latents": []}', UsageError),
        ("a.json", b'{"latents": [{"z": [1, 2]}]}', UsageError),
        ("a.json", b'{"latents": [{"z": [1, 2, 3, 4, 5, "x"]}]}', InputError),
        ("a.json", b'{"latents": [{"z": [1, 2, 3, 4, 5, NaN]}]}', InputError),
        ("a.json", b'{"latents": [{"z": [1, 2, 3, 4, 5, 6], "label": 7}]}', InputError),
        ("a.npy", b"\x93NUMPY\x01\x00", InputError),
        ("a.npy", b"not an array", InputError),
        ("missing.npy", None, InputError),
    ],
)
def test_files_that_hold_none_are_refused_by_name(tmp_path, name, content, error):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name):
        read_latents(tmp_path / name, CARD)


def test_an_array_that_claims_more_than_it_holds_allocates_nothing(tmp_path):
    np.save(tmp_path / "a.npy", Z)
    data = (tmp_path / "a.npy").read_bytes()
    for claim in (b"(3000000000, 6), }", b"(3, 6"):
        (tmp_path / "a.npy").write_bytes(data.replace(b"(3, 6), }".ljust(len(claim)), claim.ljust(9)))
        with pytest.raises(InputError, match="npy holds no latents"):
            read_latents(tmp_path / "a.npy", CARD)


def test_pickled_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="npy holds no latents"):
        read_latents(tmp_path / "a.npy", CARD)


def test_what_exists_is_kept(tmp_path):
    (tmp_path / "a.json").write_bytes(b"precious")
    with pytest.raises(OutputError):
        write_latents(tmp_path / "a.json", CARD, Z, entries(None, None, None))
    assert (tmp_path / "a.json").read_bytes() == b"precious"
