"""A file is complete or not there, and what stood there before survives every failure."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mezzotint.errors import OutputError
from mezzotint.files import atomic_write, make_folder, write_bytes


def test_writes_with_the_usual_mode(tmp_path: Path) -> None:
    write_bytes(tmp_path / "new", b"content")
    (tmp_path / "plain").touch()
    assert (tmp_path / "new").read_bytes() == b"content"
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_keeps_the_mode_of_what_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("existing", [True, False])
def test_an_exception_leaves_everything_as_it_was(tmp_path: Path, existing: bool) -> None:
    path = tmp_path / "file"
    if existing:
        path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="half way"), atomic_write(path) as stream:
        stream.write(b"new")
        raise RuntimeError("half way")
    assert [entry.name for entry in tmp_path.iterdir()] == (["file"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_without_overwrite_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="--overwrite"):
        write_bytes(path, b"new", overwrite=False)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_without_overwrite_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(OutputError, match="exists"), atomic_write(path, overwrite=False) as stream:
        stream.write(b"new")
        path.write_bytes(b"faster")
    assert path.read_bytes() == b"faster"


def test_one_of_many_racing_writers_wins(tmp_path: Path) -> None:
    path, outcomes, start = tmp_path / "file", [], threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        try:
            write_bytes(path, bytes([number]) * 100_000, overwrite=False)
            outcomes.append(number)
        except OutputError:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1
    assert path.read_bytes() == bytes(outcomes) * 100_000
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_and_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"):
        write_bytes(tmp_path / "missing" / "file", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write_bytes(tmp_path / "folder", b"")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot create folder"):
        make_folder(tmp_path / "file" / "below")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)
    write_bytes(path, b"content")
    assert path.read_bytes() == b"content"


_FULL_DISK = """
import resource, signal, sys
from mezzotint.errors import OutputError
from mezzotint.files import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(sys.argv[1], b"new" * 10_000)
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", _FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert "untouched" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


_WRITER = """
import sys, time
from mezzotint.files import atomic_write
with atomic_write(sys.argv[1]) as stream:
    stream.write(b"new" * 1000)
    stream.flush()
    print("half way", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert path.read_bytes() == b"old"
    assert all(entry == path or entry.suffix == ".part" for entry in tmp_path.iterdir())


def test_leftovers_of_the_dead_are_removed_and_work_in_progress_is_not(tmp_path):
    from mezzotint.files import remove_leftovers

    (tmp_path / ".a.png.x1y2.part").write_bytes(b"half")
    (tmp_path / ".other.png.x1y2.part").write_bytes(b"somebody else's")
    (tmp_path / "a.png").write_bytes(b"whole")
    with atomic_write(tmp_path / "b.png") as stream:
        stream.write(b"1")
        remove_leftovers(tmp_path, {"a.png", "b.png"})
        stream.write(b"2")
    assert (tmp_path / "b.png").read_bytes() == b"12"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.png.x1y2.part", "a.png", "b.png"]
    remove_leftovers(tmp_path / "none", {"a.png"})
