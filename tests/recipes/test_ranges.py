"""What types allow and meaning does not: each is refused by its path, before any work."""

import pytest

from mezzotint.errors import UsageError
from mezzotint.recipes import model
from mezzotint.recipes.ranges import out_of_range


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("fashion-28", "generator.widths=[]", r"generator\.widths: is \[\], .* at least 1"),
        ("fashion-28", "generator.widths=[0]", r"generator\.widths: is \[0\]"),
        ("fashion-28", "discriminator.widths=[8,-4]", r"discriminator\.widths: is \[8, -4\]"),
        ("fashion-28", "generator.latent_dim=0", r"generator\.latent_dim: is 0"),
        ("fashion-28", "discriminator.blocks_per_stage=0", r"discriminator\.blocks_per_stage: is 0"),
        ("compact-x4", "generator.channels=-4", r"generator\.channels: is -4"),
        (
            "fashion-28",
            'method.penalties={"regularization.r1"=-1.0}',
            r"method\.penalties: regularization\.r1 weighs -1",
        ),
        ("fashion-28", "method.penalty_share=0.0", r"method\.penalty_share: is 0, .* above 0 and at most 1"),
        ("fashion-28", "method.penalty_share=1.5", r"method\.penalty_share: is 1\.5"),
        ("fashion-28", "method.classify=-0.5", r"method\.classify: weighs -0\.5"),
        ("srgan-x4", "method.adversarial=-1e-3", r"method\.adversarial: weighs -0\.001"),
    ],
)
def test_numbers_without_meaning_are_refused(recipe, setting, message) -> None:
    with pytest.raises(UsageError, match=message):
        model.read(recipe, [setting])


@pytest.mark.parametrize("name", model.names())
def test_shipped_recipes_are_within(name) -> None:
    assert not list(out_of_range(model.read(name).model_dump(mode="json")))


def test_no_classes_are_a_number_of_classes() -> None:
    assert not list(out_of_range({"generator": {"num_classes": 0, "basis": False}, "discriminator": None, "method": 3}))
