"""Memory that workers and their parent share, so that pixels do not go through a pipe.

A result is pickled with its large buffers apart (PEP 574): those are laid into the task's slab,
and only the rest is sent. A pipe would have each of them copied four times more, half of that by
the parent, for which all workers wait. The memory has no name: nothing of it outlives its users.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

SLAB_BYTES = 32 << 20  # pages are taken when they are first written: most stay untaken
MOST_BYTES = 1 << 30  # of all slabs: address space may be limited


@dataclass(frozen=True)
class Parcel:
    """A pickled result; `lengths` are those of its buffers in the slab, one after another."""

    pickled: bytes
    lengths: tuple[int, ...] = ()


class Slabs:
    """`count` slabs of shared memory; to be handed to processes when they are started."""

    def __init__(self, count: int, n_bytes: int = SLAB_BYTES) -> None:
        self._n_bytes = min(n_bytes, MOST_BYTES // count // mmap.PAGESIZE * mmap.PAGESIZE)
        self._descriptor = os.memfd_create("mrigan")
        os.ftruncate(self._descriptor, count * self._n_bytes)
        self._memory = mmap.mmap(self._descriptor, count * self._n_bytes)
        self.free = list(range(count))

    def __getstate__(self) -> dict[str, Any]:
        from multiprocessing.reduction import DupFd  # not on Windows, where there are no slabs

        return {"descriptor": DupFd(self._descriptor), "n_bytes": self._n_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._n_bytes, self._descriptor = state["n_bytes"], state["descriptor"].detach()
        self._memory = mmap.mmap(self._descriptor, 0)
        self.free = []  # they are the parent's to lend

    def close(self) -> None:
        """Let go of the memory, whose last user frees it."""
        os.close(self._descriptor)

    def __getitem__(self, number: int) -> memoryview:
        return memoryview(self._memory)[number * self._n_bytes : (number + 1) * self._n_bytes]

    def lend(self) -> Slab | None:
        """A slab that nobody uses, or None. It is free again when no view of it is left."""
        if not self.free:
            return None
        number = self.free.pop()
        # Views keep this object, and only it, alive.
        lent = (ctypes.c_ubyte * self._n_bytes).from_buffer(self._memory, number * self._n_bytes)
        weakref.finalize(lent, self.free.append, number)
        return Slab(number, memoryview(lent).cast("B"))


class Slab(NamedTuple):
    """A slab that is lent out, by the number under which other processes know it."""

    number: int
    memory: memoryview


def pack(result: object, slab: memoryview | None) -> Parcel:
    """Pickle a result, its large buffers into the slab where it has room for them."""
    if slab is None:
        return Parcel(pickle.dumps(result, 5))
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(result, 5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    if sum(map(len, raw)) > len(slab):
        return Parcel(pickle.dumps(result, 5))
    start = 0
    for piece in raw:
        slab[start : start + len(piece)] = piece
        start += len(piece)
    return Parcel(pickled, tuple(map(len, raw)))


def unpack(parcel: Parcel, slab: memoryview | None) -> Any:
    """The result; its buffers are views of the slab."""
    views, start = [], 0
    for length in parcel.lengths:
        assert slab is not None
        views.append(slab[start : start + length])
        start += length
    return pickle.loads(parcel.pickled, buffers=views)
