"""Batches from the store in an order that is a pure function of (seed, nimg)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mri_gan.config import TrainConfig
from mri_gan.errors import UsageError
from mri_gan.schedule import Phase, phase_at, total_images
from mri_gan.store.reader import StoreReader
from mri_gan.train.parallel import SOLO, World, rows
from mri_gan.train.randomness import permutation

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


def open_train_split(folder: Path, config: TrainConfig) -> tuple[StoreReader, NDArray[np.int64]]:
    """The store and the indices of its training slices.

    Raises UsageError when the store has no training slices or another number of channels.
    """
    store = StoreReader(folder)
    indices = store.indices("train")
    if not len(indices):
        store.close()
        raise UsageError(f"{folder}: has no training slices", "prepare with another --split")
    if store.channels != config.channels:
        store.close()
        raise UsageError(f"{folder}: {store.channels} channels, the run has {config.channels}")
    return store, indices


class Batches:
    """Iterates over (nimg, phase, images uint8/uint16 [n, C, R, R]) from `nimg` to the end.

    The images are this process's rows of each batch.

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
    ) -> None:
        self._config = config
        self._world = world
        self._nimg = nimg
        self._store, self._indices = open_train_split(folder, config)
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

    def _read(self) -> Iterator[tuple[int, Phase, NDArray[Any]]]:
        nimg = self._nimg
        while nimg < total_images(self._config):
            phase = phase_at(self._config, nimg)
            whole = batch_indices(self._indices, self._config.seed, nimg, phase.batch)
            chosen = whole[rows(self._world, phase.batch)]
            yield nimg, phase, self._store.read(phase.resolution, chosen)
            nimg += phase.batch

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

    def __iter__(self) -> Iterator[tuple[int, Phase, NDArray[Any]]]:
        if self._thread is None:
            yield from self._read()
            return
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
