"""Files are whole or absent, and a signal stops work in good order."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from mri_gan.errors import DataError
from mri_gan.files import (
    StopSignal,
    check_folder,
    digest_file,
    explain_os_error,
    make_folder,
    one_line,
    remove_leftovers,
    stop_on_signal,
    write_atomic,
    write_bytes,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Atomic writing


def test_written_bytes_are_there(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"\0\r\n\xff")
    assert (tmp_path / "a").read_bytes() == b"\0\r\n\xff"


def test_text_is_utf8_with_plain_newlines(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "ä\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa4\n"


def test_a_file_is_on_the_disk_before_it_takes_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut leaves an empty file under the final name, or none."""
    seen: list[str] = []

    def sync(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        taken = "named" if (tmp_path / "a").exists() else "unnamed"
        seen.append(f"{'folder' if folder else 'file'}, {taken}")

    monkeypatch.setattr(os, "fsync", sync)
    write_bytes(tmp_path / "a", b"data")
    assert seen == ["file, unnamed", "folder, named"]


def test_the_digest_of_a_file_is_sha_256(tmp_path: Path) -> None:
    """Of `abc`: FIPS 180-2, appendix B.1."""
    write_bytes(tmp_path / "a", b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_file(tmp_path / "a") == known


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    assert names(tmp_path) == ["a"]


def test_the_new_file_takes_the_place_of_the_old_one_in_one_step(tmp_path: Path) -> None:
    """Who has the old file open goes on reading the old file, never a mixture."""
    write_text(tmp_path / "a", "old")
    with (tmp_path / "a").open() as reader:
        write_text(tmp_path / "a", "new and longer")
        assert reader.read() == "old"
    assert (tmp_path / "a").read_text() == "new and longer"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), ValueError("bug")])
def test_a_failing_write_leaves_the_old_file_alone(tmp_path: Path, error: Exception) -> None:
    def write_half(stream: BinaryIO) -> None:
        stream.write(b"half of the ne")
        raise error

    write_text(tmp_path / "a", "old")
    with pytest.raises((DataError, ValueError)):
        write_atomic(tmp_path / "a", write_half)
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_writer_that_dies_leaves_the_old_file_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    code = (
        "import os, sys; from pathlib import Path; from mri_gan.files import write_atomic\n"
        "write_atomic(Path(sys.argv[1]), lambda s: (s.write(b'new'), s.flush(), os._exit(9)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert done.returncode == 9
    assert (tmp_path / "a").read_text() == "old"


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".ckpt-1.pt.77.tmp", ".my.tmp", "notes.tmp", ".lock", "ckpt-1.pt"):
        (tmp_path / name).write_text("x")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".lock", ".my.tmp", "ckpt-1.pt", "notes.tmp"]


def test_a_full_disk_is_one_line_with_file_and_hint() -> None:
    error = explain_os_error(OSError(errno.ENOSPC, "No space left on device"), Path("out/a.pt"))
    assert str(error).startswith("out/a.pt: No space left on device: ")
    assert "free some space" in error.hint


def test_writing_below_a_file_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file/a"):
        write_text(tmp_path / "file" / "a", "x")


def test_a_folder_below_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file/sub"):
        make_folder(tmp_path / "file" / "sub")


def test_a_folder_is_looked_at_before_long_work_and_not_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    check_folder(tmp_path / "a" / "b")
    assert names(tmp_path) == ["file"]
    for place in ("file", "file/sub", "y" * 300):
        with pytest.raises(DataError, match=place):
            check_folder(tmp_path / place)


def test_one_line_takes_the_first_line_or_the_type() -> None:
    assert one_line(ValueError("a\nb")) == "a"
    assert one_line(ValueError()) == "ValueError"


# The stop signal


def test_a_signal_sets_the_flag_and_nothing_else() -> None:
    with stop_on_signal() as stop:
        assert not stop
        signal.raise_signal(signal.SIGTERM)
        assert stop
        assert stop.signum == signal.SIGTERM


STOP_TWICE = """
import os, signal, sys
from mri_gan.files import StopSignal, stop_on_signal
StopSignal.SAME_REQUEST_S = float(sys.argv[1])
with stop_on_signal() as stop:
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
    sys.exit(stop.signum)
"""


@pytest.mark.parametrize(("same_request_s", "code"), [(1e9, signal.SIGTERM), (0, -signal.SIGTERM)])
def test_a_second_signal_is_deadly_but_not_one_sent_twice(same_request_s: float, code: int) -> None:
    command = [sys.executable, "-c", STOP_TWICE, str(same_request_s)]
    assert subprocess.run(command, check=False).returncode == code


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    """As under `nohup`, where closing the terminal must not end the work."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


ORPHAN = """
import os, sys, time
from mri_gan.files import StopSignal
if os.fork() == 0:
    stop = StopSignal()
    stop.watch_parent()
    assert not stop
    print("watching", flush=True)
    sys.stdin.read()
    while not stop:
        time.sleep(0.01)
    print("stopped", flush=True)
else:
    time.sleep(60)
"""


def test_an_orphan_stops_when_asked_to_watch_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "watching\n"
    parent.kill()
    assert parent.communicate()[0] == "stopped\n"


def test_handlers_are_restored_after_the_block() -> None:
    signums = [getattr(signal, name) for name in StopSignal.NAMES]
    before = [signal.getsignal(signum) for signum in signums]
    with stop_on_signal():
        signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(signum) for signum in signums] == before


def test_outside_the_main_thread_the_flag_stays_unset() -> None:
    seen: list[bool] = []

    def work() -> None:
        with stop_on_signal() as stop:
            seen.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


LATE = """
import time
from mri_gan.files import stop_on_signal
with stop_on_signal(leave_after_s=0.2, **{again}):
    print("ready", flush=True)
    while True:
        time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of other processes do not arrive there")
@pytest.mark.parametrize(
    ("again", "said"),
    [
        ("{}", "run the same command again to continue"),
        ('{"again": "it begins anew"}', "it begins anew"),
    ],
)
def test_late_work_is_left_after_the_time_given_and_says_what_follows(
    again: str, said: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LATE.replace("{again}", again)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.terminate()
        _, told = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM
    assert told == f"mrigan: stopped: {said}\n"


def test_work_that_ends_in_time_is_not_left() -> None:
    with stop_on_signal(leave_after_s=60) as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop
    assert signal.set_wakeup_fd(-1) == -1
