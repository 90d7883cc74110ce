import json

import pytest

from mezzotint import catalog
from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.cli import main, models


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert not end.value.code


def test_lists_every_model_in_aligned_columns(capsys: pytest.CaptureFixture) -> None:
    run("models")
    header, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == catalog.names()
    start = header.index("description")
    bicubic = next(row for row in rows if row.startswith("bicubic-x4"))
    assert bicubic[start:] == catalog.card("bicubic-x4").description
    assert bicubic[header.index("scale") : header.index("scale") + 5].strip() == "x4"


def test_json_holds_whole_cards_and_a_summary(capsys: pytest.CaptureFixture) -> None:
    run("models", "--json")
    *objects, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert summary == {"summary": True, "n": len(catalog.names())}
    assert [entry["name"] for entry in objects] == catalog.names()
    for entry in objects:
        facts = {key: value for key, value in entry.items() if key not in ("bytes", "file")}
        assert Card.from_json(json.dumps(facts)) == catalog.card(entry["name"])


def test_a_row_shows_what_the_card_knows() -> None:
    card = Card(
        name="m",
        task=SUPER_RESOLUTION,
        network="x.Y",
        scale=4,
        parameters=1234567,
        metrics={"Set5": {"psnr_y": 31.239}},
        licence="CC0",
    )
    assert models._row(card, 2_500_000) == ("m", SUPER_RESOLUTION, "x4", "1,234,567", "2.5", "31.24", "", "CC0", "")
