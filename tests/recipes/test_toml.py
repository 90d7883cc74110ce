"""Recipes as TOML: read back they are what they were."""

import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mezzotint.recipes import model, toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUE = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(TEXT, VALUE, max_size=5), st.lists(TEXT, max_size=2))
def test_anything_is_read_back_as_it_was(facts, remarks):
    assert tomllib.loads(toml.written(facts, remarks)) == facts


@pytest.mark.parametrize("name", model.names())
def test_every_shipped_recipe_is_read_back_as_it_was(name, tmp_path):
    recipe = model.read(name)
    for unset in (True, False):
        (tmp_path / "copy.toml").write_text(
            toml.written(recipe.model_dump(mode="json", exclude_unset=unset), ["why\nso"])
        )
        assert model.read(tmp_path / "copy.toml") == recipe


def test_it_looks_as_a_person_would_write_it():
    facts = {"task": "t", "start": None, "optimizer": {"generator": {"betas": [0.0, 0.9]}}, "phases": [{"begin": 0.5}]}
    facts["method"] = {"name": "m", "penalties": {"regularization.r1": 1.0}}
    assert toml.written(facts, ["because\nof"]) == (
        '# because of\ntask = "t"\n\n[optimizer.generator]\nbetas = [0.0, 0.9]\n\n[[phases]]\nbegin = 0.5\n\n'
        '[method]\nname = "m"\npenalties = { "regularization.r1" = 1.0 }\n'
    )
