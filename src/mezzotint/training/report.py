"""The page of a run: RUN/report.html, made of what the run folder holds (record, log, sample sheets), so that it can be
made anew at any time. It needs no server and nothing from outside, and while the run goes on it reloads itself.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from mezzotint.errors import InputError, MezzotintError
from mezzotint.files import write_bytes
from mezzotint.recipes import toml
from mezzotint.training.curves import chart, number

PAGE, _RECORD, _LOG = "report.html", "recipe.json", "log.jsonl"
_TEMPLATE = Path(__file__).parent / PAGE
_RELOAD = 10  # seconds
# A log that has not grown for this long and for five times its usual pause belongs to a run that has ended.
_SILENCE = 120.0
# Scalars with these endings share a picture; every other one has its own, for their sizes have nothing in common.
_TOGETHER = {"losses": ("generator", "discriminator"), "logits": ("_logits",), "gradients": ("_gradient",)}
_NO_CURVES = {"step", "minutes", "skipped"}
_STRIP = 40  # sheets that are shown of a long run
# Called with the loop's state, the progress and each line of the log.
Told = Callable[[Any, float, dict], None]


@contextmanager
def live(folder: Path, told: Told, quiet: bool) -> Iterator[Told]:
    """Yield `told`, which keeps the page of `folder` up to date too. A page that cannot be made is told once, on stderr, and
    never ends the run.
    """
    failed: list[Exception] = []

    def refresh(state: str | None) -> None:
        try:
            write(folder, state)
        except Exception as error:  # whatever it is: the run matters more than its page
            if not failed and not quiet:
                print(f"mezzotint: warning: no {PAGE} for now: {error}", file=sys.stderr, flush=True)
            failed.append(error)

    def tell(state: Any, progress: float, line: dict) -> None:
        told(state, progress, line)
        if "validation" in line:
            refresh("running")

    refresh("running")
    try:
        yield tell
    except BaseException as error:
        refresh(f"ended: {error}" if isinstance(error, MezzotintError) else "stopped")
        raise
    refresh(None if _progress(_record(folder), _lines(folder)) > 0.999 else "stopped")


def write(folder: Path, state: str | None = None) -> Path:
    """Make the page of a run anew and return its path. `state` is what the run does, told from the log if not given.

    Raises `InputError` for a folder that holds no run, `OutputError`.
    """
    path = folder / PAGE
    write_bytes(path, page(folder, state).encode(errors="replace"))
    return path


def page(folder: Path, state: str | None = None) -> str:
    """The page as HTML; every text in it that is not ours is escaped."""
    record, lines = _record(folder), _lines(folder)
    recipe, progress = record["recipe"], _progress(record, lines)
    state = state or _state(folder, lines, progress)
    percent = f"{100 * progress:.0f} %"
    parts = {
        "name": folder.resolve().name, "description": recipe.get("description", ""), "task": recipe.get("task", ""),
        "percent": percent, "progress": f"{progress:.4f}", "state": f"{state},", "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "summary": f"{percent} done{_summary(recipe, lines, progress if state == 'running' else 1.0)},",
        "recipe": toml.written(recipe),
    }  # fmt: skip
    markup = {
        "reload": f'<meta http-equiv="refresh" content="{_RELOAD}">' if state == "running" else "",
        "doctor": _doctor(lines),
        "samples": _samples(folder),
        "charts": _charts(lines, "validation") + _charts(lines),
        "facts": _facts(record, lines),
    }
    text = {key: escape(str(value)) for key, value in parts.items()}
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(text, **markup)


def _record(folder: Path) -> dict[str, Any]:
    path = folder / _RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record["recipe"].items()
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no run: there is no {_RECORD} in it") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error})") from error
    return record


def _lines(folder: Path) -> list[dict[str, Any]]:
    """The log without lines that are damaged, as the last one may be."""
    try:
        texts = (folder / _LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    lines = []
    for text in texts:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and _is_number(line.get("step")):
            lines.append(line)
    return lines


def _progress(record: Mapping[str, Any], lines: list[dict[str, Any]]) -> float:
    last, shares = lines[-1] if lines else {}, [0.0]
    for key, done in (("steps", last.get("step")), ("minutes", last.get("minutes"))):
        whole = record["recipe"].get(key)
        if _is_number(whole) and whole > 0 and _is_number(done):
            shares.append(done / whole)
    return min(1.0, max(shares))


def _state(folder: Path, lines: list[dict[str, Any]], progress: float) -> str:
    if progress > 0.999:
        return "finished"
    pause = 60 * lines[-1].get("minutes", 0) / len(lines) if lines else 0
    path = folder / (_LOG if lines else _RECORD)
    return "running" if time.time() - path.stat().st_mtime < max(_SILENCE, 5 * pause) else "stopped"


def _summary(recipe: Mapping[str, Any], lines: list[dict[str, Any]], progress: float) -> str:
    last = lines[-1] if lines else {}
    minutes = last.get("minutes", 0)
    text = f", step {last['step']:,}, {_duration(minutes)}" if last else ""
    if 0 < progress < 1:
        text += f", about {_duration(minutes * (1 - progress) / progress)} left"
    speeds = [line["steps_per_second"] for line in lines if _is_number(line.get("steps_per_second"))]
    if speeds:
        batch = recipe.get("data", {}).get("batch", 1)
        text += f", {number(speeds[-1])} steps = {number(speeds[-1] * batch)} samples a second"
    return text


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _charts(lines: list[dict[str, Any]], table: str = "") -> str:
    """A picture for each number of the lines, or of the tables that some of them hold under a name."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for line in lines:
        values = line.get(table) if table else line
        for key, value in values.items() if isinstance(values, dict) else ():
            if _is_number(value) and key not in _NO_CURVES:
                picture = next((name for name, ends in _TOGETHER.items() if key.endswith(ends)), key)
                curves.setdefault(picture, {}).setdefault(key, []).append((line["step"], value))
    return "".join(chart(f"{table}: {picture}" if table else picture, named) for picture, named in curves.items())


def _doctor(lines: list[dict[str, Any]]) -> str:
    """What the doctor found last and said before, latest first, and the curves of what it measured."""
    said = []
    for line in lines:
        words = [*_list(line.get("doctor")), *_list(line.get("said"))]
        said += [f"<li>step {line['step']:,}: {escape(str(word))}</li>" for word in words]
    found: Any = next((line["diagnoses"] for line in reversed(lines) if "diagnoses" in line), [])
    now = "".join(f"<p><b>{escape(str(diagnosis))}</b></p>" for diagnosis in _list(found))
    curves = _charts(lines, "doctor")
    text = f"<h2>The doctor</h2>{now or '<p>No complaint.</p>'}" if said or curves else ""
    text += f"<ul>{''.join(reversed(said))}</ul>" if said else ""
    measured = f'<details><summary>What it measured</summary><div class="charts">{curves}</div></details>'
    return text + (measured if curves else "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _samples(folder: Path) -> str:
    # Only names that runs give: nothing in them needs quoting.
    names = [path.name for path in (folder / "samples").glob("*.png") if re.fullmatch(r"[0-9]+\.png", path.name)]
    names.sort(key=lambda name: int(name[:-4]))
    if len(names) > _STRIP:
        names = [names[round(index * (len(names) - 1) / (_STRIP - 1))] for index in range(_STRIP)]
    if not names:
        return ""
    strip = "".join(f'<img src="samples/{name}" alt="step {int(name[:-4]):,}" loading="lazy">' for name in names)
    return (
        f'<h2>Samples <span id="step" class="faint"></span></h2><img id="sheet" src="samples/{names[-1]}" alt="samples">'
        f'<input type="range" min="0" max="{len(names) - 1}" value="{len(names) - 1}" aria-label="which sheet">'
        f'<div class="strip">{strip}</div>'
    )


def _facts(record: Mapping[str, Any], lines: list[dict[str, Any]]) -> str:
    data, versions = record.get("data", []), record.get("versions", {})
    facts = {
        "data": ", ".join(map(str, data)) if isinstance(data, list) else data,
        "images": f"{record.get('images', '')}" + (f", {len(out)} left out" if (out := record.get("left_out")) else ""),
        "versions": ", ".join(f"{key} {value}" for key, value in versions.items())
        if isinstance(versions, dict)
        else "",
        "skipped steps": next((line["skipped"] for line in reversed(lines) if line.get("skipped")), 0),
    }
    return "".join(f"<tr><td>{key}</td><td>{escape(str(value))}</td></tr>" for key, value in facts.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


__all__ = ["PAGE", "live", "page", "write"]
