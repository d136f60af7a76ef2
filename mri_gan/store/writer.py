"""Writing a store: small transactions, each holding its slices and the progress counter.

A process killed at any moment leaves the last committed batch and a counter that agrees with
it, so the same command continues from there.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import lmdb

from mri_gan.config import LEVELS
from mri_gan.errors import DataError, UsageError
from mri_gan.files import FULL, explain_os_error, one_line
from mri_gan.store import schema
from mri_gan.store.schema import DATA_FILE, EncodedSlice, dump_checked, index_key, load_json, seal

BATCH_BYTES = 16 << 20
FIRST_MAP_BYTES = 64 << 20
PAGE_WASTE = 2.0  # bytes of pages per byte of images, at most
SMALL_COMMIT = 128 << 10  # what a transaction writes besides images, index pages above all
MOST_OPTIONS = 3  # that a message names
LMDB_MAGIC, LMDB_MAGIC_END = b"\xde\xc0\xef\xbe", 20  # where in a file it ends


Entry = tuple[bytes, bytes | bytearray]  # key and value


@dataclass
class _Batch:
    """What the next transaction will hold."""

    images: dict[int, list[Entry]] = field(default_factory=lambda: {level: [] for level in LEVELS})
    slices: list[Entry] = field(default_factory=list)
    skipped: list[Entry] = field(default_factory=list)
    n_bytes: int = 0


def say_other(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What a store of another plan was made of: other options, by name, or else other sources."""
    old, new = (json.loads(json.dumps(header["options"])) for header in (before, now))
    other = [
        f"{name} {json.dumps(old[name])}, not {json.dumps(new[name])}"
        for name in new
        if name in old and old[name] != new[name]
    ]
    if not other:
        return "other sources, or of sources that have changed, or other --split-file or --people"
    more = f" and {len(other) - MOST_OPTIONS} more" if len(other) > MOST_OPTIONS else ""
    return f"other options ({'; '.join(other[:MOST_OPTIONS])}{more})"


class StoreWriter:
    """Appends the slices of one source after another, in plan order.

    `header` is the store's "format" entry: shape of the images, plan digest, options. Opening
    a folder that holds an unfinished store of the same header continues it; of another header
    raises UsageError. `sources_done` says where to continue.
    """

    def __init__(self, folder: Path, header: dict[str, Any]) -> None:
        self.folder = folder
        self._env = open_for_writing(folder)
        self._databases = self._open_databases()
        self._batch = _Batch()
        # A commit waits for the disk; meanwhile the next batch is gathered.
        self._committer = ThreadPoolExecutor(1, "mrigan-commit")
        self._commit_under_way: Future[None] | None = None
        self.sources_done = 0
        self.slices_done = 0
        self.dropped = 0  # empty slices of volumes
        self.deselected = 0  # slices of volumes and stacks that were not selected
        self._continue_or_start(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._committer.shutdown()
        self._env.close()

    def _continue_or_start(self, header: dict[str, Any]) -> None:
        meta = self._databases[b"meta"]
        with self._env.begin() as txn:
            found = txn.get(b"format", db=meta)
            before = None if found is None else load_json(found)
            progress = txn.get(b"progress", db=meta)
        if before is None:
            self._commit(lambda txn: txn.put(b"format", dump_checked(header), db=meta))
        elif before["plan"] != header["plan"]:
            other = say_other(before, header)
            raise UsageError(
                f"{self.folder}: holds an unfinished store of {other}",
                "give another --out, or delete that folder if you no longer need it",
            )
        if progress is not None:
            done = load_json(progress)
            self.sources_done, self.slices_done = done["sources"], done["slices"]
            self.dropped, self.deselected = done["dropped"], done.get("deselected", 0)

    def _open_databases(self) -> dict[bytes, Any]:
        names = schema.DATABASE_NAMES
        try:
            with self._env.begin() as txn, txn.cursor() as cursor:
                foreign = set(cursor.iternext(values=False)) - set(names)
            if not foreign:
                # In one transaction: each waits for the disk.
                with self._env.begin(write=True) as txn:
                    return {name: self._env.open_db(name, txn=txn) for name in names}
        except lmdb.IncompatibleError:
            pass  # a plain key where a store has a database
        except lmdb.Error as error:
            raise explain_lmdb_error(error, self.folder) from error
        raise UsageError(
            f"{self.folder}: holds a database that is not a mrigan store",
            "give another --out; nothing was changed",
        )

    @property
    def n_bytes(self) -> int:
        """Bytes of the file that hold data."""
        return int((self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"])

    def add_source(self, slices: list[EncodedSlice], dropped: int = 0, deselected: int = 0) -> None:
        """Append all slices of the next source of the plan.

        `dropped` more were empty, `deselected` more were not selected.
        """
        batch = self._batch
        for record, images in slices:
            key = index_key(self.slices_done)
            for level, image in images.items():
                batch.images[level].append((key, seal(image, key)))
                batch.n_bytes += len(image)
            batch.slices.append((key, record))
            self.slices_done += 1
        self._end_of_source(dropped, deselected)

    def skip_source(
        self, source: str, kind: str, reason: str, dropped: int = 0, deselected: int = 0
    ) -> None:
        """Note that the next source of the plan gives no slices, and why."""
        entry = dump_checked({"source": source, "kind": kind, "reason": reason})
        self._batch.skipped.append((index_key(self.sources_done), entry))
        self._end_of_source(dropped, deselected)

    def _end_of_source(self, dropped: int, deselected: int) -> None:
        self.sources_done += 1
        self.dropped += dropped
        self.deselected += deselected
        if self._batch.n_bytes >= BATCH_BYTES:
            self._begin_commit()

    def flush(self) -> None:
        """Commit everything added so far, with the counter, in one transaction."""
        self._begin_commit()
        self._end_commit()

    def _end_commit(self) -> None:
        """Wait for the commit under way; raises what went wrong there."""
        ending, self._commit_under_way = self._commit_under_way, None
        if ending is not None:
            ending.result()

    def _begin_commit(self) -> None:
        """Begin to commit what was added since the last time, once that commit is done."""
        self._end_commit()
        batch, self._batch = self._batch, _Batch()
        progress = dump_checked(
            {
                "sources": self.sources_done,
                "slices": self.slices_done,
                "dropped": self.dropped,
                "deselected": self.deselected,
            }
        )

        def put(txn: lmdb.Transaction) -> None:
            for level, items in batch.images.items():
                self._append(txn, schema.LEVEL_NAMES[level], items)
            self._append(txn, b"slices", batch.slices)
            self._append(txn, b"skipped", batch.skipped)
            txn.put(b"progress", progress, db=self._databases[b"meta"])

        def write() -> None:
            self._grow_for(batch.n_bytes)
            self._commit(put, batch.n_bytes)

        self._commit_under_way = self._committer.submit(write)

    def records(self) -> Iterator[bytes]:
        """The committed slice records in order, as JSON."""
        yield from self._values(b"slices")

    def skipped(self) -> Iterator[dict[str, str]]:
        """The committed entries of sources that gave no slices."""
        yield from map(load_json, self._values(b"skipped"))

    def skipped_numbers(self) -> Iterator[int]:
        """The places in the plan of sources that gave no slices."""
        with self._env.begin(db=self._databases[b"skipped"]) as txn, txn.cursor() as cursor:
            yield from (int.from_bytes(key) for key in cursor.iternext(values=False))

    def _values(self, name: bytes) -> Iterator[bytes]:
        with self._env.begin(db=self._databases[name]) as txn, txn.cursor() as cursor:
            yield from cursor.iternext(keys=False)

    def finish(self, summary: dict[str, Any]) -> None:
        """Commit what is left and the summary; its presence makes the store complete.

        Adds the content digest, which covers every record, and through their checksums the pixels.
        """
        self.flush()
        meta = self._databases[b"meta"]
        summary = {**summary, "digest": schema.digest_records(self.records())}
        self._commit(lambda txn: txn.put(b"summary", dump_checked(summary), db=meta))

    def _append(self, txn: lmdb.Transaction, name: bytes, items: list[Entry]) -> None:
        with txn.cursor(db=self._databases[name]) as cursor:
            cursor.putmulti(items, append=True)

    def _grow_for(self, n_bytes: int) -> None:
        # Doubling ahead of need costs no disk: the file grows with its pages, not its map.
        map_bytes = self._env.info()["map_size"]
        while self.n_bytes + 2 * n_bytes + (4 << 20) > map_bytes:
            map_bytes *= 2
        if map_bytes != self._env.info()["map_size"]:
            self._env.set_mapsize(map_bytes)

    def _commit(self, put: Callable[[lmdb.Transaction], object], n_bytes: int = 0) -> None:
        """Run `put` in one durable transaction, with a larger map if it did not fit."""
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    put(txn)
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except lmdb.Error as error:
                raise explain_lmdb_error(error, self.folder, n_bytes) from error


# How large the file becomes, as LMDB lays values out on pages

PAGE_HEAD, NODE_HEAD, KEY_BYTES, PLACE_BYTES, PAGE_NUMBER = 16, 8, 4, 2, 8
BESIDES = 20  # pages of any store: the last ones of its databases, their roots, and copies of these


def page_bytes(n_bytes: int) -> float:
    """What a value of this length adds to the file, with the share of its page that stays empty.

    Up to half a page it shares a page with others like it; a longer one has pages of its own.
    """
    room = mmap.PAGESIZE - PAGE_HEAD
    inside = NODE_HEAD + KEY_BYTES + n_bytes
    if inside + PLACE_BYTES <= room // 2:
        return mmap.PAGESIZE / (room // (inside + inside % 2 + PLACE_BYTES))
    own = -(-(PAGE_HEAD + n_bytes) // mmap.PAGESIZE) * mmap.PAGESIZE
    return own + page_bytes(PAGE_NUMBER)


def file_bytes(value_bytes: float) -> int:
    """The size of a store's file whose values add this much."""
    return round(value_bytes) + BESIDES * mmap.PAGESIZE


# Opening a folder that may hold a part of a store, and disks that are full


def open_for_writing(folder: Path) -> lmdb.Environment:
    """Open the folder's environment, or begin one.

    Raises DataError when what the folder holds is damaged, or when the disk refuses.
    """
    file = folder / DATA_FILE
    if file.exists() and not has_begun(folder):
        file.unlink()
    size = file.stat().st_size if file.exists() else 0
    if size:
        from mri_gan.store.environment import check_pages  # needs numpy, which takes long to load

        check_pages(file)
    try:
        env: lmdb.Environment = lmdb.open(
            os.fsencode(folder),  # a name may be bytes that no text has
            map_size=max(FIRST_MAP_BYTES, size),
            # One writer by our own lock, and none beside readers. LMDB's would be a file mapped
            # into memory: on a full disk, touching it is a bus error.
            lock=False,
            max_dbs=schema.MAX_DATABASES,
            # Without it, what lay in memory before, names of people too, fills the pages' ends.
            meminit=True,
        )
    except (lmdb.Error, OSError) as error:
        if _is_full(error, folder, 0):
            raise explain_lmdb_error(error, folder) from error
        if "already open in this process" in str(error):
            raise UsageError(
                f"{folder}: is open in this program", "close its readers first"
            ) from error
        raise DataError(
            f"{folder}: cannot be opened as a store ({one_line(error)})", "check the disk"
        ) from error
    return env


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
