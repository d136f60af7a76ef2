"""Which slices of a store a run trains on, and what the networks are told about each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from mri_gan.conditions import Conditions, build, encode
from mri_gan.config import TrainConfig
from mri_gan.errors import UsageError
from mri_gan.store.labels import Labels, read_label_table, slice_labels
from mri_gan.store.reader import StoreReader


@dataclass(frozen=True)
class TrainingData:
    """The training slices of one run."""

    indices: NDArray[np.int64]  # [n], into the store
    conditions: NDArray[np.float32]  # [n, K]; K is 0 without conditions
    digest: str  # of slices and conditions
    subjects: int
    left_out: int = 0  # training slices that lack a label, with --missing skip
    unlabelled: int = 0  # slices that lack a label and are trained on


def load_training_data(folder: Path, config: TrainConfig, table: Path | None) -> TrainingData:
    """Read what a run needs to know of a store and of a table of labels, but no pixels.

    Raises UsageError when the store has no training slices, another number of channels, or
    labels that the conditions do not know.
    """
    with StoreReader(folder) as store:
        return choose_slices(store, config, table)


def choose_slices(store: StoreReader, config: TrainConfig, table: Path | None) -> TrainingData:
    """`load_training_data` of an open store."""
    if store.channels != config.channels:
        raise UsageError(
            f"{store.folder}: {store.channels} channels, the run has {config.channels}",
            "give the store that the run began with, or another --out",
        )
    indices = train_indices(store)
    spec, whole = config.conditions, len(indices)
    names = [column.name for column in spec.columns]
    labels = read_labels(store, table) if spec else []
    if spec and config.missing == "skip":
        indices = indices[[has_all(labels[i], names) for i in indices]]
    vectors = np.zeros((len(indices), spec.dim), np.float32)
    if spec:
        vectors = np.stack([encode(spec, labels[i]) for i in indices])
    return TrainingData(
        indices,
        vectors,
        digest_data(store.digest, indices, vectors),
        len({store.records[i].subject for i in indices}),
        whole - len(indices),
        sum(not has_all(labels[i], names) for i in indices) if spec else 0,
    )


def train_indices(store: StoreReader) -> NDArray[np.int64]:
    """The slices of the training split; raises UsageError where there is none."""
    indices = store.indices("train")
    if not len(indices):
        raise UsageError(f"{store.folder}: has no training slices", "prepare with another --split")
    return indices


def read_labels(store: StoreReader, table: Path | None) -> list[Labels]:
    """The labels of every slice; raises UsageError for a table that names none of them."""
    joined = read_label_table(table) if table else {}
    records = store.records
    if joined:
        known = {name for r in records for name in (r.subject, r.source, Path(r.source).name)}
        if known.isdisjoint(joined):
            raise UsageError(
                f"--labels {table}: names none of the subjects or sources of {store.folder}",
                f"the store has, for example, {records[0].subject} and {records[0].source}",
            )
    return slice_labels(records, joined)


def has_all(labels: Labels, names: Sequence[str]) -> bool:
    """Whether no label is missing."""
    return all(name in labels for name in names)


def find_conditions(
    store: StoreReader, names: Sequence[str], table: Path | None, missing: str
) -> Conditions:
    """The specification of these columns for the training slices of a store.

    With `missing` "skip", slices that lack a label do not count. Raises UsageError for labels
    that are not there.
    """
    labels = read_labels(store, table)
    rows = [labels[i] for i in train_indices(store)]
    if missing == "skip":
        plain = [name.partition(":")[0] for name in names]
        rows = [row for row in rows if has_all(row, plain)] or rows
    return build(names, rows)


def digest_data(store: str, indices: NDArray[np.int64], conditions: NDArray[np.float32]) -> str:
    """The store's digest, changed by conditions where there are any."""
    if not conditions.shape[1]:
        return store
    hasher = hashlib.blake2b(store.encode(), digest_size=16)
    hasher.update(indices.astype("<i8").tobytes() + conditions.astype("<f4").tobytes())
    return hasher.hexdigest()


def typical_pixel_mm(store: StoreReader, size: int) -> float | None:
    """The median edge of a training slice's pixel at `size` px; None where one does not tell it."""
    records = [store.records[i] for i in train_indices(store)]
    known = [r.pixel_mm * r.native / size for r in records if r.pixel_mm]
    return round(median(known), 6) if len(known) == len(records) else None
