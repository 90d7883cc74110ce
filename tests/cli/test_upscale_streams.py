"""`--streams`: several pictures in the network at once give the same files and the same report as one after the other."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mezzotint import pipelines
from mezzotint.advisor import remembered
from mezzotint.cli import _streams, main
from mezzotint.cli._jobs import Job
from mezzotint.errors import ModelError
from mezzotint.image.picture import Picture
from mezzotint.pipelines.upscale import Upscaler
from mezzotint.runtimes.bicubic import Bicubic

RNG = np.random.default_rng(0)


def run(*arguments):
    try:
        main(["upscale", *map(str, arguments)])
    except SystemExit as end:
        return end.code or 0
    return 0


def noise(*shape, kind=np.uint8):
    return RNG.integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def folder_of(path, n, side=10):
    path.mkdir()
    for index in range(n):
        Image.fromarray(noise(side, side + index % 3, 3)).save(path / f"{index:02}.png")
    return path


def rows_of(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()][:-1]


@pytest.mark.parametrize("model", ["bicubic-x2", "compact-x4"])
def test_files_and_report_are_the_same_for_any_number(tmp_path, capsys, model):
    source = folder_of(tmp_path / "in", 8)
    Image.fromarray(noise(9, 12)).save(source / "03.png")
    Image.fromarray(noise(9, 12, kind=np.uint16)).save(source / "04.png")
    Image.fromarray(noise(9, 12, 4)).save(source / "05.png")
    (source / "06.png").write_bytes(b"broken")
    frames = [Image.fromarray(noise(8, 8)) for _ in range(3)]
    frames[0].save(source / "07.gif", save_all=True, append_images=frames[1:])
    found, told = {}, {}
    for streams in (1, 2, 3):
        out = tmp_path / str(streams)
        assert run(source, "-o", out, "-m", model, "--streams", streams, "--threads", 2, "--json") == 1
        told[streams] = [
            {key: value for key, value in row.items() if key not in ("seconds", "output")} for row in rows_of(capsys)
        ]
        found[streams] = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(found[1]) == 8 and found[1] == found[2] == found[3]
    assert told[1] == told[2] == told[3] and [row["input"] for row in told[1]] == sorted(map(str, source.iterdir()))


class Meeting(Bicubic):
    """Answers only when as many are in it at once as there are streams."""

    def __init__(self, card, streams):
        super().__init__(card)
        self.barrier = threading.Barrier(streams)

    def __call__(self, *inputs):
        self.barrier.wait(20)
        return super().__call__(*inputs)


def using(monkeypatch, model):
    """Let commands take `model(card, streams)`; what was loaded, in order."""
    real, loaded = pipelines.load, []

    def load(*arguments, streams=1, **options):
        loaded.append(streams)
        card = real(*arguments, **options).card
        return Upscaler(model(card, streams), streams=streams)

    monkeypatch.setattr(pipelines, "load", load)
    return loaded


def test_as_many_as_asked_for_are_in_the_network_and_the_rest_is_done_alone(tmp_path, monkeypatch, capsys):
    source = folder_of(tmp_path / "in", 4)
    loaded = using(monkeypatch, Meeting)
    assert run(source, "-o", tmp_path / "out", "-m", "bicubic-x2", "--streams", 2) == 0
    frames = [Image.fromarray(noise(8, 8)) for _ in range(3)]
    # What moves, and what is large, does not wait for another: it is done by the model of one stream.
    frames[0].save(source / "035.gif", save_all=True, append_images=frames[1:])
    monkeypatch.setattr("mezzotint.cli._overlap._SMALL", 60 * 60 * 4 - 1)
    Image.fromarray(noise(60, 60, 3)).save(source / "015.png")
    assert run(source, "-o", tmp_path / "out2", "-m", "bicubic-x2", "--streams", 2, "--json") == 0
    assert sorted(loaded) == [1, 1, 2, 2] and len(list((tmp_path / "out2").iterdir())) == 6


def test_a_slow_picture_holds_up_no_other_and_keeps_its_place(tmp_path, monkeypatch, capsys):
    others, finished = 5, threading.Event()
    source = folder_of(tmp_path / "in", others + 1)
    Image.fromarray(noise(20, 20, 3)).save(source / "00.png")
    done = []

    class Slow(Bicubic):
        def __init__(self, card, streams):
            super().__init__(card)

        def __call__(self, *inputs):
            if inputs[0].shape[2] == 20:
                assert finished.wait(20)
            else:
                done.append(1)
                if len(done) == others:
                    finished.set()
            return super().__call__(*inputs)

    using(monkeypatch, Slow)
    assert run(source, "-o", tmp_path / "out", "-m", "bicubic-x2", "--streams", 2, "--json") == 0
    assert [Path(row["input"]).name for row in rows_of(capsys)] == [f"{n:02}.png" for n in range(others + 1)]


def test_memory_is_shared_out_and_what_lacks_it_is_done_alone(tmp_path, monkeypatch, capsys):
    source, given, lock = folder_of(tmp_path / "in", 6, side=20), [], threading.Lock()
    picture = Upscaler.picture

    def watched(self, *arguments, memory, **options):
        with lock:
            given.append(memory)
        return picture(self, *arguments, memory=memory, **options)

    monkeypatch.setattr(Upscaler, "picture", watched)
    options = ("-o", tmp_path / "out", "-m", "bicubic-x2", "--streams", 2, "--json", "--overwrite")
    assert run(source, *options, "--memory", "6M") == 0 and given == [2_000_000] * 6
    # A result takes 40 * 40 * 3 bytes three times: more than a third of this, and less than all.
    given.clear()
    assert run(source, *options, "--memory", 20_000) == 0 and sorted(given) == [6_666] * 6 + [20_000] * 6
    rows = rows_of(capsys)[-6:]
    assert [row["status"] for row in rows] == ["ok"] * 6 and rows == sorted(rows, key=lambda row: row["input"])
    assert run(source, *options, "--memory", 10_000) == 4


def test_a_signal_ends_each_after_its_tile(tmp_path, monkeypatch, capsys):
    source, tiles, met = folder_of(tmp_path / "in", 6, side=200), [], threading.local()
    together = threading.Barrier(3, action=lambda: os.kill(os.getpid(), signal.SIGTERM))

    class Interrupting(Bicubic):
        def __init__(self, card, streams):
            super().__init__(card)

        def __call__(self, *inputs):
            tiles.append(1)
            if not hasattr(met, "others"):
                met.others = together.wait(20)
                # The main thread sees to the signal meanwhile.
                time.sleep(0.2)
            return super().__call__(*inputs)

    using(monkeypatch, Interrupting)
    options = ("-o", tmp_path / "out", "-m", "bicubic-x2", "--streams", 3, "--tile", 16, "--json")
    assert run(source, *options) == 143
    captured = capsys.readouterr()
    summary = json.loads(captured.out.splitlines()[-1])
    assert captured.err.count("\n") == 1 and "interrupted" in captured.err
    # Of the 169 tiles of each only the one that was being done when the signal came, or a few.
    assert 3 <= len(tiles) < 169 and summary["not_done"] == 6 and not list((tmp_path / "out").iterdir())


def test_a_model_that_fails_ends_the_command(tmp_path, monkeypatch, capsys):
    real = pipelines.load

    def load(*arguments, streams=1, **options):
        if streams > 1:
            raise ModelError("no such stream")
        return real(*arguments, **options)

    monkeypatch.setattr(pipelines, "load", load)
    assert run(folder_of(tmp_path / "in", 3), "-o", tmp_path / "out", "-m", "bicubic-x2", "--streams", 2) == 5
    assert "no such stream" in capsys.readouterr().err


def test_auto_is_for_many_still_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def load(streams):
        asked.append(streams)
        return pipelines.load("compact-x4", threads=1, streams=streams)

    def chosen(n, number=None, able=True, film=False):
        jobs = [Job(Path(f"{index}"), Path(f"{index}x"), "MP4" if film else "PNG") for index in range(n)]
        return _streams.chooser(load, jobs, number, 2, able=able)

    assert chosen(15) is None and chosen(20, able=False) is None and chosen(20, film=True) is None
    assert chosen(20, 1) is None and chosen(1, 3) is None
    one, first = load(1), Picture(noise(30, 34, 3))
    assert chosen(2, 3)(one, first).streams == 3
    # Too short for a trial.
    asked.clear()
    assert chosen(16)(one, first) is one and not asked and not remembered.file().exists()


@pytest.mark.parametrize("wrong", ["0", "x", "-1", "1000", "2 --runtime pytorch", "2 --runtime onnx"])
def test_what_cannot_be_meant(tmp_path, capsys, wrong):
    source = folder_of(tmp_path / "in", 2)
    assert run(source, "-o", tmp_path / "out", "-m", "compact-x4", "--streams", *wrong.split()) == 2
    assert "--streams" in capsys.readouterr().err and not (tmp_path / "out").exists()
