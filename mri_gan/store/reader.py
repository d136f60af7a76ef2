"""Reading slices from a store at any level, and what the store holds in numbers."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import lmdb
import numpy as np
from numpy.typing import NDArray

from mri_gan.config import LEVELS, SPLITS, require_level, require_one_of
from mri_gan.errors import DataError, UsageError
from mri_gan.files import one_line
from mri_gan.store import schema
from mri_gan.store.counts import count_labels
from mri_gan.store.environment import close_shared, open_shared
from mri_gan.store.pyramid import enlarge
from mri_gan.store.schema import BadRecordError, SliceRecord, index_key
from mri_gan.tables import html_table
from mri_gan.values import is_of, say_count

# px; below, threads that take turns at the interpreter lose more than they gain: at 128 px two
# threads read half as fast as one.
THREADED_LEVEL = 512
ROWS_PER_THREAD = 8
PREPARE_AGAIN = "delete the folder and run `mrigan prepare` again"


def _require_version(folder: Path, version: int) -> None:
    """Raise DataError unless a store is of the format that is read here."""
    if version > schema.VERSION:
        raise DataError(
            f"{folder}: written by a newer mrigan (format {version})",
            "update mrigan: pip install -U mrigan",
        )
    if version < schema.VERSION:
        raise DataError(f"{folder}: written by an older mrigan (format {version})", PREPARE_AGAIN)


class StoreReader:
    """A complete store, opened for reading; one instance serves one thread at a time.

    `threads` decode large images of a batch side by side. Raises DataError when the folder is
    no store, unfinished, damaged, or written by a newer version.
    """

    def __init__(self, folder: Path, threads: int = 4) -> None:
        self.folder = Path(folder)
        self._wanted, self._threads = threads, min(threads, os.cpu_count() or 1)
        self._place = self.folder.absolute()  # the program may change its directory
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        try:
            self._env = open_shared(self._place)
        except DataError as error:  # with the path as it was given
            error.message = error.message.replace(str(self._place), str(self.folder), 1)
            raise
        try:
            self._open_databases()
        except (lmdb.Error, ValueError, KeyError, TypeError) as error:
            close_shared(self._env)
            raise DataError(
                f"{self.folder}: is not a mrigan store ({one_line(error)})", PREPARE_AGAIN
            ) from error
        except DataError:
            close_shared(self._env)
            raise
        # One that nobody closes, but nobody has any more, leaves nothing open.
        self._release = weakref.finalize(self, _give_back, self._txn, self._env, self._pid)
        self._release.atexit = False

    def _open_databases(self) -> None:
        if not self._env.stat()["entries"]:  # killed before the first transaction
            raise self._unfinished()
        self._meta = self._env.open_db(b"meta", create=False)
        self.header = self._read_meta(b"format")
        if self.header is None:
            raise self._unfinished()
        if self.header["format"] != schema.FORMAT:
            raise ValueError("another format")
        _require_version(self.folder, self.header["version"])
        self.summary = self._read_meta(b"summary")
        if self.summary is None:
            raise self._unfinished()
        self._levels = {
            level: self._env.open_db(name, create=False)
            for level, name in schema.LEVEL_NAMES.items()
        }
        self._slices = self._env.open_db(b"slices", create=False)
        self._skipped = self._env.open_db(b"skipped", create=False)
        # One long read transaction: the store is complete, so there is nothing to fall behind.
        self._txn = self._env.begin(buffers=True)
        self.channels = int(self.header["channels"])
        self.channel_names = tuple(self.header.get("channel_names", ("image",)))
        self._labels = schema.label_channels(self.channel_names)
        self.dtype = np.dtype(np.uint16 if self.header["depth"] == 16 else np.uint8)

    def _unfinished(self) -> DataError:
        return DataError(
            f"{self.folder}: unfinished store",
            "run the same `mrigan prepare` command again to continue it",
        )

    def _read_meta(self, name: bytes) -> Any:
        with self._env.begin(db=self._meta) as txn:
            data = txn.get(name)
        return None if data is None else schema.load_json(data)

    def __fspath__(self) -> str:
        """Its folder, so that a store can be given wherever its path can."""
        return str(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files; views handed out before become invalid. Closing twice does nothing.

        In a forked child it does nothing either: the files are its parent's.
        """
        if self._pid != os.getpid() or not self._release.detach():
            return
        if "_pool" in self.__dict__:
            self._pool.shutdown()
        self._txn.abort()
        close_shared(self._env)

    def _reopen(self) -> None:
        """In a forked child: open the store for this process."""
        self.__dict__.pop("_pool", None)
        digest = self.digest
        self._open()
        self._require_same(digest)

    def _require_same(self, digest: str) -> None:
        """Raise DataError where the folder has become another store: its numbers mean others."""
        if self.digest != digest:
            self.close()
            raise DataError(
                f"{self.folder}: was prepared again since it was opened here",
                "start again, so that slices and labels belong together",
            )

    def __reduce__(self) -> tuple[Any, tuple[Path, int, str]]:
        """Pickled as its folder: who unpickles it opens the same store again."""
        return open_again, (self._place, self._wanted, self.digest)

    def __len__(self) -> int:
        return int(self.summary["slices"])

    def __repr__(self) -> str:
        count = say_count(len(self), "slice")
        return f"StoreReader({str(self.folder)!r}): {count}, {self.n_bytes:,} bytes"

    def _repr_html_(self) -> str:
        """What it holds as a table, for notebooks."""
        splits = self.summary["split_slices"].items()
        people = self.summary["split_subjects"]
        rows: list[tuple[object, ...]] = [
            (split, f"{say_count(count, 'slice')} of {say_count(people[split], 'subject')}")
            for split, count in splits
        ]
        rows += [("largest native level", f"{self.max_native} px"), ("digest", self.digest)]
        return html_table(f"{self.folder}: {say_count(len(self), 'slice')}", rows)

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, "mrigan-decode")

    @property
    def n_bytes(self) -> int:
        """Size of the data file on disk."""
        return (self.folder / schema.DATA_FILE).stat().st_size

    @property
    def digest(self) -> str:
        """One number for the content: slice records and pixels, however they came here."""
        return str(self.summary["digest"])

    @functools.cached_property
    def records(self) -> list[SliceRecord]:
        """All slice records in order."""
        with self._damage_told(), self._txn.cursor(db=self._slices) as cursor:
            values = [bytes(value) for value in cursor.iternext(keys=False)]
            if schema.digest_records(values) != self.digest:
                raise ValueError("slice records differ from their digest")
            return [SliceRecord.from_json(value) for value in values]

    def record(self, index: int) -> SliceRecord:
        """One slice record, without comparing the digest of all."""
        self._require_slice(index)
        with self._damage_told():
            value = self._txn.get(index_key(index), None, self._slices)
            if value is None:
                raise ValueError(f"slice {index} is missing")
            return SliceRecord.from_json(bytes(value))

    def _require_slice(self, index: int) -> None:
        if not is_of(index, int) or not 0 <= index < len(self):
            raise UsageError(f"{self.folder}: has no slice {index}", f"give 0 to {len(self) - 1}")

    @contextlib.contextmanager
    def stored_records(self) -> Iterator[Callable[[int, bytes], memoryview | None]]:
        """Within, a function from level and key to the record as it is stored, for one thread."""
        with self._env.begin(buffers=True) as txn:
            yield lambda level, key: txn.get(key, db=self._levels[level])

    def count_records(self, level: int) -> int:
        """How many images there are at a level: as many as slices, where nothing is damaged."""
        return int(self._txn.stat(self._levels[level])["entries"])

    @contextlib.contextmanager
    def _damage_told(self) -> Iterator[None]:
        """Within, errors of LMDB and JSON become one line that names the store."""
        try:
            yield
        except (lmdb.Error, ValueError, TypeError) as error:
            if "closed/deleted/dropped" in str(error):  # as LMDB calls what `close` has closed
                raise UsageError(f"{self.folder}: is closed", "open the store again") from error
            raise DataError(
                f"{self.folder}: damaged store ({one_line(error)})", PREPARE_AGAIN
            ) from error

    def describe(self) -> dict[str, Any]:
        """The summary with size, options and skipped sources."""
        return {
            "store": str(self.folder),
            **self.summary,
            "bytes": self.n_bytes,
            "depth": self.header["depth"],
            "channels": self.channels,
            "channel_names": list(self.channel_names),
            "levels": self.header["levels"],
            "options": self.header["options"],
            "skipped_sources": list(self.skipped()),
        }

    @property
    def max_native(self) -> int:
        """The largest native level of the store."""
        return int(self.summary["max_native"])

    def skipped(self) -> Iterator[dict[str, str]]:
        """Sources that gave no slices: {"source", "kind", "reason"}."""
        with self._damage_told(), self._txn.cursor(db=self._skipped) as cursor:
            for value in cursor.iternext(keys=False):
                yield schema.load_json(bytes(value))

    def indices(self, split: str | None = None) -> NDArray[np.int64]:
        """The slice indices of one split, or of all; raises UsageError for another name."""
        if split:
            require_one_of("split", split, SPLITS)
        return np.array(
            [i for i, r in enumerate(self.records) if split is None or r.split == split],
            dtype=np.int64,
        )

    def read(
        self,
        level: int,
        indices: Sequence[int] | NDArray[np.int64],
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """A batch of slices at one level: [N, C, level, level], uint8 or uint16, in `out` if given.

        Above a slice's native level it is the native image, enlarged.
        Raises DataError naming the slice when its record is missing or damaged.
        """
        require_level("level", level)
        if self._pid != os.getpid():
            self._reopen()
        numbers = np.asarray(indices)
        if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iu"):
            raise UsageError(f"slices {indices!r:.60}", "give their numbers, such as [0, 1]")
        shape = (len(numbers), self.channels, level, level)
        batch = np.empty(shape, self.dtype) if out is None else out
        if batch.shape != shape or batch.dtype != self.dtype or not batch.flags.c_contiguous:
            given = f"{batch.dtype} {list(batch.shape)}"
            raise UsageError(f"out is {given}", f"give {self.dtype} {list(shape)}, in one piece")
        if not len(numbers):
            return batch
        database, get = self._levels[level], self._txn.get
        rows: list[int] = numbers.tolist()
        for row in (min(rows), max(rows)):
            self._require_slice(row)
        keys = [index_key(row) for row in rows]
        # Look-ups hold the interpreter and are quick; decoding frees it and is not.
        with self._damage_told():
            records = [get(key, None, database) for key in keys]
        threads = min(len(keys) // ROWS_PER_THREAD, self._threads)
        if level < THREADED_LEVEL or threads < 2:
            self._decode(keys, records, batch)
            return batch
        bounds = [len(keys) * i // threads for i in range(threads + 1)]
        parts = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
        work = [
            self._pool.submit(self._decode, keys[part], records[part], batch[part])
            for part in parts
        ]
        for future in work:
            future.result()
        return batch

    def _decode(
        self,
        keys: Sequence[bytes],
        records: Sequence[memoryview | None],
        batch: NDArray[Any],
    ) -> None:
        """Decode records into the rows of a batch [N, C, S, S]."""
        level, n_bytes = batch.shape[-1], batch[0].nbytes
        rows = batch.data.cast("B")
        start = 0
        for key, record in zip(keys, records, strict=True):
            try:
                if not record:
                    raise BadRecordError("missing")
                if record[0] == schema.UPSAMPLED:
                    batch[start // n_bytes] = self._upsampled(record, level, key)
                else:
                    pixels = schema.decode_pixels(record, n_bytes, key)
                    rows[start : start + n_bytes] = pixels
            except BadRecordError as error:
                index = int.from_bytes(key, "big")
                raise DataError(
                    f"{self.folder}: slice {index} at {level} px is damaged ({error})",
                    PREPARE_AGAIN,
                ) from error
            start += n_bytes

    def _upsampled(self, record: memoryview, level: int, key: bytes) -> NDArray[Any]:
        native = schema.upsampled_from(record, key)
        if native is None or native not in LEVELS or native >= level:
            raise BadRecordError(f"points to level {native}")
        source = np.empty((1, self.channels, native, native), self.dtype)
        with self._damage_told():
            pointed = self._txn.get(key, None, self._levels[native])
        self._decode([key], [pointed], source)
        return enlarge(source[0], level, self._labels)


def open_again(folder: Path, threads: int, digest: str) -> StoreReader:
    """A store that was open before; raises DataError where there is another one by now."""
    store = StoreReader(folder, threads)
    store._require_same(digest)
    return store


def _give_back(txn: lmdb.Transaction, env: lmdb.Environment, pid: int) -> None:
    """What is left to do for a reader that was never closed, in the process that opened it."""
    if pid == os.getpid():
        txn.abort()
        close_shared(env, wait=False)


# What a store holds, counted: for its own summary, and for the data sheet of a model

AGE, SEX = ("age", "age_years", "years"), ("sex", "gender")  # names of labels, in any case
OPTIONS = ("intensity", "orientation", "planes", "depth", "deface", "padding")
LEFT_OUT = ("masks", "empty_slices", "deselected_slices", "ignored_files")


def describe_data_set(store: StoreReader) -> dict[str, Any]:
    """The data set in numbers, for a data sheet; no name of a person or file is among them."""
    counted, options = store.describe(), store.header["options"]
    records = store.records
    return {
        "people": counted["split_subjects"],
        "slices": counted["split_slices"],
        "slices_by_native_size": counted["native"],
        "bits_per_pixel": int(store.header["depth"]),
        "channels": list(store.channel_names),
        "planes": dict(Counter(record.plane for record in records if record.plane)),
        "sides": dict(Counter(record.side for record in records if record.side)),
        "pixel_mm": _range([record.pixel_mm for record in records if record.pixel_mm]),
        "ages": describe_ages(records),
        "sex": dict(Counter(str(value) for value in _labels(records, SEX).values())),
        "classes": count_classes(records),
        "image_edges": find_edges(records),
        "preparation": {name: options[name] for name in OPTIONS if name in options},
        "left_out": counted["skipped"] | {n: counted[n] for n in LEFT_OUT if counted.get(n)},
        "header_fields_removed": sorted(counted.get("dropped_fields", {})),
        "volumes_with_a_face": counted.get("faces", 0),
    }


def count_classes(records: Sequence[SliceRecord]) -> dict[str, dict[str, int]]:
    """How many people are in each class of a label (diagnosis, group), other than age and sex."""
    return {
        name: told["classes"]
        for name, told in count_labels(records).items()
        if "classes" in told and name.lower() not in (*AGE, *SEX)
    }


def describe_ages(records: Sequence[SliceRecord]) -> dict[str, float]:
    """Least, median and greatest age over people whose age is known, and how many they are."""
    known = [float(age) for age in _labels(records, AGE).values() if isinstance(age, int | float)]
    if not known:
        return {}
    return {
        "people": len(known),
        "least": min(known),
        "median": float(np.median(known)),
        "most": max(known),
    }


def find_edges(records: Sequence[SliceRecord]) -> list[str]:
    """Which side of the body is at the left and right edge of every picture: ["R", "L"].

    Empty where slices differ, have no geometry, or show the body from a side.
    """
    found = {_edges(record) for record in records}
    edges = found.pop() if len(found) == 1 else None
    return list(edges or ())


def _edges(record: SliceRecord) -> tuple[str, str] | None:
    if record.affine is None:
        return None
    step = [row[0] for row in record.affine]  # millimetres in RAS+ from one column to the next
    if abs(step[0]) < max(map(abs, step)):
        return None
    return ("L", "R") if step[0] > 0 else ("R", "L")


def _range(values: Sequence[float]) -> list[float]:
    return [round(min(values), 4), round(max(values), 4)] if values else []


def _labels(records: Sequence[SliceRecord], names: Sequence[str]) -> dict[str, str | float]:
    """The first of some labels that each person has."""
    found: dict[str, str | float] = {}
    for record in records:
        for name, value in (record.labels or {}).items():
            if name.lower() in names:
                found.setdefault(record.subject, value)
    return found
