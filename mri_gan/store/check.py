"""Proving a store whole: every record at every level, native pixels, counts, digest, splits."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb

from mri_gan.config import LEVELS
from mri_gan.files import StopSignal, crc32, one_line
from mri_gan.store import schema
from mri_gan.store.environment import close_shared, open_shared
from mri_gan.store.reader import StoreReader, count_slices
from mri_gan.store.schema import BadRecordError, SliceRecord, index_key

CHUNK_BYTES = 8 << 20  # decoded pixels per task: many small images, or a few large ones
WINDOW = 4  # tasks in flight per thread


@dataclass(frozen=True)
class BadImage:
    """An image record that is not what was written."""

    level: int
    index: int
    reason: str

    def __str__(self) -> str:
        return f"slice {self.index} at {self.level} px ({self.reason})"


@dataclass
class Report:
    """What a check found; `stored_bytes` are records, `pixel_bytes` what they decode to."""

    slices: int = 0
    images: int = 0
    computed: int = 0  # of the images, those that point to their native level
    stored_bytes: int = 0
    pixel_bytes: int = 0
    seconds: float = 0.0
    bad: list[BadImage] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # what is wrong with the store as a whole
    stopped: bool = False

    @property
    def mb_per_s(self) -> float:
        """Megabytes of records and of the pixels they hold, checked per second."""
        return (self.stored_bytes + self.pixel_bytes) / 1e6 / max(self.seconds, 1e-9)

    def add(self, part: Report) -> None:
        """Count what one task found."""
        self.images += part.images
        self.computed += part.computed
        self.stored_bytes += part.stored_bytes
        self.pixel_bytes += part.pixel_bytes
        self.bad += part.bad


def check_store(
    folder: Path,
    threads: int,
    on_progress: Callable[[int], object] = lambda _: None,
    stop: StopSignal | None = None,
) -> Report:
    """Read everything a store holds and compare it with its checksums, counts and digest.

    `on_progress` gets the number of images checked so far. Raises DataError when the folder is
    no complete store or its slice records differ from their digest; damaged images and wrong
    counts are in the report.
    """
    start = time.perf_counter()
    with StoreReader(folder) as store:
        report = Report(slices=len(store), wrong=list(_wrong_facts(store)))
        env = open_shared(folder)
        try:
            checker = _Checker(env, store)
            report.wrong += checker.wrong_counts()
            for part in checker.run(threads):
                report.add(part)
                on_progress(report.images)
                if stop:
                    report.stopped = True
                    break
        finally:
            close_shared(env)
    report.bad.sort(key=lambda bad: (bad.level, bad.index))
    report.seconds = time.perf_counter() - start
    return report


def _wrong_facts(store: StoreReader) -> Iterator[str]:
    """What the slice records say against the summary and against each other."""
    splits: dict[str, str] = {}
    for record in store.records:  # raises DataError where they differ from their digest
        if splits.setdefault(record.subject, record.split) != record.split:
            yield f"subject {record.subject} is in {splits[record.subject]} and {record.split}"
            break
    counted = count_slices(store.records)
    for name, value in counted.items():
        if store.summary.get(name, value) != value:
            yield f"the summary says {name} {store.summary[name]}, the records {value}"


class _Checker:
    """Walks the levels in chunks; each chunk reads through a transaction of its own."""

    def __init__(self, env: lmdb.Environment, store: StoreReader) -> None:
        self._env = env
        self._records = store.records
        self._channels = store.channels
        self._itemsize = store.dtype.itemsize
        self._databases: dict[int, Any] = {
            level: env.open_db(name, create=False) for level, name in schema.LEVEL_NAMES.items()
        }

    def wrong_counts(self) -> Iterator[str]:
        """Levels that hold more or fewer images than there are slices."""
        with self._env.begin() as txn:
            for level, database in self._databases.items():
                entries = txn.stat(database)["entries"]
                if entries != len(self._records):
                    yield f"{level} px holds {entries} images of {len(self._records)} slices"

    def run(self, threads: int) -> Iterator[Report]:
        """The findings of every chunk, in order of level and index."""
        chunks = self._chunks()
        with ThreadPoolExecutor(threads, "mrigan-check") as pool:
            first = itertools.islice(chunks, WINDOW * threads)
            waiting: list[Future[Report]] = [pool.submit(self._check, *c) for c in first]
            while waiting:
                yield waiting.pop(0).result()
                waiting += (pool.submit(self._check, *c) for c in itertools.islice(chunks, 1))

    def _chunks(self) -> Iterator[tuple[int, int, int]]:
        for level in LEVELS:
            step = max(1, CHUNK_BYTES // self._image_bytes(level))
            for start in range(0, len(self._records), step):
                yield level, start, min(start + step, len(self._records))

    def _image_bytes(self, level: int) -> int:
        return self._channels * level * level * self._itemsize

    def _check(self, level: int, start: int, stop: int) -> Report:
        """All images of one level in a range of slices."""
        part = Report(images=stop - start)
        with self._env.begin(db=self._databases[level], buffers=True) as txn:
            for index in range(start, stop):
                key = index_key(index)
                try:
                    self._check_image(part, key, txn.get(key), level, self._records[index])
                except (BadRecordError, lmdb.Error) as error:
                    part.bad.append(BadImage(level, index, one_line(error)))
        return part

    def _check_image(
        self,
        part: Report,
        key: bytes,
        data: memoryview | None,
        level: int,
        record: SliceRecord,
    ) -> None:
        """Raise BadRecordError unless the image is whole and belongs to its slice record."""
        if data is None or not len(data):
            raise BadRecordError("missing")
        part.stored_bytes += len(data)
        native = schema.upsampled_from(data, key)
        if native is not None:
            if native != record.native or level <= native:
                raise BadRecordError(f"points to level {native}")
            part.computed += 1
            return
        pixels = schema.decode_pixels(data, self._image_bytes(level), key)
        part.pixel_bytes += len(pixels)
        if level == record.native and crc32(pixels) != record.checksum:
            raise BadRecordError("not the pixels of its slice record")
