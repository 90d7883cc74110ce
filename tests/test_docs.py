"""The commands in the README and the how-tos can be typed as they stand there."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from mezzotint.cli import app
from mezzotint.recipes import model
from mezzotint.training import feed

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
SAMPLES = Path("examples/photos")
# An indented line that runs mezzotint, with those that continue it.
COMMAND = re.compile(r"^    (?:.*(?:-m |\\\n))?[^\S\n]*mezzotint ((?:.*\\\n)*.*)$", re.MULTILINE)
COMMANDS = [found.replace("\\\n", " ") for page in PAGES for found in COMMAND.findall(page.read_text(encoding="utf-8"))]


def parsed(words: list[str]) -> dict[str, object]:
    """What the command line makes of the words. Raises for a command or an option that does not exist."""
    command, name = typer.main.get_command(app), ""
    while hasattr(command, "get_command"):
        name, *words = words
        command = command.get_command(None, name)
        assert command is not None, name
    return command.make_context(name, words).params


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 30 and sum(command.startswith("train") for command in COMMANDS) > 12


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one(line) -> None:
    words = shlex.split(line, comments=True)
    given = parsed(words)
    # These two are made by the reader, and for the reader's pictures.
    if words[0] != "train" or given["recipe"] in ("mine.toml", "auto"):
        return
    recipe = model.read(given["recipe"], given["overrides"])
    # Those on the sample pictures are for everybody to run.
    if given["data"] == [SAMPLES]:
        assert len(feed.load(recipe, [ROOT / SAMPLES])) == 3
