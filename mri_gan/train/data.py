"""Batches from the store in an order that is a pure function of (seed, nimg)."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import TrainConfig
from mri_gan.errors import DataError
from mri_gan.schedule import Phase, phase_at, total_images
from mri_gan.store.reader import StoreReader
from mri_gan.train.dataset import TrainingData, choose_slices
from mri_gan.train.parallel import SOLO, World, rows
from mri_gan.train.randomness import key, permutation

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
                    "make the store whole, then run the same command again to continue",
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
