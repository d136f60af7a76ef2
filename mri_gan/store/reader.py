"""Reading a complete store: any slice at any level, checked, at memory speed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import lmdb
import numpy as np
from numpy.typing import NDArray

from mri_gan.config import LEVELS
from mri_gan.errors import DataError, UsageError
from mri_gan.files import one_line
from mri_gan.store import codec, schema
from mri_gan.store.environment import open_environment
from mri_gan.store.pyramid import enlarge
from mri_gan.store.schema import SliceRecord, index_key, load

PREPARE_AGAIN = "delete the folder and run `mrigan prepare` again"


class StoreReader:
    """A complete store, opened for reading; one instance serves one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._env = open_environment(self.folder, readonly=True)
        try:
            self._open_databases()
        except (lmdb.Error, ValueError, KeyError, TypeError) as error:
            self._env.close()
            raise DataError(
                f"{self.folder}: is not a mrigan store ({one_line(error)})", PREPARE_AGAIN
            ) from error
        except DataError:
            self._env.close()
            raise

    def _open_databases(self) -> None:
        self._meta = self._env.open_db(b"meta", create=False)
        self.header = self._read_meta(b"format")
        if self.header is None or self.header["format"] != schema.FORMAT:
            raise ValueError("no format entry")
        if self.header["version"] > schema.VERSION:
            raise DataError(
                f"{self.folder}: written by a newer mrigan (format {self.header['version']})",
                "update mrigan: pip install -U mrigan",
            )
        self.summary = self._read_meta(b"summary")
        if self.summary is None:
            raise DataError(
                f"{self.folder}: unfinished store",
                "run the same `mrigan prepare` command again to continue it",
            )
        self._levels = {
            level: self._env.open_db(name, create=False)
            for level, name in schema.LEVEL_NAMES.items()
        }
        self._slices = self._env.open_db(b"slices", create=False)
        self._skipped = self._env.open_db(b"skipped", create=False)
        # One long read transaction: the store is complete, so there is nothing to fall behind.
        self._txn = self._env.begin(buffers=True)
        self.channels = int(self.header["channels"])
        self.dtype = np.dtype(np.uint16 if self.header["depth"] == 16 else np.uint8)

    def _read_meta(self, name: bytes) -> Any:
        with self._env.begin(db=self._meta) as txn:
            data = txn.get(name)
        return None if data is None else load(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files; views handed out before become invalid."""
        self._txn.abort()
        self._env.close()

    def __len__(self) -> int:
        return int(self.summary["slices"])

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
        with self._txn.cursor(db=self._slices) as cursor:
            return [SliceRecord.from_json(bytes(value)) for value in cursor.iternext(keys=False)]

    @property
    def max_native(self) -> int:
        """The largest native level of the store."""
        return int(self.summary["max_native"])

    def skipped(self) -> Iterator[dict[str, str]]:
        """Sources that gave no slices: {"source", "kind", "reason"}."""
        with self._txn.cursor(db=self._skipped) as cursor:
            for value in cursor.iternext(keys=False):
                yield load(bytes(value))

    def indices(self, split: str | None = None) -> NDArray[np.int64]:
        """The slice indices of one split, or of all."""
        return np.array(
            [i for i, r in enumerate(self.records) if split is None or r.split == split],
            dtype=np.int64,
        )

    def native_counts(self) -> Counter[int]:
        """How many slices have which native level."""
        return Counter(record.native for record in self.records)

    def read(self, level: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """A batch of slices at one level: [N, C, level, level], uint8 or uint16.

        Raises DataError naming the slice when its record is missing or damaged.
        """
        if level not in LEVELS:
            raise UsageError(f"{level} is no level", f"choose one of {LEVELS}")
        batch = np.empty((len(indices), self.channels, level, level), self.dtype)
        n_bytes = self.channels * level * level * self.dtype.itemsize
        flat = batch.reshape(len(indices), -1).view(np.uint8)
        get, database = self._txn.get, self._levels[level]
        for row, index in enumerate(indices):
            record = get(index_key(int(index)), db=database)
            try:
                if record is None:
                    raise codec.BadRecordError("missing")
                if record[0] == codec.UPSAMPLED:
                    batch[row] = self._upsampled(record, level, int(index))
                else:
                    flat[row] = np.frombuffer(codec.decode_pixels(record, n_bytes), np.uint8)
            except codec.BadRecordError as error:
                raise DataError(
                    f"{self.folder}: slice {int(index)} at {level} px is damaged ({error})",
                    PREPARE_AGAIN,
                ) from error
        return batch

    def _upsampled(self, record: memoryview, level: int, index: int) -> NDArray[Any]:
        native = codec.upsampled_from(record)
        if native is None or native not in LEVELS or native >= level:
            raise codec.BadRecordError(f"points to level {native}")
        return enlarge(self.read(native, [index])[0], level)
