"""The slices a run trains on, in an order that is a pure function of (seed, nimg)."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mri_gan.checkpoint import IMPORTED, Start, load_checkpoint
from mri_gan.conditions import NO_CONDITIONS, Conditions, build_conditions, encode_labels
from mri_gan.config import FEATURE_CRITIC, TrainConfig, require
from mri_gan.errors import DataError, MriganError, UsageError
from mri_gan.pretrained import describe_weights
from mri_gan.schedule import Phase, phase_at, total_images
from mri_gan.store.labels import (
    Labels,
    names_of,
    read_label_table,
    read_table_text,
    say_commas,
    scan_of,
    slice_labels,
)
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import Trained
from mri_gan.train.parallel import SOLO, World, key, permutation, rows
from mri_gan.values import say_count, say_some

# Which slices of a store a run trains on, and the labels of each

SHOWN = 3  # names in a line
ZEROS = re.compile(r"(?<!\d)0+(?=\d)")  # in front of a number


@dataclass(frozen=True)
class TrainingData:
    """The training slices of one run."""

    indices: NDArray[np.int64]  # [n], into the store
    conditions: NDArray[np.float32]  # [n, K]; K is 0 without conditions
    digest: str  # of slices and conditions
    subjects: int
    left_out: int = 0  # training slices that lack a label, with --missing skip
    unlabelled: int = 0  # slices that lack a label and are trained on
    store: str = ""  # the digest of the store
    doubts: tuple[str, ...] = ()  # what may be a mistake, a line each


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
        vectors = np.stack([encode_labels(spec, labels[i]) for i in indices])
    return TrainingData(
        indices,
        vectors,
        digest_data(store.digest, indices, vectors),
        len({store.records[i].subject for i in indices}),
        whole - len(indices),
        sum(not has_all(labels[i], names) for i in indices) if spec else 0,
        store.digest,
        tuple(doubt_data(store, config, table)),
    )


def describe_labels(config: TrainConfig, data: TrainingData) -> Iterator[str]:
    """What labels were found, and what becomes of training slices without one, a line each."""
    if config.conditions:
        columns = config.conditions.columns
        yield "conditions: " + "; ".join(column.describe() for column in columns)
    if data.left_out:
        yield f"{say_count(data.left_out, 'training slice')} {_lack(data.left_out)} left out"
    if data.unlabelled:
        yield (
            f"{data.unlabelled} of {say_count(len(data.indices), 'training slice')} "
            f"{_lack(data.unlabelled)} trained as unknown; --missing skip leaves out what lacks one"
        )


def _lack(count: int) -> str:
    return "lacks a label and is" if count == 1 else "lack a label and are"


def doubt_data(store: StoreReader, config: TrainConfig, table: Path | None) -> Iterator[str]:
    """A line for each thing about the slices and their labels that may be a mistake."""
    yield from say_enlarged(store, "--max-size", config.max_size)
    if config.conditions:
        yield from say_unmatched(store, table)
    for column in config.conditions.columns:
        yield from column.doubts()


def say_enlarged(store: StoreReader, asked: str, size: int) -> Iterator[str]:
    """A line where `asked` is for more pixels than some slices have, or any."""
    natives = {int(level): count for level, count in store.summary["native"].items()}
    smaller = sum(count for level, count in natives.items() if level < size)
    if size > store.max_native:
        yield f"{asked} {size}: no slice has more than {store.max_native} px, so all are enlarged"
    elif smaller:
        total = say_count(sum(natives.values()), "slice")
        yield f"{asked} {size}: {smaller:,} of {total} have fewer pixels and are enlarged"


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
    if joined and all(joined.keys().isdisjoint(names_of(record)) for record in records):
        has = f"the store has, for example, {records[0].subject} and {records[0].source}"
        raise UsageError(
            f"{table}: names none of the subjects or sources of {store.folder}",
            f"{has}{say_lost_zeros(store, list(joined))}",
        )
    return slice_labels(records, joined)


def say_unmatched(store: StoreReader, table: Path | None) -> Iterator[str]:
    """A line where a table lacks people of the store, and has others that the store lacks.

    A table of more people than the store has is no mistake.
    """
    named = read_label_table(table) if table else {}
    if table and (columns := say_commas(read_table_text(table))):
        yield f"{table.name}: decimal commas of {', '.join(columns)} are read as points"
    known = {name for record in store.records for name in names_of(record)}
    lost = [name for name in named if name not in known]
    lacking = any(named.keys().isdisjoint(names_of(record)) for record in store.records)
    if table and lost and lacking:
        which = say_some(lost, SHOWN)
        yield f"in {table.name} but not in the store: {which}{say_lost_zeros(store, lost)}"


def say_lost_zeros(store: StoreReader, names: Sequence[str]) -> str:
    """What to do where each name is one person's of the store but for zeros in front of numbers."""
    people: dict[str, set[str]] = defaultdict(set)
    for record in store.records:
        people[ZEROS.sub("", record.subject)].add(record.subject)
    meant = [people.get(ZEROS.sub("", name), set()) for name in names]
    if any(len(found) != 1 for found in meant):
        return ""
    return f"; spreadsheets drop leading zeros: write {next(iter(meant[0]))} for {names[0]}"


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
    labels, chosen = read_labels(store, table), train_indices(store).tolist()
    if missing == "skip":
        plain = [name.partition(":")[0] for name in names]
        chosen = [i for i in chosen if has_all(labels[i], plain)] or chosen
    people = [store.records[i].subject for i in chosen]
    return build_conditions(names, [labels[i] for i in chosen], people)


def digest_data(store: str, indices: NDArray[np.int64], conditions: NDArray[np.float32]) -> str:
    """The store's digest, changed by conditions where there are any."""
    if not conditions.shape[1]:
        return store
    hasher = hashlib.blake2b(store.encode(), digest_size=16)
    hasher.update(indices.astype("<i8").tobytes() + conditions.astype("<f4").tobytes())
    return hasher.hexdigest()


def was_trained_on(trained: Trained | None, store: StoreReader) -> bool | None:
    """Whether a checkpoint was trained on this store.

    None where there is none, or the labels of an older one hide it.
    """
    if trained is None:
        return None
    saved = load_checkpoint(trained.path)
    if saved.store:
        return saved.store == store.digest
    try:
        expected = choose_slices(store, trained.config, None).digest
    except MriganError:  # labels from a table that only training was given
        return None
    same = saved.data == expected
    return same if same or not trained.conditions else None


def typical_pixel_mm(store: StoreReader, size: int) -> float | None:
    """The median edge of a training slice's pixel at `size` px; None where one lacks it."""
    records = [store.records[i] for i in train_indices(store)]
    known = [r.pixel_mm * r.native / size for r in records if r.pixel_mm]
    return round(median(known), 6) if len(known) == len(records) else None


def typical_scan_mm(store: StoreReader) -> float | None:
    """The median distance from first to last slice of training scans; None where one lacks it."""
    places: dict[tuple[str, ...], list[float | None]] = defaultdict(list)
    for index in train_indices(store):
        record = store.records[index]
        places[scan_of(record)].append(record.position_mm)
    spans = []
    for found in places.values():
        known = [place for place in found if place is not None]
        if len(known) < len(found):
            return None
        spans.append(max(known) - min(known))
    return round(median(spans), 6) or None


# The settings that a store or imported weights decide


def build_config(
    store: StoreReader,
    names: Sequence[str],
    labels: Path | None,
    choices: dict[str, Any],
    weights: Start | None = None,
) -> TrainConfig:
    """The settings of a run: what was chosen, and what store and `weights` to transfer decide."""
    require(
        not labels or bool(names),
        "--labels without --condition",
        "name the columns by --condition",
    )
    shape = {"max_size": store.max_native}
    if weights is not None:
        shape |= take_shape(weights, choices.get("arch", TrainConfig.arch))
    if choices.get("max_size") is not None:
        del shape["max_size"]
    choices = choices | shape
    missing = choices.get("missing", "unknown")
    return TrainConfig(
        **choices | describe_features(choices.get("critic", "own")),
        channels=store.channels,
        channel_names=store.channel_names,
        pixel_mm=typical_pixel_mm(store, choices["max_size"]),
        scan_mm=typical_scan_mm(store),
        conditions=find_conditions(store, names, labels, missing) if names else NO_CONDITIONS,
    )


def describe_features(critic: str) -> dict[str, str]:
    """What a run records of the network whose features its critic sees; nothing for its own."""
    if critic == "own":
        return {}
    found = describe_weights(FEATURE_CRITIC)
    return {
        "critic_features": found["name"],
        "features_digest": found["digest"],
        "features_licence": f"{found['licence']} ({found['package']})",
    }


# What shapes the networks, and is taken from imported weights unless the store decides it.
SHAPE = (
    *("capacity", "latent_dim", "mapping_depth"),
    *("channel_base", "channel_max", "clamp", "blur_bias", "max_size"),
)


def take_shape(weights: Start, arch: str) -> dict[str, Any]:
    """The shape of imported networks, so that their weights fit; nothing for other checkpoints.

    Raises UsageError when --arch names another architecture.
    """
    path, checkpoint = weights.read()
    if checkpoint.data != IMPORTED:
        return {}
    theirs = checkpoint.config.arch
    require(arch == theirs, f"{path}: is a {theirs}", f"give --arch {theirs}")
    return {name: getattr(checkpoint.config, name) for name in SHAPE}


# Batches from the store in an order that is a pure function of (seed, nimg)

AHEAD = 4  # batches read in advance


def batch_indices(indices: NDArray[np.int64], seed: int, nimg: int, n: int) -> NDArray[np.int64]:
    """The slices shown as images nimg .. nimg + n - 1: every one once per epoch."""
    size = len(indices)
    shown: list[NDArray[np.int64]] = []
    while n > 0:
        epoch, position = divmod(nimg, size)
        part = permutation(size, seed, "epoch", epoch)[position : position + n]
        shown.append(indices[part])
        nimg, n = nimg + len(part), n - len(part)
    return np.concatenate(shown)


class Batch(NamedTuple):
    """What one step is given: this process's rows of the batch that begins after `nimg`."""

    nimg: int
    phase: Phase
    images: NDArray[Any]  # uint8 or uint16 [n, C, R, R]
    conditions: NDArray[np.float32]  # [2, n, K]: of these images, and of the generator's


def draw_conditions(
    data: TrainingData, seed: int, nimg: int, n: int, chosen: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The conditions of the n slices at positions `chosen`, and n drawn as they occur [2, n, K].

    A pure function of (seed, nimg).
    """
    rng = np.random.Generator(np.random.Philox(key(seed, "conditions", nimg)))
    drawn = rng.integers(len(data.conditions), size=n)
    return data.conditions[np.stack([chosen, drawn])]


class Batches:
    """Iterates over a Batch for every step from `nimg` to the end.

    With `ahead` > 0 a thread reads that many batches in advance. The order does not depend on
    it: the thread holds no state but nimg.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        nimg: int,
        ahead: int = AHEAD,
        world: World = SOLO,
        data: TrainingData | None = None,  # read from the store where the caller has not
    ) -> None:
        self._config = config
        self._world = world
        self._nimg = nimg
        self._store = StoreReader(folder)
        self._n_bytes = self._store.n_bytes
        try:
            self._data = data or choose_slices(self._store, config, None)
        except BaseException:
            self._store.close()
            raise
        self._queue: queue.Queue[Any] = queue.Queue(max(1, ahead))
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if ahead > 0:
            self._thread = threading.Thread(target=self._fill, daemon=True)

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._thread:
            self._thread.join()
        self._store.close()

    def _read(self) -> Iterator[Batch]:
        nimg, data, seed = self._nimg, self._data, self._config.seed
        positions = np.arange(len(data.indices))
        while nimg < total_images(self._config):
            phase = phase_at(self._config, nimg)
            whole = batch_indices(positions, seed, nimg, phase.batch)
            conditions = draw_conditions(data, seed, nimg, phase.batch, whole)
            own = rows(self._world, phase.batch)
            self._check_length()
            images = self._store.read(phase.resolution, data.indices[whole[own]])
            yield Batch(nimg, phase, images, conditions[:, own])
            nimg += phase.batch

    def _check_length(self) -> None:
        """Raise DataError where the store's file was cut short since it was opened.

        Reading a map beyond the end of its file would kill the process without a word. A file
        that was removed or replaced does no harm: the map keeps what was there.
        """
        with contextlib.suppress(OSError):
            if self._store.n_bytes < self._n_bytes:
                raise DataError(
                    f"{self._store.folder}: was cut short or written over while training read it",
                    "restore the store, then run the same command again to continue",
                )

    def _fill(self) -> None:
        """The thread: reads on until the end, an error or a close; an error travels too."""
        try:
            for item in self._read():
                if not self._put(item):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, item: Any) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Batch]:
        if self._thread is None:
            yield from self._read()
            return
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
