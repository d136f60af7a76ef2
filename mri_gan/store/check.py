"""Proving a store whole: every record at every level, native pixels, counts, digest, splits."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import lmdb

from mri_gan.config import LEVELS
from mri_gan.files import StopSignal, crc32, one_line
from mri_gan.store import schema
from mri_gan.store.counts import count_slices
from mri_gan.store.reader import StoreReader
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
        report = Report(slices=len(store), wrong=[*_wrong_facts(store), *_wrong_counts(store)])
        for part in _check_chunks(store, threads):
            report.add(part)
            on_progress(report.images)
            if stop:
                report.stopped = True
                break
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


def _wrong_counts(store: StoreReader) -> Iterator[str]:
    """Levels that hold more or fewer images than there are slices."""
    for level in LEVELS:
        entries = store.count_records(level)
        if entries != len(store.records):
            yield f"{level} px holds {entries} images of {len(store.records)} slices"


def _check_chunks(store: StoreReader, threads: int) -> Iterator[Report]:
    """The findings of every chunk, in order of level and index."""
    chunks = _chunks(store)
    with ThreadPoolExecutor(threads, "mrigan-check") as pool:
        first = itertools.islice(chunks, WINDOW * threads)
        waiting: list[Future[Report]] = [pool.submit(_check_chunk, store, *c) for c in first]
        while waiting:
            yield waiting.pop(0).result()
            waiting += (pool.submit(_check_chunk, store, *c) for c in itertools.islice(chunks, 1))


def _chunks(store: StoreReader) -> Iterator[tuple[int, range]]:
    """Levels, and ranges of slices of a few megabytes there."""
    count = len(store.records)
    for level in LEVELS:
        step = max(1, CHUNK_BYTES // _image_bytes(store, level))
        for start in range(0, count, step):
            yield level, range(start, min(start + step, count))


def _image_bytes(store: StoreReader, level: int) -> int:
    return store.channels * level * level * store.dtype.itemsize


def _check_chunk(store: StoreReader, level: int, indices: range) -> Report:
    """Some images of one level."""
    part = Report(images=len(indices))
    with store.stored_records() as get:
        for index in indices:
            key = index_key(index)
            try:
                _check_image(part, store, key, get(level, key), level, store.records[index])
            except (BadRecordError, lmdb.Error) as error:
                part.bad.append(BadImage(level, index, one_line(error)))
    return part


def _check_image(
    part: Report,
    store: StoreReader,
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
    pixels = schema.decode_pixels(data, _image_bytes(store, level), key)
    part.pixel_bytes += len(pixels)
    if level == record.native and crc32(pixels) != record.checksum:
        raise BadRecordError("not the pixels of its slice record")
