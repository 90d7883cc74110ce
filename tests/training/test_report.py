"""The page of a run: parsed as HTML, with hostile names, torn logs, and folders that cannot be written."""

import contextlib
import json
import math
import os
import time
from html.parser import HTMLParser

import pytest

from mezzotint.errors import DivergedError, InputError
from mezzotint.training import curves, report

HOSTILE = "<script>alert('&\"$name')</script>"
VOID = {"meta", "img", "input", "line", "polyline", "br"}


class Parsed(HTMLParser):
    """Elements with their attributes, text by element, and whether tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag):
        return "".join(data for name, data in self.texts if name == tag)


def lines(count, **more):
    return [
        {"step": step, "minutes": step / 60, "generator": 1.0 / step, "discriminator": 1.0, "real_logits": step,
         "fake_logits": -step, "steps_per_second": 1.0, "rate": 1.0, "skipped": 0, **more}
        for step in range(1, count + 1)
    ]  # fmt: skip


def run_folder(folder, log, sheets=(3, 20), **recipe):
    (folder / "samples").mkdir(parents=True)
    recipe = {"task": "generation", "description": "d", "steps": 10, "minutes": None, "data": {"batch": 4}} | recipe
    (folder / "recipe.json").write_text(json.dumps({"recipe": recipe, "data": ["pictures"], "images": 7}))
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    for step in sheets:
        (folder / "samples" / f"{step:08d}.png").write_bytes(b"")
    return folder


def parsed(folder, state=None):
    return Parsed(report.write(folder, state).read_text(encoding="utf-8"))


def curves_of(page):
    """Point counts of each line, by its picture's title, in order."""
    found, title = {}, None
    for tag, attributes in page.elements:
        title = attributes["aria-label"] if tag == "svg" else title
        if tag == "polyline":
            found.setdefault(title, []).append(len(attributes["points"].split()))
    return found


def test_every_number_of_the_log_is_a_curve_with_all_its_points(tmp_path):
    log = lines(5)
    log[1]["validation"] = {"contrast": 0.5}
    log[4]["validation"] = {"contrast": 0.7}
    log[2]["generator"] = math.nan
    found = curves_of(parsed(run_folder(tmp_path / "run", log)))
    assert found["losses"] == [4, 5] and found["logits"] == [5, 5] and found["validation: contrast"] == [2]
    assert set(found) == {"losses", "logits", "validation: contrast", "steps_per_second", "rate"}


def test_a_super_resolution_run_has_its_psnr(tmp_path):
    log = [{"step": step, "minutes": step, "pixel.l1": 0.1, "validation": {"psnr_y": 20 + step}} for step in (1, 2, 3)]
    page = parsed(run_folder(tmp_path / "run", log, task="super-resolution", steps=3))
    assert curves_of(page)["validation: psnr_y"] == [3] and page.all("body")[0]["class"] == "super-resolution"
    assert "23" in page.text("b") and "finished" in page.text("b")


def test_the_doctor_is_heard_and_its_measurements_drawn(tmp_path):
    log = lines(4)
    log[1] |= {"doctor": {"diversity": 0.5, "skipped": 0, "unknown": None}, "diagnoses": ["mode collapse"]}
    log[1] |= {"said": ["mode collapse since 20 images", "rescue 1 of 5: penalties x 2"]}
    page = parsed(run_folder(tmp_path / "run", log))
    assert "mode collapse" in page.text("b") and curves_of(page)["doctor: diversity"] == [2]
    assert page.text("li") == "step 2: rescue 1 of 5: penalties x 2step 2: mode collapse since 20 images"
    log[2]["doctor"] = {"diversity": 0.8}
    log[3] |= {"doctor": {"diversity": 0.9}, "diagnoses": [], "said": ["mode collapse is over"]}
    page = parsed(run_folder(tmp_path / "later", log))
    assert "mode collapse" not in page.text("b") and "No complaint." in page.text("p")
    assert curves_of(page)["doctor: diversity"] == [3]


def test_long_curves_are_thinned_and_end_where_the_log_ends():
    markup = curves.chart("long", {"a": [(step, step % 7) for step in range(5000)]})
    (points,) = (attributes["points"] for attributes in Parsed(markup).all("polyline"))
    assert len(points.split()) == 300 and points.split()[-1].startswith(f"{360 - 6:.1f},")
    assert ">step 4,999<" in markup
    assert curves.chart("none", {"a": [(1, math.inf)], "b": []}) == ""


def test_a_curve_lies_within_its_picture_and_higher_values_higher():
    (line,) = Parsed(curves.chart("t", {"a": [(0, -5.0), (10, 5.0)]})).all("polyline")
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line["points"].split())
    assert 0 < x1 < x2 < 360 and 0 < y2 < y1 < 150


def test_hostile_names_stay_text(tmp_path):
    log = lines(3, **{HOSTILE: 1.0})
    log[0] |= {"doctor": [HOSTILE], "said": [HOSTILE], "diagnoses": [HOSTILE]}
    log[0]["validation"] = {HOSTILE: 2.0}
    # A slash ends a folder's name.
    folder = run_folder(tmp_path / HOSTILE.replace("/", ""), log, description=HOSTILE, task=f'"><{HOSTILE}')
    record = json.loads((folder / "recipe.json").read_text())
    record |= {"data": [HOSTILE], "images": HOSTILE, "versions": {HOSTILE: HOSTILE}, "left_out": [HOSTILE]}
    (folder / "recipe.json").write_text(json.dumps(record))
    (folder / "samples" / f"{HOSTILE.replace('/', '')}.png").write_bytes(b"")
    page, harmless = parsed(folder), parsed(run_folder(tmp_path / "plain", lines(3)))
    assert len(page.all("script")) == len(harmless.all("script")) == 1 and "alert" not in page.text("script")
    assert all(set(attributes) <= {"class"} for attributes in page.all("body"))
    assert page.text("h1") == folder.name and HOSTILE in page.text("li") and HOSTILE in page.text("figcaption")


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    text = report.write(run_folder(tmp_path / "run", lines(3))).read_text()
    assert "//" not in text and "url(" not in text and "import" not in text
    assert [image["src"] for image in Parsed(text).all("img")] == [
        "samples/00000020.png",
        "samples/00000003.png",
        "samples/00000020.png",
    ]


@pytest.mark.parametrize(
    "tail", ['{"step": 4, "gener', "\n\n", "\xff\xfe", "[1]\n", '{"step": "x"}\n', '{"step": true}\n', "null\n"]
)
def test_a_damaged_end_of_the_log_is_left_out(tmp_path, tail):
    folder = run_folder(tmp_path / "run", lines(3))
    with (folder / "log.jsonl").open("a", encoding="latin-1") as stream:
        stream.write(tail)
    assert curves_of(parsed(folder))["losses"] == [3, 3]


def test_a_running_page_reloads_and_says_how_long_and_a_finished_one_does_not(tmp_path):
    folder = run_folder(tmp_path / "run", lines(5), sheets=())
    page = parsed(folder, "running")
    assert page.all("meta")[-1]["http-equiv"] == "refresh" and page.all("progress")[0]["value"] == "0.5000"
    assert "50 % done, step 5, 5 s, about 5 s left, 1 steps = 4 samples a second" in page.text("p")
    assert not page.all("img") and not page.all("input")
    finished = parsed(run_folder(tmp_path / "other", lines(10)))
    assert not any("http-equiv" in attributes for attributes in finished.all("meta"))
    assert "finished" in finished.text("b") and "left" not in finished.text("p")


def test_a_run_that_is_silent_has_stopped(tmp_path):
    folder = run_folder(tmp_path / "run", lines(5))
    assert "running" in parsed(folder).text("b")
    long_ago = time.time() - 3600
    os.utime(folder / "log.jsonl", (long_ago, long_ago))
    assert "stopped" in parsed(folder).text("b")


def test_a_run_without_any_line_yet_has_a_page(tmp_path):
    folder = run_folder(tmp_path / "run", [], sheets=())
    (folder / "log.jsonl").unlink()
    assert parsed(folder).all("progress")[0]["value"] == "0.0000"


def test_the_film_strip_has_few_sheets_of_a_long_run(tmp_path):
    folder = run_folder(tmp_path / "run", lines(3), sheets=range(1, 301))
    images = parsed(folder).all("img")[1:]
    assert (
        len(images) == 40 and images[0]["src"].endswith("00000001.png") and images[-1]["src"].endswith("00000300.png")
    )


@pytest.mark.parametrize("record", [None, "", "[]", "{}", '{"recipe": 3}'])
def test_a_folder_without_a_sound_record_is_one_clear_error(tmp_path, record):
    if record is not None:
        (tmp_path / "recipe.json").write_text(record)
    with pytest.raises(InputError, match=r"recipe\.json"):
        report.write(tmp_path)
    assert not (tmp_path / report.PAGE).exists()


def live(folder, log, quiet=False):
    told = []
    with report.live(folder, lambda *arguments: told.append(arguments), quiet) as tell:
        for line in log:
            with (folder / "log.jsonl").open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            tell(None, 0.5, line)
    return told


def test_the_page_follows_validations_and_ends_with_the_run(tmp_path, monkeypatch):
    folder, states = run_folder(tmp_path / "run", []), []
    whole = report.write
    monkeypatch.setattr(report, "write", lambda folder, state=None: states.append(state) or whole(folder, state))
    log = lines(10)
    log[3]["validation"] = log[9]["validation"] = {"contrast": 0.5}
    assert len(live(folder, log)) == 10 and states == ["running", "running", "running", None]
    assert "finished" in (folder / report.PAGE).read_text()
    assert not [path.name for path in folder.iterdir() if path.suffix == ".part"]


@pytest.mark.parametrize(
    ("error", "words"),
    [(DivergedError("at step <3>"), "ended: at step <3>"), (KeyboardInterrupt(), "stopped"), (None, "stopped")],
)
def test_the_page_tells_how_a_run_ended(tmp_path, error, words):
    folder = run_folder(tmp_path / "run", lines(3))
    with contextlib.suppress(DivergedError, KeyboardInterrupt), report.live(folder, lambda *arguments: None, False):
        if error:
            raise error
    page = Parsed((folder / report.PAGE).read_text())
    assert words in page.text("b") and not any("http-equiv" in attributes for attributes in page.all("meta"))


def test_a_page_that_cannot_be_written_is_one_warning_and_no_end(tmp_path, capsys):
    folder = run_folder(tmp_path / "run", [])
    (folder / report.PAGE).mkdir()
    log = lines(3, validation={"contrast": 0.5})
    assert len(live(folder, log)) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "warning" in said and report.PAGE in said
    live(folder, log, quiet=True)
    assert not capsys.readouterr().err


def test_a_writer_that_fails_keeps_the_page_that_was_there(tmp_path, monkeypatch):
    folder = run_folder(tmp_path / "run", lines(3))
    before = report.write(folder).read_bytes()
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(Exception, match="No space left"):
        report.write(folder)
    assert (folder / report.PAGE).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["log.jsonl", "recipe.json", "report.html", "samples"]
