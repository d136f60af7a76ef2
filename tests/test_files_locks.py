"""A folder has one writer, whoever that is and whatever the file system answers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mri_gan.errors import DataError
from mri_gan.files import FolderLock, writer_of

HOLD_LOCK = """
import sys
from pathlib import Path
from mri_gan.files import FolderLock, writer_of
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until its input is closed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_holder_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    try:
        with pytest.raises(DataError, match=f"pid {holder.pid}"), FolderLock(tmp_path):
            pass
    finally:
        holder.communicate()


def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    holder.kill()
    holder.communicate()
    with FolderLock(tmp_path) as lock:
        assert lock.path.read_text().startswith(f"{os.getpid()} on ")


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with FolderLock(tmp_path) as lock:
            assert lock.path.read_text().startswith(f"{os.getpid()} on ")
    assert (tmp_path / ".lock").read_text() == ""


def test_a_lock_in_a_missing_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"), FolderLock(tmp_path / "gone"):
        pass


def test_who_was_overtaken_yields_and_leaves_the_name_of_the_other(tmp_path: Path) -> None:
    """As where a network file system gives two machines the same lock."""
    with FolderLock(tmp_path) as lock:
        lock.check()
        lock.path.write_text("77 on elsewhere")
        with pytest.raises(DataError, match="pid 77 on elsewhere"):
            lock.check()
    assert lock.path.read_text() == "77 on elsewhere"


def test_a_file_system_without_locks_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with FolderLock(tmp_path) as lock:
        lock.check()


def test_the_writer_of_a_folder_is_known(tmp_path: Path) -> None:
    assert writer_of(tmp_path) == ""
    holder = start_holder(tmp_path)
    try:
        assert writer_of(tmp_path).startswith(f"{holder.pid} on ")
    finally:
        holder.kill()
        holder.communicate()
    assert writer_of(tmp_path) == ""
    with FolderLock(tmp_path):
        assert writer_of(tmp_path) == ""  # ourselves


def test_a_worker_counts_as_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For which it reads what the parent has written."""
    holder = start_holder(tmp_path)
    try:
        for pid, writer in ((holder.pid, ""), (1, f"{holder.pid} on ")):
            parent = SimpleNamespace(pid=pid)
            monkeypatch.setattr("multiprocessing.parent_process", lambda parent=parent: parent)
            assert writer_of(tmp_path).startswith(writer)
            assert bool(writer_of(tmp_path)) == bool(writer)
    finally:
        holder.kill()
        holder.communicate()
