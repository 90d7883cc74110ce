import json
import tomllib

import pytest

from mezzotint.cli import main
from mezzotint.recipes import model


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["recipes", *map(str, arguments)])
    out, err = capsys.readouterr()
    return end.value.code or 0, out, err


def test_every_recipe_is_listed_with_its_task_and_purpose(capsys):
    code, out, _ = run(capsys)
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == model.names()
    assert all(("super-resolution" in line) != ("generation" in line) for line in out.splitlines())


def test_json_holds_every_recipe_in_full(capsys):
    code, out, _ = run(capsys, "--json")
    listed = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [recipe["name"] for recipe in listed] == model.names()
    for recipe in listed:
        assert recipe == {"name": recipe["name"], **tomllib.loads(model.text(recipe["name"]))}


def test_a_recipe_is_printed_as_it_is_written(capsys):
    assert run(capsys, "compact-x4") == (0, model.text("compact-x4"), "")
    code, out, _ = run(capsys, "compact-x4", "--json")
    assert code == 0 and json.loads(out)["generator"]["name"] == "compact.Compact"


def test_a_copy_can_be_edited_and_is_never_overwritten(capsys, tmp_path):
    copy = tmp_path / "mine.toml"
    assert run(capsys, "compact-x4", "-o", copy)[0] == 0
    assert model.read(copy) == model.read("compact-x4")
    copy.write_text("edited")
    code, _, err = run(capsys, "compact-x4", "-o", copy)
    assert code == 2 and "mine.toml exists" in err and copy.read_text() == "edited"


@pytest.mark.parametrize(
    ("arguments", "message"), [(["nope"], "shipped recipes: article"), (["-o", "x"], "needs the name")]
)
def test_mistakes_are_one_line_and_exit_2(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert code == 2 and message in err and not out and err.count("\n") == 1
