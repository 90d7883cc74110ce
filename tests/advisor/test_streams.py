"""As many streams as are fastest are found by a trial, and remembered for this machine."""

import json
import threading

import numpy as np
import pytest

from mezzotint.advisor import remembered, streams
from mezzotint.card import SUPER_RESOLUTION, Card
from mezzotint.pipelines.upscale import Upscaler

CARD = Card("sleeper", SUPER_RESOLUTION, "none", scale=2, in_channels=3, halo=0)


class Echo:
    """A model that gives back what it is given."""

    def __init__(self):
        self.card, self.precision = CARD, "f32"

    def __call__(self, lr):
        return lr


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mezzotint" / "streams.json"


@pytest.fixture
def trial(monkeypatch):
    """`fastest` for a model that takes 5 ms for a picture, of which it does up to `most` at once; `trial.loaded` are the
    streams that were asked for.
    """
    # A busy machine must not cut the trial short.
    monkeypatch.setattr(streams, "_SECONDS", 60.0)

    def find(most, pictures=100_000, threads=8, size=(64, 64)):
        find.loaded = []

        def load(count):
            find.loaded.append(count)
            return Upscaler(Echo(), streams=count)

        monkeypatch.setattr(streams, "_seconds", lambda upscaler, side, count: 0.005 / min(upscaler.streams, most))
        return streams.fastest(Upscaler(Echo()), load, size, pictures, threads).streams

    return find


def test_more_streams_while_they_are_faster(trial, cache):
    assert trial(most=4) == 4 and trial.loaded == [2, 4, 8]
    assert list(json.loads(cache.read_text()).values()) == [4]
    assert trial(most=8, size=(256, 256), threads=6) == 6 and trial.loaded == [2, 4, 6]


def test_one_where_more_do_not_help(trial):
    assert trial(most=1, threads=32) == 1 and trial.loaded == [2, 4]


def test_an_answer_is_for_one_question(trial, monkeypatch):
    assert trial(most=2, threads=2) == 2 and trial.loaded == [2]
    # Known: loaded, and not tried beside others; the answer for one stream needs no loading at all.
    assert trial(most=1, threads=2, size=(60, 70)) == 2 and trial.loaded == [2]
    assert trial(most=1, threads=2, size=(128, 128)) == 1 and trial(most=2, threads=2, size=(128, 128)) == 1
    assert trial.loaded == []
    assert trial(most=1, threads=3) == 1 and trial.loaded
    monkeypatch.setattr(remembered.hardware, "cpu_name", lambda: "another")
    assert trial(most=1, threads=2) == 1 and trial.loaded == [2]


def test_short_work_is_not_held_up(trial, cache, monkeypatch):
    assert trial(most=8, pictures=16) == 1 and trial.loaded == []
    assert trial(most=8, pictures=15) == 1 and trial(most=8, threads=1) == 1
    # Nor is any work for longer than the bound; and what was not finished is not remembered.
    monkeypatch.setattr(streams, "_SECONDS", 0.001)
    assert trial(most=8) == 1 and trial.loaded == [] and not cache.exists()


def test_the_trial_judges_nothing():
    class Black(Echo):
        def bytes(self, lr):
            return None

    def exact():
        raise AssertionError("nothing was to be mended")

    one = Upscaler(Black(), exact=exact)
    streams._seconds(one, 16, 3)
    assert one.model.precision == "f32"


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"[1]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"a": "b", "c": 0, "d": 2.5}']
)
def test_a_damaged_memory_is_no_memory(cache, broken):
    cache.parent.mkdir()
    cache.write_bytes(broken)
    assert remembered.recall("a") is None
    remembered.remember("a", 4)
    assert remembered.recall("a") == 4 and len(json.loads(cache.read_text())) == 1


def test_what_cannot_be_kept_is_forgotten(cache, monkeypatch):
    cache.parent.write_bytes(b"no folder")
    remembered.remember("a", 4)
    assert remembered.recall("a") is None
    for name in ("XDG_CACHE_HOME", "HOME", "USERPROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(remembered.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("nobody's home")))
    remembered.remember("a", 4)
    assert remembered.recall("a") is None


def test_only_the_last_answers_are_kept(cache, monkeypatch):
    monkeypatch.setattr(remembered, "_MOST", 3)
    for question in "abcad":
        remembered.remember(question, ord(question))
    assert [key[-1] for key in json.loads(cache.read_text())] == ["c", "a", "d"]


def test_where_each_system_keeps_such_files(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(remembered.sys, "platform", "linux")
    assert remembered.file() == tmp_path / ".cache/mezzotint/streams.json"
    monkeypatch.setattr(remembered.sys, "platform", "darwin")
    assert remembered.file() == tmp_path / "Library/Caches/mezzotint/streams.json"


def test_as_many_threads_call_as_there_are_streams():
    together = threading.Barrier(3)

    class Meeting(Echo):
        def __call__(self, lr):
            together.wait(20)
            return lr

    assert streams._seconds(Upscaler(Meeting(), streams=3), 16, 6) > 0


def test_a_gain_that_may_be_chance_is_none(trial, monkeypatch):
    assert trial(most=1.04, threads=2) == 1 and trial(most=1.06, threads=2, size=(128, 128)) == 2


def test_noise_has_the_channels_of_the_model():
    class Grey(Echo):
        def __call__(self, lr):
            assert lr.shape == (1, 1, 16, 16) and lr.dtype == np.float32
            return lr

    model = Grey()
    model.card = CARD.replace(in_channels=1)
    assert streams._seconds(Upscaler(model), 16, 2) > 0
