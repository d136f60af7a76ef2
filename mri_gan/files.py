"""Files that are whole or absent, folders with one writer, and stopping in good order."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import multiprocessing
import os
import platform
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from mri_gan import __version__
from mri_gan.errors import DataError, UsageError

# CRC-32 as everywhere, by ISA-L in a ninth of zlib's time; zlib where ISA-L is not built

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]


# Files that are whole or absent, and stopping in good order


def one_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SMALL_FILE = 1 << 20


def explain_os_error(error: OSError, path: Path, needs: int = 0) -> DataError:
    """Say in one line what the operating system refused and what to do about it.

    `needs` is how many bytes were to be written, where it is known.
    """
    hints = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "your disk quota is used up; free some space and run the same command again",
        errno.EFBIG: "larger than the limit for files (see ulimit -f); choose another folder",
        errno.EACCES: "choose another place, or ask who owns it",
        errno.EPERM: "choose another place, or ask who owns it",
        errno.EROFS: "the file system is read-only; choose another folder",
        errno.ENOENT: "check the spelling",
        errno.EISDIR: "name a file",
        errno.ENOTDIR: "part of the path is a file; check it",
        errno.EEXIST: "choose another name",
    }
    hint = hints.get(error.errno or 0, "check the path and the disk")
    if error.errno == errno.ENOENT and not path.absolute().parent.is_dir():
        hint = f"there is no folder {path.parent}: make it, or check the spelling"
    room = f" (needs about {needs:,} bytes)" if needs and error.errno in FULL else ""
    return DataError(f"{path}: {error.strerror or one_line(error)}{room}", hint)


def make_folder(path: Path) -> None:
    """Make a folder and its parents; raises DataError where it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path, SMALL_FILE) from error
    if not os.access(path, os.W_OK):
        raise DataError(f"{path}: not writable", "choose a folder you may write to")


def _is_there(path: Path) -> bool:
    """Whether a path exists; raises OSError for one that no system takes, as `exists` once did."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_folder(path: Path) -> None:
    """Raise DataError where `make_folder` would; makes nothing. For before long work."""
    try:
        above = next(place for place in (path, *path.absolute().parents) if _is_there(place))
    except OSError as error:
        raise explain_os_error(error, path) from error
    if not above.is_dir():
        number = errno.EEXIST if above == path else errno.ENOTDIR
        raise explain_os_error(OSError(number, os.strerror(number)), path)
    if not os.access(above, os.W_OK):
        raise DataError(f"{above}: not writable", "choose a folder you may write to")


def sync_folder(path: Path) -> None:
    """Make a rename durable; quietly nothing where folders cannot be synced (Windows)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomic(path: Path, write: Callable[[BinaryIO], object], n_bytes: int = 0) -> None:
    """Call `write` on a temporary neighbour, sync it and rename it into place.

    `n_bytes` is how many bytes that will be, where it is known: a full disk is reported with it.

    A crash at any moment leaves either the old file or the new one, never a part of one.
    Raises DataError with the reason (full disk, permission) and removes the temporary file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise explain_os_error(error, path, n_bytes) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of writers that were killed; call it with the folder locked."""
    for path in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.tmp", path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def digest_file(path: Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it; raises DataError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise explain_os_error(error, path) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    write_atomic(path, lambda stream: stream.write(data), len(data))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with plain newlines atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON that people can read, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_options(path: Path, command: str, options: Mapping[str, Any]) -> None:
    """Write the options of a command as a file that its `--config` takes.

    None stands for a file, which is not named, since its folders may reveal whose it is: a line
    says that it must be given again, without which `--config` refuses.
    """
    lines = [f"# mrigan {command}, version {__version__}"]
    for flag, value in options.items():
        again = f"# --{flag}: give it again"
        lines.append(again if value is None else f"{flag} = {as_toml(value)}")
    write_bytes(path, ("\n".join(lines) + "\n").encode(errors="replace"))


def as_toml(value: Any) -> str:
    """A value as a file of options has it: numbers and switches bare, text quoted."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_toml(item) for item in value)}]"
    text = str(value)
    try:
        number = json.loads(text)
    except ValueError:
        number = None
    if isinstance(number, int | float) and not isinstance(number, bool):
        return text
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says; raises ValueError for a damaged one and one nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises UsageError naming the file where it is none."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON", str(error)) from error
    if not isinstance(value, dict):
        raise UsageError(f"{path}: not a JSON object")
    return value


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A free name beside `out`; what was written there takes its place when the block ends.

    Where the block fails, it is removed and `out` is as it was, and the old goes only after the
    new is there. Raises DataError where nothing was written or the system refuses.
    """
    out = out.absolute()
    make_folder(out.parent)
    temporary, old = (out.with_name(f".{out.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    _remove(temporary)
    try:
        yield temporary
        if not temporary.exists():
            raise DataError(f"{out}: nothing was written", "choose slices that exist")
        if out.is_dir():
            out.replace(old)
        temporary.replace(out)
        sync_folder(out.parent)
        _remove(old)
    except OSError as error:
        raise explain_os_error(error, Path(error.filename or out)) from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class StopSignal:
    """Remembers the first stop signal so that work can end at the next safe point.

    Another signal more than a second later falls through to the default action: a person who
    presses Ctrl-C twice means it. Within the second it is the same request come twice, as when
    `timeout` signals a process and its group, or a launcher passes on what all were sent.
    """

    # Batch systems warn of a time limit by TERM, USR1, USR2 or XCPU.
    NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    SAME_REQUEST_S = 1.0

    def __init__(self) -> None:
        self.signum: int | None = None
        self._at_s = 0.0
        self._parent = 0

    def __bool__(self) -> bool:
        return self.signum is not None or self._parent not in (0, os.getppid())

    def watch_parent(self) -> None:
        """Stop, too, when the process that started this one is gone: nobody waits for it."""
        self._parent = os.getppid()

    def _remember(self, signum: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signum is None:
            self.signum, self._at_s = signum, now
        elif now - self._at_s > self.SAME_REQUEST_S:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)


@contextlib.contextmanager
def stop_on_signal(
    leave_after_s: float | None = None, again: str = "run the same command again to continue"
) -> Iterator[StopSignal]:
    """Within the block, stop signals set a flag instead of killing the process.

    With `leave_after_s` the process ends that long after a signal, whatever it is doing: for work
    that may be killed anywhere, and whose next safe point may be far away; it says what to do
    `again`. Only the main thread
    may set handlers; elsewhere the flag simply stays unset.
    """
    stop = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {signum: signal.signal(signum, stop._remember) for signum in _stop_signums()}
    late = contextlib.nullcontext() if leave_after_s is None else _leave_late(leave_after_s, again)
    try:
        with late:
            yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _stop_signums() -> list[int]:
    """The stop signals that this system has and whoever started us does not want ignored.

    `nohup` ignores SIGHUP, so that work goes on after a log-out; that must stay so.
    """
    known = [getattr(signal, name) for name in StopSignal.NAMES if hasattr(signal, name)]
    return [signum for signum in known if signal.getsignal(signum) is not signal.SIG_IGN]


@contextlib.contextmanager
def _leave_late(after_s: float, again: str) -> Iterator[None]:
    """End the process `after_s` seconds after a stop signal, unless the block ends before."""
    # The system notifies a thread by a pipe: Python's own handlers wait while the main thread is in
    # the middle of unpacking a large volume.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    ended = threading.Event()

    def watch() -> None:
        while caught := os.read(reader, 1):
            if caught[0] in _stop_signums() and not ended.wait(after_s):
                os.write(2, f"mrigan: stopped: {again}\n".encode())
                os._exit(128 + caught[0])

    thread = threading.Thread(target=watch, name="mrigan-stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.close(writer)
        thread.join()
        os.close(reader)


# Folders with one writer

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

    A worker counts as its parent, for which it reads what the parent has written.
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
