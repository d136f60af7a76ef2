"""Folders with one writer."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import platform
import time
from pathlib import Path
from typing import BinaryIO

from mri_gan.errors import DataError
from mri_gan.files import SMALL_FILE, explain_os_error

LOCK_TRIES = 5
# What network file systems answer that have no locks; see FolderLock.check.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class FolderLock:
    """One writer per folder: an OS lock on `.lock` that dies with its holder.

    The kernel drops the lock when the process ends, however it ends, so a stale lock file
    never blocks. Raises DataError naming the holder's process id when it is taken.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self._stream: BinaryIO | None = None

    def __enter__(self) -> FolderLock:
        try:
            stream = self.path.open("a+b")
        except OSError as error:
            raise explain_os_error(error, self.path, SMALL_FILE) from error
        if not _lock_soon(stream):
            holder = _read_holder(stream)
            stream.close()
            raise DataError(
                f"{self.path.parent}: another process is writing here (pid {holder})",
                "wait for it or stop it, then run the same command again",
            )
        try:
            stream.truncate(0)
            stream.write(_own_name().encode())
            stream.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # closing writes what is left again
                stream.close()
            raise explain_os_error(error, self.path, SMALL_FILE) from error
        self._stream = stream
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            if self._holder() == _own_name():
                self._stream.truncate(0)
            self._stream.close()
            self._stream = None

    def check(self) -> None:
        """Raise DataError when another process has taken the folder over nevertheless.

        That can be where a network file system gives the same lock to two machines, or none at
        all: then the one that came last has written its name, and the first has to yield.
        """
        holder = self._holder()
        if holder not in ("", _own_name()):
            raise DataError(
                f"{self.path.parent}: another process has begun to write here (pid {holder})",
                "stop one of them; this one ends without writing more",
            )

    def _holder(self) -> str:
        try:
            return self.path.read_text(errors="replace").strip()
        except OSError:
            return ""


def writer_of(folder: Path) -> str:
    """The process id of another process that holds a folder's lock, '' when none does.

    A worker is no other than its parent, for which it reads what that has written.
    """
    try:
        with (folder / ".lock").open("rb") as stream:
            holder = "" if _is_free(stream) else _read_holder(stream)
    except OSError:
        return ""
    parent = multiprocessing.parent_process()
    ours = {_own_name()} if parent is None else {_own_name(), _name(parent.pid)}
    return "" if holder in ours else holder


def _own_name() -> str:
    return _name(os.getpid())


def _name(pid: int | None) -> str:
    return f"{pid} on {platform.node()}"


def _read_holder(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read(200).decode(errors="replace").strip() or "unknown"


def _lock_soon(stream: BinaryIO) -> bool:
    """Lock a file; who only looks at a lock holds it for a moment, too."""
    for _ in range(LOCK_TRIES):
        if _try_lock(stream):
            return True
        time.sleep(0.02)
    return False


if os.name == "nt":  # pragma: no cover - the other half runs on POSIX

    def _try_lock(stream: BinaryIO) -> bool:
        import msvcrt

        # Windows locks are mandatory: lock far beyond the pid so that others can read it.
        stream.seek(1 << 20)
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

    def _is_free(stream: BinaryIO) -> bool:
        return stream.readable()  # there is no lock for readers

else:

    def _try_lock(stream: BinaryIO) -> bool:
        import fcntl

        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        return True

    def _is_free(stream: BinaryIO) -> bool:
        import fcntl

        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
