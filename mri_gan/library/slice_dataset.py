"""The slices of a store as a map-style PyTorch data set."""

from __future__ import annotations

import itertools
import math
import os
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.utils.data as torch_data
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.conditions import as_class, as_number, split_kind
from mri_gan.config import require, require_level
from mri_gan.errors import UsageError
from mri_gan.library.arguments import public, require_least
from mri_gan.pictures import html_row, write_signed, write_unit
from mri_gan.store.labels import Labels
from mri_gan.store.reader import StoreReader, open_again
from mri_gan.train.data import read_labels, say_enlarged, say_unmatched
from mri_gan.values import StrPath, as_path, is_of, say_count

Scale = Literal["signed", "unit", "raw"]
SHOWN = 8  # slices in a notebook
NO_CLASS = -1


@dataclass(frozen=True)
class Target:
    """One label of every slice: a class by its number, or a number.

    `values` [N] are int64 with -1 for unknown classes, or float32 with nan for unknown numbers.
    """

    name: str
    values: Tensor
    classes: tuple[str, ...] = ()  # empty for a number


CACHED = 2**16  # pixels scaled at once, so that each pass finds them in the processor's cache
SMALL_BYTES = 2**18  # which the C library keeps itself
KEPT = 2  # pieces of memory of each size, for a batch and the next
KEPT_SIZES = 4  # as stored and scaled, and an epoch's last batch


CONVERSIONS: dict[Scale, Callable[[NDArray[Any], NDArray[Any]], object]] = {
    "signed": write_signed,
    "unit": write_unit,
    "raw": lambda stored, out: np.copyto(out, stored),
}


class Recycler:
    """Gives batches the memory of earlier ones that nobody has any more.

    In new memory the system clears every page first, which takes longer than reading a slice.
    """

    def __init__(self) -> None:
        self.free: dict[int, deque[bytearray]] = {}

    def empty(self, shape: Sequence[int], dtype: Any) -> NDArray[Any]:
        """An array of any content; its memory comes back when no view of it is left."""
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        if n_bytes <= SMALL_BYTES:
            return np.empty(shape, dtype)
        if n_bytes not in self.free and len(self.free) == KEPT_SIZES:
            self.free.clear()
        free = self.free.setdefault(n_bytes, deque(maxlen=KEPT))
        try:
            memory = free.pop()
        except IndexError:
            memory = bytearray(n_bytes)
        whole = np.frombuffer(memory, dtype)  # which all its views, and tensors of them, keep
        weakref.finalize(whole, free.append, memory).atexit = False
        return whole.reshape(shape)


class SliceDataset(torch_data.Dataset[Any]):
    """Slices [C, H, W] of one split at one level; an item is read when it is needed.

    Without `labels` an item is a tensor, with one label a pair (tensor, label), with several
    (tensor, (label, ...)). An unknown class is -1, an unknown number nan, of which warnings
    tell. Classes have the same numbers in every split; `name:class` makes a class of numbers, and
    `{name: (class, ...)}` gives their order, for several stores.

    With `as_dict` an item is {"image", "index", "subject", each label}, as dictionary transforms
    (MONAI) take it; "index" is the slice's number in the store. `scale` "signed" is float32 in
    -1..1, "unit" float32 in 0..1, "raw" the stored integers, which travel fastest from workers to
    a GPU. `transform` is called with the tensor alone, or with the whole dictionary.

    For splits by person and weighted samplers, `subjects` [N] are the people of its slices,
    `targets[name].values` [N] a label of theirs, and `indices` [N] their numbers in the store.

    The data set can be pickled and forked: every process opens the store when it first reads, and
    raises DataError where another one was prepared there in the meantime. Raises UsageError for a
    split, level or label that the store does not have, DataError for no store or a damaged one.
    """

    @public
    def __init__(
        self,
        store: StrPath,
        split: str | None = "train",
        level: int | None = None,
        transform: Callable[[Any], Any] | None = None,
        labels: str | Sequence[str] | Mapping[str, Sequence[str]] = (),
        *,
        table: StrPath | None = None,
        as_dict: bool = False,
        scale: Scale = "signed",
    ) -> None:
        """`level` in px, by default the largest native one; `table` adds labels (.tsv, .csv)."""
        self.store, self.split, self.transform = as_path(store).absolute(), split, transform
        self.as_dict, self.scale = as_dict, scale
        with StoreReader(self.store) as opened:
            self.level = opened.max_native if level is None else level
            require_level("level", self.level)
            self.indices = opened.indices(split)
            require(bool(len(self.indices)), f"{store}: has no slices in split {split}")
            self.channels, self._digest = opened.channels, opened.digest
            self.subjects = [opened.records[i].subject for i in self.indices]
            named = as_path(table) if table else None
            known = read_labels(opened, named)
            doubts = [*say_enlarged(opened, "level", self.level), *say_unmatched(opened, named)]
        targets = [
            build_target(name, known, self.indices, self.store, classes)
            for name, classes in as_wanted(labels).items()
        ]
        self.targets = {target.name: target for target in targets}
        for text in (*doubts, *self._say_unknown()):
            warnings.warn(text, stacklevel=3)  # the line that asked for it
        self._memory = Recycler()
        self._reader: StoreReader | None = None
        self._pid = 0

    def _say_unknown(self) -> Iterator[str]:
        """A line for each label that some slices lack."""
        for name, target in self.targets.items():
            is_class = bool(target.classes)
            unknown = int((target.values == NO_CLASS if is_class else target.values.isnan()).sum())
            if unknown:
                value = NO_CLASS if is_class else "nan"
                of = say_count(len(self), "slice")
                yield f"{name} is {value}, unknown, for {unknown:,} of {of}"

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Any]:
        """Its slices one after another."""
        for index in range(len(self)):
            yield self[index]

    def __getitem__(self, index: Any) -> Any:
        """One slice, negative numbers count from the end.

        A slice `data[:8]`, several numbers, or a mask of booleans give their batch.
        """
        if is_of(index, int) or getattr(index, "shape", None) == ():
            return self.__getitems__(self._rows([index]).tolist())[0]
        return self._batch(self._rows(index).tolist())

    def _rows(self, index: Any) -> NDArray[np.int64]:
        """The numbers of some slices; raises IndexError as a list would."""
        if isinstance(index, slice):
            return np.arange(*index.indices(len(self)))
        numbers = np.asarray(index)
        if numbers.dtype == bool and numbers.ndim == 1:
            hint = f"give one for each of {len(self)} slices"
            require(len(numbers) == len(self), f"a mask of {len(numbers)}", hint)
            return np.flatnonzero(numbers)
        if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iu"):
            raise UsageError(f"slice {index!r:.60}", "give a whole number, several, or a slice")
        for number in (numbers.min(), numbers.max()) if len(numbers) else ():
            if not -len(self) <= number < len(self):
                raise IndexError(f"slice {number} of {len(self)}")
        return numbers.astype(np.int64)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Several slices by one read of the store: what a DataLoader calls for a batch."""
        images = self.read(indices)
        return [self._item(i, image) for i, image in zip(indices, images.unbind(0), strict=True)]

    def read(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """A batch without labels and transform [N, C, H, W]."""
        stored = self._read_stored(self._rows(indices))
        return torch.from_numpy(stored if self.scale == "raw" else self._scaled(stored))

    def _read_stored(
        self, indices: Sequence[int] | NDArray[np.int64], out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """The integers of a batch as they are stored [N, C, H, W]."""
        rows, reader = self.indices[np.asarray(indices, np.int64)], self._open()
        shape = (len(rows), self.channels, self.level, self.level)
        out = self._memory.empty(shape, reader.dtype) if out is None else out
        return reader.read(self.level, rows, out)

    def _scaled(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored integers as `scale` says, in memory of their own.

        By NumPy, which uses one thread: several get in the way of the workers.
        """
        dtype = stored.dtype if self.scale == "raw" else np.float32
        scaled = self._memory.empty(stored.shape, dtype)
        convert = CONVERSIONS[self.scale]
        pixels, out = stored.reshape(-1), scaled.reshape(-1)
        for start in range(0, len(pixels), CACHED):
            convert(pixels[start : start + CACHED], out[start : start + CACHED])
        return scaled

    @public
    def loader(
        self,
        batch_size: int = 64,
        *,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        drop_last: bool = False,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        **options: Any,
    ) -> torch_data.DataLoader[Any]:
        """A DataLoader whose batches are read whole, not put together from their items.

        It gives what `DataLoader(data, batch_size, shuffle)` does, in a fraction of the time;
        `options` are those of DataLoader. Without a transform, workers read several batches at
        once, into memory that is shared from their start on; with `collate_fn`, batches are put
        together from items. Raises UsageError for a sampler beside `shuffle`, and for
        `batch_sampler`.
        """
        require_least(1, batch_size=batch_size)
        require_least(0, num_workers=num_workers)
        require(sampler is None or not shuffle, "sampler and shuffle", "give one of them")
        require("batch_sampler" not in options, "batch_sampler", "give sampler and batch_size")
        kind = SliceLoader if collate_fn is None else torch_data.DataLoader
        options |= {"sampler": sampler, "shuffle": shuffle, "collate_fn": collate_fn}
        return kind(self, batch_size, drop_last=drop_last, num_workers=num_workers, **options)

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """The names of the classes of each label that has some, in the order of their numbers."""
        return {name: t.classes for name, t in self.targets.items() if t.classes}

    def close(self) -> None:
        """Release the files of this process; the next item opens them again."""
        if self._reader is not None and self._pid == os.getpid():
            self._reader.close()
        self._reader = None

    def _item(self, index: int, image: Tensor) -> Any:
        labels = [target.values[index] for target in self.targets.values()]
        change = self.transform or (lambda unchanged: unchanged)
        if self.as_dict:
            who = {"index": int(self.indices[index]), "subject": self.subjects[index]}
            return change({"image": image, **who, **dict(zip(self.targets, labels, strict=True))})
        if not labels:
            return change(image)
        return change(image), labels[0] if len(labels) == 1 else tuple(labels)

    def _batch(self, indices: Sequence[int]) -> Any:
        """What DataLoader's own collation makes of these items, by one read and without copies."""
        if self.transform is not None:
            return torch_data.default_collate(self.__getitems__(indices))
        return self._labelled(indices, self.read(indices))

    def _finish(self, indices: Sequence[int], stored: NDArray[Any]) -> Any:
        """The batch of some slices from their stored integers, of which nothing is kept."""
        return self._labelled(indices, torch.from_numpy(self._scaled(stored)))

    def _labelled(self, indices: Sequence[int], images: Tensor) -> Any:
        at = torch.as_tensor(indices, dtype=torch.int64)  # also of none
        labels = [target.values[at] for target in self.targets.values()]
        if self.as_dict:
            who: dict[str, Any] = {"index": torch.from_numpy(self.indices)[at]}
            who["subject"] = [self.subjects[index] for index in indices]
            return {"image": images, **who, **dict(zip(self.targets, labels, strict=True))}
        if not labels:
            return images
        return [images, labels[0] if len(labels) == 1 else labels]

    def _open(self) -> StoreReader:
        """This process's own reader: what LMDB has opened does not survive a fork."""
        if self._reader is None or self._pid != os.getpid():
            self._reader, self._pid = open_again(self.store, 1, self._digest), os.getpid()
        return self._reader

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None, "_memory": Recycler()}

    def __repr__(self) -> str:
        shape = f"[{self.channels}, {self.level}, {self.level}]"
        count = say_count(len(self), "slice")
        return f"SliceDataset({str(self.store)!r}, {self.split!r}): {count} {shape}"

    def _repr_html_(self) -> str:
        """Some of its slices from first to last, for notebooks."""
        rows = np.linspace(0, len(self) - 1, min(SHOWN, len(self))).round().astype(int)
        return html_row(self._read_stored(rows), repr(self), self._open().channel_names)


# Batches that are read whole

# Options of a DataLoader that say how its batches come, not which
HOW = {
    *(
        "num_workers",
        "prefetch_factor",
        "persistent_workers",
        "multiprocessing_context",
        "in_order",
    ),
    *("worker_init_fn", "generator", "timeout", "pin_memory", "pin_memory_device"),
}


class SliceLoader(torch_data.DataLoader[Any]):
    """A DataLoader that reads each batch at once, in a fraction of the time.

    To other programs it is an ordinary one of its slices, which they may build again with a sampler
    of theirs, as Lightning and Accelerate do for several processes.
    """

    def __init__(self, dataset: SliceDataset, batch_size: int | None = 1, **options: Any) -> None:
        super().__init__(dataset, batch_size, **options)
        how: dict[str, Any] = {name: options[name] for name in options.keys() & HOW}
        batches: Any = self.batch_sampler
        by_batch = dataset.transform or options.get("pin_memory")
        self.reads: Iterable[Any]
        if self.num_workers and options.get("in_order", True) and not by_batch:
            self.reads = ParcelLoader(dataset, batches, **how)
        else:
            self.reads = torch_data.DataLoader(dataset, None, sampler=batches, **how)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return iter(self.reads)


# What workers read

PARCEL_BYTES = 2**20  # of smaller ones, sending the message takes longer than reading
PARCELS_EACH = 2  # that every worker gets at least, where there are so many batches


class Parcel(NamedTuple):
    """Some batches, and the part of the memory that they are read into."""

    part: int
    batches: list[list[int]]  # the numbers of each


class Parcels(torch_data.Dataset[Any]):
    """Some batches at once, which a worker reads into a part of memory that all share."""

    def __init__(self, data: SliceDataset) -> None:
        self.data = data
        self.room = torch.empty(0)  # [parts, images, C, H, W], the stored integers

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, parcel: Parcel) -> Parcel:
        numbers = list(itertools.chain(*parcel.batches))
        self.data._read_stored(numbers, self.room[parcel.part, : len(numbers)].numpy())
        return parcel


@dataclass(frozen=True)
class ParcelOrder:
    """Batches by `size`, each parcel with the part of the memory that is free by then."""

    batches: torch_data.BatchSampler
    size: int
    parts: int

    def __len__(self) -> int:
        return math.ceil(len(self.batches) / self.size)

    def __iter__(self) -> Iterator[Parcel]:
        batches, number = iter(self.batches), 0
        # To the very end: a random order draws from its generator once more there.
        while parcel := list(itertools.islice(batches, self.size)):
            yield Parcel(number % self.parts, parcel)
            number += 1


def leave_as_it_is(parcel: Any) -> Any:
    """A parcel is whole; torch would look at each of its numbers."""
    return parcel


class ParcelLoader(torch_data.DataLoader[Any]):
    """A DataLoader whose workers share one piece of memory with this process, used in turns.

    To send a tensor takes as long as to read some hundred slices of 64 px, and a fresh page of
    shared memory longer than to fill it; here only numbers are sent. Batches are scaled where
    they arrive, and own their memory.
    """

    def __init__(
        self, data: SliceDataset, batches: torch_data.BatchSampler, **options: Any
    ) -> None:
        self.data, self.batches, self.options = data, batches, options
        self.parcels = Parcels(data)
        workers = options["num_workers"]
        fitting = PARCEL_BYTES // (batches.batch_size * data.channels * data.level**2)
        share = len(batches) // (PARCELS_EACH * workers)
        # As many as torch has under way, and the one that is being used.
        parts = workers * (options.get("prefetch_factor") or 2) + 1
        self.order = ParcelOrder(batches, max(1, min(fitting, share)), parts)
        self.in_use = False
        options = {**options, "sampler": self.order, "collate_fn": leave_as_it_is}
        super().__init__(self.parcels, batch_size=None, **options)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        if self.in_use and self.persistent_workers:  # both would be read into the same memory
            yield from ParcelLoader(
                self.data, self.batches, **{**self.options, "persistent_workers": False}
            )
            return
        self.in_use = True
        try:
            yield from self._read_all()
        finally:
            self.in_use = False

    def _read_all(self) -> Iterator[Any]:
        if self._iterator is None:  # workers start, each epoch's own unless they persist
            self.parcels.room = self._make_room()
        room = self.parcels.room
        for part, batches in super().__iter__():
            parts = torch.split(room[part], self.batches.batch_size)
            for batch, stored in zip(batches, parts, strict=False):
                yield self.data._finish(batch, stored[: len(batch)].numpy())

    def _make_room(self) -> Tensor:
        one = torch.from_numpy(self.data._read_stored([0])[0])
        images = self.order.size * self.batches.batch_size
        room = torch.empty((self.order.parts, images, *one.shape), dtype=one.dtype)
        return room.share_memory_()  # type: ignore[no-any-return, no-untyped-call]


def as_wanted(
    labels: str | Sequence[str] | Mapping[str, Sequence[str]],
) -> Mapping[str, Sequence[str]]:
    """{label: its classes in order, none where they are to be found}."""
    if isinstance(labels, Mapping):
        return labels
    return dict.fromkeys([labels] if isinstance(labels, str) else labels, ())


def build_target(
    wanted: str,
    rows: Sequence[Labels],
    chosen: NDArray[np.int64],
    store: Path,
    classes: Sequence[str] = (),
) -> Target:
    """A label of the chosen rows; a class where `classes` or `name:class` say so, or a word does.

    Without `classes` all rows say which there are, so that one has the same number in every split.
    Raises UsageError where no chosen row has it, or one has a class that is not among `classes`.
    """
    name, kind = split_kind(wanted)
    found = [row.get(name) for row in rows]
    if all(found[i] is None for i in chosen):
        there = sorted({key for i in chosen for key in rows[i]})
        raise UsageError(
            f"{store}: no slice has a label {name}", f"known labels: {', '.join(there)}"
        )
    numbers = [None if value is None else as_number(value) for value in found]
    unlike = [n is None and v is not None for n, v in zip(numbers, found, strict=True)]
    if not (kind or classes or any(unlike)):
        values = [float("nan") if number is None else number for number in numbers]
        return Target(name, torch.tensor(values, dtype=torch.float32)[chosen])
    there = sorted({as_class(value) for value in found if value is not None})
    classes = tuple(classes or there)
    require(set(there) <= set(classes), f"{name}: the store has {', '.join(there)}", "name all")
    at = {value: number for number, value in enumerate(classes)} | {None: NO_CLASS}
    codes = [at[None if value is None else as_class(value)] for value in found]
    return Target(name, torch.tensor(codes, dtype=torch.int64)[chosen], classes)
