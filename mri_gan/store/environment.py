"""Opening an LMDB environment safely: no crash signal, whatever the file holds."""

from __future__ import annotations

import mmap
import os
import shutil
import threading
from collections import Counter, deque
from pathlib import Path

import lmdb

from mri_gan.errors import DataError
from mri_gan.files import FULL, explain_os_error, one_line, writer_of
from mri_gan.store.schema import DATA_FILE, MAX_DATABASES

PAGE_WASTE = 1.3  # bytes of pages per byte of images
SMALL_COMMIT = 128 << 10  # what a transaction writes besides images, index pages above all
LMDB_MAGIC, LMDB_MAGIC_END = b"\xde\xc0\xef\xbe", 20  # where in a file it ends
REMEDY = "run `mrigan prepare SOURCE... --out STORE` to make one"


# LMDB refuses to open a file twice in one process, so readers of one folder share an environment.
_shared: dict[Path, lmdb.Environment] = {}
_users: Counter[lmdb.Environment] = Counter()
_given_back: deque[lmdb.Environment] = deque()
_shared_lock = threading.Lock()


def _close_after_fork() -> None:
    """Close a forked child's copies of its parent's environments: LMDB allows no second opening.

    Read only and without locks, that concerns the child's memory maps and nothing of the parent's.
    """
    global _shared_lock
    _shared_lock = threading.Lock()  # the parent may have held it
    for env in _shared.values():
        env.close()
    for known in (_shared, _users, _given_back):
        known.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_after_fork)


def open_shared(folder: Path) -> lmdb.Environment:
    """The folder's environment for reading, opened once per process; pair with `close_shared`."""
    with _shared_lock:
        _close_given_back()
        key = folder.resolve()
        if key not in _shared:
            _shared[key] = open_environment(folder, readonly=True)
        _users[_shared[key]] += 1
        return _shared[key]


def close_shared(env: lmdb.Environment, *, wait: bool = True) -> None:
    """Give an environment of `open_shared` back; after its last reader it is closed.

    A finaliser must not `wait`: it may run while this very thread opens a store. The next call
    then closes what it gave back.
    """
    _given_back.append(env)
    if _shared_lock.acquire(blocking=wait):
        try:
            _close_given_back()
        finally:
            _shared_lock.release()


def _close_given_back() -> None:
    while _given_back:
        env = _given_back.popleft()
        _users[env] -= 1
        if not _users[env]:
            del _users[env], _shared[next(key for key, one in _shared.items() if one is env)]
            env.close()


def open_environment(folder: Path, *, readonly: bool, map_size: int = 0) -> lmdb.Environment:
    """Open the folder's environment.

    Raises DataError when the folder is not a store, or when its file is truncated or damaged so
    that LMDB would answer with a crash.
    """
    file = folder / DATA_FILE
    if readonly and not folder.exists():
        raise DataError(f"{folder}: no such store: check the spelling, or {REMEDY}")
    if readonly and not file.is_file():
        raise DataError(f"{folder}: is not a mrigan store (no {DATA_FILE})", REMEDY)
    if readonly and (holder := writer_of(folder)):
        raise DataError(
            f"{folder}: is being written by another process (pid {holder})", "wait until it is done"
        )
    if not readonly and file.exists() and not has_begun(folder):
        file.unlink()
    if file.exists():
        from mri_gan.store.pages import check_pages  # it needs numpy; a new store's writer does not

        check_pages(file)
    try:
        env: lmdb.Environment = lmdb.open(
            os.fsencode(folder),  # a name may be bytes that no text has
            map_size=max(map_size, file.stat().st_size if file.exists() else 0),
            readonly=readonly,
            # One writer by our own lock, and none beside readers. LMDB's would be a file mapped
            # into memory: on a full disk, touching it is a bus error.
            lock=False,
            max_dbs=MAX_DATABASES,
            readahead=not readonly,
            # Without it, what lay in memory before, names of people too, fills the pages' ends.
            meminit=True,
        )
    except (lmdb.Error, OSError) as error:
        if not readonly and _is_full(error, folder, 0):
            raise explain_lmdb_error(error, folder) from error
        raise DataError(f"{folder}: cannot be opened as a store ({one_line(error)})", REMEDY) from (
            error
        )
    return env


def explain_lmdb_error(error: Exception, folder: Path, n_bytes: int = 0) -> DataError:
    """Say in one line why `n_bytes` of images could not be written."""
    if _is_full(error, folder, n_bytes):
        needed = int(PAGE_WASTE * n_bytes) + SMALL_COMMIT
        return DataError(
            f"{folder}: the disk is full ({one_line(error)}); the next part needs about "
            f"{needed:,} bytes",
            "free some space and run the same command again; what was written so far is kept",
        )
    return DataError(f"{folder}: {one_line(error)}", "check the disk and run the command again")


def _is_full(error: Exception, folder: Path, n_bytes: int) -> bool:
    # LMDB passes the system's words only, and reports a write that the disk took in part as an
    # input/output error.
    if any(os.strerror(code) in str(error) for code in FULL):
        return True
    wanted = int(PAGE_WASTE * n_bytes) + SMALL_COMMIT
    return isinstance(error, lmdb.Error) and _room(folder) < wanted


def _room(folder: Path) -> int:
    """Bytes that the data file may still grow by."""
    free = shutil.disk_usage(folder).free
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return free
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    file = folder / DATA_FILE
    size = file.stat().st_size if file.exists() else 0
    return free if limit == resource.RLIM_INFINITY else min(free, limit - size)


def has_begun(folder: Path) -> bool:
    """Whether a folder holds a database.

    One whose first pages were only written in part, since the disk was full or the power went,
    is none yet.
    """
    file = folder / DATA_FILE
    try:
        with file.open("rb") as stream:
            head = stream.read(LMDB_MAGIC_END)
            size = file.stat().st_size
    except FileNotFoundError:
        return False
    except OSError as error:
        raise explain_os_error(error, file) from error
    started = not head.strip(b"\0") or head.endswith(LMDB_MAGIC)
    return not (size < 2 * mmap.PAGESIZE and started)
