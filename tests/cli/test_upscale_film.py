"""Films through `mezzotint upscale`: frames, times, sound, colours, turns, and what becomes of damage and interruptions."""

import json
import os
import signal
from fractions import Fraction

import numpy as np
import pytest

from mezzotint.cli import main
from mezzotint.image.film import read_film
from mezzotint.image.io import Picture, write
from mezzotint.pipelines import film as film_pipeline
from mezzotint.pipelines import load

av = pytest.importorskip("av", reason="films need PyAV: pip install 'mezzotint[video]'")
Flags = av.video.reformatter.Interpolation

MODEL = "bicubic-x2"
FINE = int(Flags.BICUBIC | Flags.ACCURATE_RND | Flags.FULL_CHR_H_INT)


def run(*arguments):
    try:
        main(["upscale", *map(str, arguments), "-m", MODEL])
    except SystemExit as end:
        return end.code or 0
    return 0


def scene(n=10, height=48, width=64, top=255):
    """A square over a smooth, coloured ground, in another place in every frame."""
    y, x = np.mgrid[:height, :width]
    ground = np.stack([40 + 2 * x, 60 + 2 * y, 200 - x - y], -1) * (top / 255)
    frames = np.repeat(ground[None], n, 0)
    for index in range(n):
        place = 8 + 2 * index % 30
        frames[index, 8:24, place : place + 16] = np.array([220, 60, 40]) * (top / 255)
    return frames.astype(np.uint8 if top == 255 else np.uint16)


def make(
    path, frames=None, times=None, *, sound=False, matrix=1, full=False, turn=0, codec="libx264", unit=None, **tags
):
    """A film of `frames` at `times` (units of `unit` seconds), nearly lossless."""
    frames = scene() if frames is None else frames
    times = [1024 * index for index in range(len(frames))] if times is None else times
    unit = unit or Fraction(1, 25600)
    deep = frames.dtype == np.uint16
    with av.open(str(path), "w") as container:
        container.metadata.update(tags)
        video = container.add_stream(codec, rate=25)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv444p10le" if deep else "yuv420p"
        video.options = {"crf": "4"} if codec == "libx264" else {"qscale": "2"}
        context = video.codec_context
        context.time_base = video.time_base = unit
        context.colorspace = context.color_primaries = context.color_trc = matrix
        context.color_range = 2 if full else 1
        context.sample_aspect_ratio = Fraction(4, 3)
        if turn:
            video.set_display_rotation(turn)
        if sound:
            voice = container.add_stream("aac", rate=48000)
            voice.metadata["language"] = "fra"
            chapter = {"id": 1, "start": 0, "end": 300, "time_base": Fraction(1, 1000), "metadata": {"title": "I"}}
            container.set_chapters([chapter])
        if sound:
            for index in range(20):
                samples = (np.sin(np.arange(1024) * (0.01 + index / 1000)) * 0.3).astype(np.float32)[None]
                sounds = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                sounds.sample_rate, sounds.pts = 48000, index * 1024
                container.mux(voice.encode(sounds))
            container.mux(voice.encode())
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le" if deep else "rgb24")
            frame = frame.reformat(
                format=video.pix_fmt, dst_colorspace=5 if matrix in (5, 6) else matrix, dst_color_range=2 if full else 1
            )
            frame.pts, frame.time_base = time, unit
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def shown(path):
    """(seconds of every frame, frames N H W 3 as RGB by the file's own tags, the stream's facts)."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        times, frames = [], []
        for frame in container.decode(video):
            times.append(frame.pts * frame.time_base)
            deep = frame.format.components[0].bits > 8
            # The finest way: by default chroma is repeated, which no player does.
            frame = frame.reformat(format="rgb48le" if deep else "rgb24", interpolation=FINE, dst_color_range=2)
            frames.append(frame.to_ndarray())
        context = video.codec_context
        facts = {
            "matrix": context.colorspace,
            "primaries": context.color_primaries,
            "range": context.color_range,
            "aspect": video.sample_aspect_ratio,
            "metadata": dict(container.metadata),
            "turn": frame.rotation,
            "languages": [stream.language for stream in container.streams.audio],
            "chapters": [
                (chapter["start"] * chapter["time_base"], chapter["metadata"]) for chapter in container.chapters()
            ],
        }
    return times, np.stack(frames), facts


def packets(path, kind="audio"):
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]


def enlarged(path):
    """The frames of a film, enlarged as pictures."""
    upscaler = load(MODEL)
    return np.stack([upscaler.picture(Picture(frame)).pixels for frame in shown(path)[1]])


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_frames_times_sound_and_tags_are_kept(tmp_path, suffix, capsys):
    uneven = [0, 1024, 1500, 4096, 4100, 8192, 9000, 20000, 20001, 30000]
    if suffix == "mkv":  # which counts milliseconds
        uneven = [25600 // 1000 * time for time in (0, 40, 41, 90, 200, 201, 300, 500, 501, 700)]
    source = make(tmp_path / f"a.{suffix}", times=uneven, sound=True, title="Größe", comment="mine")
    assert run(source, "-o", tmp_path / "out", "--report", tmp_path / "r.json") == 0, capsys.readouterr().err
    result = tmp_path / "out" / f"a.{suffix}"
    (times, frames, facts), (before, _, old) = shown(result), shown(source)
    assert times == before and len(times) == 10
    assert frames.shape == (10, 96, 128, 3)
    assert packets(result) == packets(source)
    assert {**facts, "metadata": 0} == {**old, "metadata": 0}
    assert facts["languages"] == ["fra"] and facts["chapters"] == [(0, {"title": "I"})]
    note = facts["metadata"].get("comment") or facts["metadata"]["COMMENT"]
    assert facts["metadata"]["title"] == "Größe" and note.startswith("mine\nSoftware: mezzotint") and MODEL in note
    row = json.loads((tmp_path / "r.json").read_text())["pictures"][0]
    assert (row["frames"], row["width"], row["height"], row["warnings"]) == (10, 128, 96, [])
    assert [path.name for path in (tmp_path / "out").iterdir()] == [result.name]
    assert run(source, "-o", result, "--overwrite", "--strip") == 0
    assert shown(result)[2]["metadata"].keys().isdisjoint({"title", "comment", "COMMENT"})


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_those_of_enlarged_pictures(tmp_path, matrix, full):
    source = make(tmp_path / "a.mp4", matrix=matrix, full=full)
    assert run(source, "-o", tmp_path / "b.mp4") == 0
    _, frames, facts = shown(tmp_path / "b.mp4")
    assert (facts["matrix"], facts["range"]) == (matrix, 2 if full else 1)
    difference = np.abs(frames.astype(int) - enlarged(source))
    assert np.median(difference) <= 1 and difference.mean() < 2
    # As a whole it is neither redder nor darker; of the full range swscale rounds Cb and Cr down.
    assert np.abs((frames.astype(float) - enlarged(source)).mean((0, 1, 2))).max() < (1.5 if full else 0.7)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turn_is_applied_once(tmp_path, turn):
    source = make(tmp_path / "a.mp4", turn=turn)
    assert run(source, "-o", tmp_path / "b.mp4") == 0
    _, frames, facts = shown(tmp_path / "b.mp4")
    sideways = turn != 180
    assert frames.shape[1:3] == ((128, 96) if sideways else (96, 128)) and facts["turn"] == 0
    assert facts["aspect"] == (Fraction(3, 4) if sideways else Fraction(4, 3))
    # FFmpeg turns against the clock, as NumPy does.
    expected = np.rot90(enlarged(source), shown(source)[2]["turn"] // 90, axes=(1, 2))
    assert np.abs(frames.astype(int) - expected).mean() < 2


def test_more_than_8_bits_stay_more(tmp_path):
    source = make(tmp_path / "a.mkv", scene(n=3, top=65535), matrix=9)
    assert run(source, "-o", tmp_path / "b.mkv") == 0
    _, frames, _ = shown(tmp_path / "b.mkv")
    assert frames.dtype == np.uint16
    difference = np.abs(frames.astype(int) - enlarged(source))
    assert np.median(difference) < 200 and difference.mean() < 500  # of 65,535
    assert len(np.unique(frames)) > 400


def test_an_odd_side_gets_one_more_row(tmp_path, capsys):
    source = make(tmp_path / "a.mp4", scene(n=2, height=34, width=30))
    assert run(source, "-o", tmp_path / "b.mp4", "-s", "1.5") == 0
    assert "45x51" in capsys.readouterr().err
    assert shown(tmp_path / "b.mp4")[1].shape[1:3] == (52, 46)


def test_other_containers_become_matroska_or_what_is_asked_for(tmp_path, capsys):
    source = make(tmp_path / "a.avi", codec="mpeg4", unit=Fraction(1, 25), times=range(10))
    assert run(source) == 0 and run(source, "--format", "mp4") == 0
    for name in ("a_x2.mkv", "a_x2.mp4"):
        assert shown(tmp_path / name)[0] == [Fraction(index, 25) for index in range(10)]
    for bad in ("b.avi", "b.png", "-"):
        assert run(source, "-o", bad) == 2
    assert "written as .mp4" in capsys.readouterr().err
    assert run(source, "-o", tmp_path / "c.mp4", "--frames", "first") == 2


def test_what_a_container_cannot_hold_is_left_out_and_told(tmp_path, capsys):
    (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:00,100\nhello\n")
    source = tmp_path / "a.mkv"
    with (
        av.open(str(make(tmp_path / "plain.mkv", sound=True))) as plain,
        av.open(str(tmp_path / "words.srt")) as written,
        av.open(str(source), "w") as container,
    ):
        streams = {stream.index: container.add_stream_from_template(stream) for stream in plain.streams}
        words = container.add_stream_from_template(written.streams[0])
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
        packet = next(written.demux())
        packet.stream = words
        container.mux(packet)
    assert run(source, "-o", tmp_path / "b.mkv") == 0 and "left out" not in capsys.readouterr().err
    assert [data for _, data in packets(tmp_path / "b.mkv", "subtitle")] == [b"hello"]
    assert run(source, "-o", tmp_path / "b.mp4") == 0
    assert "subtitle as subrip: left out" in capsys.readouterr().err
    assert packets(tmp_path / "b.mp4") != []


class Cut(Exception):
    pass


def test_an_interrupted_film_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(film_pipeline, "PART", 3)
    source, whole, resumed = make(tmp_path / "a.mp4", sound=True), tmp_path / "whole.mp4", tmp_path / "b.mp4"
    assert run(source, "-o", whole) == 0
    parts = tmp_path / ".b.mp4.parts"
    done, written = [], film_pipeline.write_part

    def cut_after_two(stream, how, frames):
        if len(done) == 2:
            for _, _ in zip(range(2), frames, strict=False):
                pass
            raise Cut
        done.append(stream.name)
        written(stream, how, frames)

    monkeypatch.setattr(film_pipeline, "write_part", cut_after_two)
    with pytest.raises(Cut):
        run(source, "-o", resumed)
    assert not resumed.exists() and sorted(path.name for path in parts.glob("*.nut")) == ["000000.nut", "000001.nut"]
    kept = (parts / "000001.nut").stat().st_mtime_ns
    monkeypatch.setattr(film_pipeline, "write_part", written)
    monkeypatch.setattr(film_pipeline.shutil, "rmtree", lambda *_, **__: None)
    assert run(source, "-o", resumed, "--skip-existing") == 0
    assert resumed.read_bytes() == whole.read_bytes()
    assert (parts / "000001.nut").stat().st_mtime_ns == kept
    # Other settings keep nothing.
    assert run(source, "-o", resumed, "--overwrite", "--quality", "50") == 0
    assert resumed.stat().st_size < whole.stat().st_size


def test_a_signal_ends_it_in_good_order(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(film_pipeline, "PART", 3)
    source, written = make(tmp_path / "a.mp4", scene(n=30)), film_pipeline.write_part

    def signal_after_one(stream, how, frames):
        written(stream, how, frames)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(film_pipeline, "write_part", signal_after_one)
    assert run(source, "-o", tmp_path / "b.mp4") == 143
    assert "Traceback" not in capsys.readouterr().err and not (tmp_path / "b.mp4").exists()
    monkeypatch.setattr(film_pipeline, "write_part", written)
    assert run(source, "-o", tmp_path / "b.mp4") == 0 and run(source, "-o", tmp_path / "c.mp4") == 0
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


def test_float32_goes_on_after_an_interruption(tmp_path, monkeypatch):
    """A model that fails in part 1 makes the parts behind it in float32, whether or not they are made in one go."""
    monkeypatch.setattr(film_pipeline, "PART", 2)
    levels = np.array([60, 80, 100, 127, 140, 160, 180, 200], np.uint8)
    source = make(tmp_path / "a.mp4", np.broadcast_to(levels[:, None, None, None], (8, 48, 64, 3)))
    survey = read_film(source)

    class Dim:
        """Half as bright in float32; before that, not a number for the fourth frame."""

        def __init__(self, model, precision):
            self.model, self.card, self.precision = model, model.card, precision

        def __call__(self, image):
            bright = self.model(image)
            if self.precision == "f32":
                return bright / 2
            return bright * np.nan if abs(image.mean() - 0.5) < 0.02 else bright

    def film(target, between=lambda: None):
        exact = load(MODEL).model
        upscaler = film_pipeline.Upscaler(Dim(exact, "bf16"), exact=lambda: Dim(exact, "f32"))
        first = upscaler.picture(next(survey.frames()), 2)
        film_pipeline.enlarge_film(upscaler, survey, first, target, "MP4", 2, between=between)

    film(tmp_path / "whole.mp4")
    brightness = shown(tmp_path / "whole.mp4")[1].mean((1, 2, 3))
    assert np.abs(brightness - [60, 80, 100, 64, 70, 80, 90, 100]).max() < 3
    for asked in (3, 5, 6, 8):
        left = iter(range(asked))

        def between(left=left):
            if next(left, None) is None:
                raise Cut

        with pytest.raises(Cut):
            film(tmp_path / f"{asked}.mp4", between)
        film(tmp_path / f"{asked}.mp4")
        assert (tmp_path / f"{asked}.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_broken_films_are_named_and_stop_no_other(tmp_path, capsys):
    source = make(tmp_path / "a.mp4", scene(n=60), sound=True)
    data = make(tmp_path / "b.mkv", scene(n=60), sound=True).read_bytes()
    (tmp_path / "b.mkv").write_bytes(data[: len(data) // 2])
    # The index of an MP4 lies at its end.
    (tmp_path / "c.mp4").write_bytes(source.read_bytes()[:-2000])
    (tmp_path / "d.mp4").write_bytes(b"#EXTM3U\n#EXTINF:10,\na.mp4\n")
    hurt = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size > 100]
    hurt[places[9] + 8 : places[9] + 50] = bytes(range(200, 242))
    (tmp_path / "e.mp4").write_bytes(hurt)
    (tmp_path / "f.mp4").write_bytes(b"")
    report = tmp_path / "r.json"
    assert run(tmp_path, "-o", tmp_path / "out", "--report", report) == 1
    rows = {row["input"].rpartition("/")[2]: row for row in json.loads(report.read_text())["pictures"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "a.mp4": "ok", **dict.fromkeys(["b.mkv", "c.mp4", "d.mp4", "e.mp4", "f.mp4"], "failed")
    }  # fmt: skip
    for name, row in rows.items():
        assert name in row.get("error", name) and row.get("exit_code", 3) == 3
    assert "ends early" in rows["b.mkv"]["error"]
    assert "Traceback" not in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]


def test_sizes_that_no_encoder_takes_are_refused_before_the_work(tmp_path, capsys):
    source = make(tmp_path / "a.mp4", scene(n=1, height=48, width=1200))
    assert run(source, "-o", tmp_path / "b.mp4", "-s", "16") == 4
    assert "pixels a side" in capsys.readouterr().err and not (tmp_path / "b.mp4").exists()


def test_without_pyav_pictures_are_done_and_films_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    source = make(tmp_path / "in" / "a.mp4", scene(n=1))
    write(Picture(scene(n=1)[0]), tmp_path / "in" / "p.png", "PNG")
    monkeypatch.setattr("mezzotint.cli.upscale.find_spec", lambda name: None)
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.json") == 0
    assert "mezzotint[video]" in capsys.readouterr().err
    rows = json.loads((tmp_path / "r.json").read_text())["pictures"]
    assert [row["status"] for row in rows] == ["skipped", "ok"]
    assert run(source, "-o", tmp_path / "b.mp4") == 2
    assert "mezzotint[video]" in capsys.readouterr().err


def test_frames_are_not_all_held(tmp_path, monkeypatch):
    """Of 60 frames at most a handful live at a time."""
    import weakref

    alive, most = set(), 0
    original = Picture.__init__

    def counted(self, *arguments, **named):
        nonlocal most
        original(self, *arguments, **named)
        number = id(self)
        alive.add(number)
        weakref.finalize(self, alive.discard, number)
        most = max(most, len(alive))

    source = make(tmp_path / "a.mp4", scene(n=60))
    monkeypatch.setattr(Picture, "__init__", counted)
    assert run(source, "-o", tmp_path / "b.mp4") == 0
    assert len(shown(tmp_path / "b.mp4")[0]) == 60 and most <= 16
