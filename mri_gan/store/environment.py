"""Opening an LMDB environment safely: no crash signal, whatever the file holds."""

from __future__ import annotations

import threading
from pathlib import Path

import lmdb

from mri_gan.errors import DataError
from mri_gan.files import one_line
from mri_gan.locks import writer_of
from mri_gan.store.schema import DATA_FILE, MAX_DATABASES

REMEDY = "run `mrigan prepare SOURCE... --out STORE` to make one"


# LMDB refuses to open a file twice in one process, so readers of one folder share an environment.
_shared: dict[Path, tuple[lmdb.Environment, int]] = {}
_shared_lock = threading.Lock()


def open_shared(folder: Path) -> lmdb.Environment:
    """The folder's environment for reading, opened once per process; pair with `close_shared`."""
    with _shared_lock:
        key = folder.resolve()
        env, users = _shared.get(key) or (open_environment(folder, readonly=True), 0)
        _shared[key] = (env, users + 1)
        return env


def close_shared(folder: Path) -> None:
    """Close the folder's environment when its last reader is done."""
    with _shared_lock:
        key = folder.resolve()
        env, users = _shared.pop(key)
        if users > 1:
            _shared[key] = (env, users - 1)
        else:
            env.close()


def open_environment(folder: Path, *, readonly: bool, map_size: int = 0) -> lmdb.Environment:
    """Open the folder's environment.

    Raises DataError when the folder is no store, or when its file is cut short or damaged in a way
    that LMDB would answer with a crash.
    """
    file = folder / DATA_FILE
    if readonly and not file.is_file():
        raise DataError(f"{folder}: is not a mrigan store (no {DATA_FILE})", REMEDY)
    if readonly and (holder := writer_of(folder)):
        raise DataError(
            f"{folder}: is being written by another process (pid {holder})", "wait until it is done"
        )
    if file.exists() and file.stat().st_size:
        from mri_gan.store.pages import check_pages  # numpy, which a new store's writer can spare

        check_pages(file)
    try:
        env: lmdb.Environment = lmdb.open(
            str(folder),
            map_size=max(map_size, file.stat().st_size if file.exists() else 0),
            readonly=readonly,
            lock=not readonly,  # a complete store is never written to, so readers need no lock
            max_dbs=MAX_DATABASES,
            readahead=not readonly,
            meminit=False,
        )
    except (lmdb.Error, OSError) as error:
        raise DataError(f"{folder}: cannot be opened as a store ({one_line(error)})", REMEDY) from (
            error
        )
    return env
