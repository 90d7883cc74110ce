"""Names, run folders and paths lead to files; mistakes to one clear line."""

from pathlib import Path

import pytest

from mezzotint import catalog, refs
from mezzotint.errors import InputError, UsageError


def test_the_bicubic_baseline_is_built_in() -> None:
    assert {"bicubic-x2", "bicubic-x3", "bicubic-x4"} <= set(catalog.names())
    assert catalog.find("bicubic-x4") is None
    assert catalog.card("bicubic-x3").scale == 3


def test_every_shipped_model_has_its_twin_and_a_card_of_its_name() -> None:
    for name in catalog.names():
        if catalog.find(name) is not None:
            assert catalog.find(name, catalog.TRAINED).is_file()
            assert catalog.card(name).name == name


def test_run_folders_and_paths(tmp_path: Path) -> None:
    for suffix in (catalog.DEPLOYED, catalog.TRAINED):
        (tmp_path / f"weights{suffix}").touch()
        assert catalog.find(tmp_path, suffix) == tmp_path / f"weights{suffix}"
    # Either twin leads to the other.
    assert catalog.find(tmp_path / "weights.safetensors") == tmp_path / "weights.onnx"
    assert catalog.find(str(tmp_path / "weights.onnx"), catalog.TRAINED) == tmp_path / "weights.safetensors"


def test_a_missing_twin_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").touch()
    with pytest.raises(InputError, match="mezzotint export"):
        catalog.find(tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="not a finished run"):
        catalog.find(tmp_path)
    (tmp_path / "checkpoint.safetensors").touch()
    with pytest.raises(InputError, match="--resume goes on with it"):
        catalog.find(tmp_path)
    with pytest.raises(InputError, match="no such model file"):
        catalog.find(tmp_path / "absent.onnx")


def test_mistyped_names_get_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean bicubic-x4"):
        catalog.find("bicubik-x4")
    with pytest.raises(UsageError, match=r"known models: .*bicubic-x2"):
        catalog.find("zzz")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="not a model"):
        catalog.find(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("SRResNet", "not a reference"),
        ("srresnet.SRResNet.forward", "not a reference"),
        ("../x.Y", "not a reference"),
        ("os.system", "has no module 'os'"),
        ("srresnet.nope", "it has SRResNet"),
        ("srresnet.nn", "has no 'nn'"),  # imported there, not defined there
    ],
)
def test_references_reach_only_what_a_module_declares(reference: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        refs.resolve(reference, "models")


def test_a_reference_is_an_import_path() -> None:
    assert refs.resolve("srresnet.SRResNet", "models").__name__ == "SRResNet"
