"""Memory that workers and their parent share, so that pixels do not go through a pipe.

A result is pickled with its large buffers apart (PEP 574): those are laid into the task's slab,
and only the rest is sent. A pipe would have each of them copied four times more, half of that by
the parent, for which all workers wait. The memory has no name: nothing of it outlives its users.

Worker processes of this machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import multiprocessing
import os
import pickle
import signal
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, NamedTuple, TypeVar

from mri_gan.files import StopSignal
from mri_gan.ingest.run.fork_server import keep_heap, warm_up, worker_context

# Memory that workers and their parent share, so that pixels do not go through a pipe

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


# Worker processes of this machine

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE_S = 0.5
SLABS_PER_WORKER = 10  # a few more than tasks of images in flight
# Results are larger than the 64 KB that a pipe holds by itself; in pieces of that size, parent and
# worker would have to take turns. Linux allows a megabyte.
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031


def available_cpus() -> int:
    """Processors this process may use (a cluster job often gets fewer than the machine has)."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class ProcessEngine:
    """Runs tasks in worker processes that have loaded the module `preload`."""

    deaths: tuple[type[BaseException], ...] = (BrokenProcessPool,)
    tries = 1

    def __init__(self, workers: int, preload: str) -> None:
        self._workers = workers
        warm_up(preload)
        self._context = worker_context(preload)
        # Elsewhere than on Linux results go through a pipe: slower, and all the same otherwise.
        linux = hasattr(os, "memfd_create")
        self._slabs = Slabs(SLABS_PER_WORKER * workers) if linux else None
        self._executor = self._start()

    @property
    def workers(self) -> int:
        """How many processes there are."""
        return self._workers

    def _start(self) -> ProcessPoolExecutor:
        executor = ProcessPoolExecutor(
            self._workers, self._context, initializer=_start_worker, initargs=(self._slabs,)
        )
        _widen(executor)
        return executor

    def submit(
        self, function: Callable[[Sequence[Item]], list[Result]], chunk: Sequence[Item]
    ) -> Future[list[Result]]:
        """Begin a task; its future raises BrokenProcessPool when any worker dies.

        Large buffers of its result are views of shared memory.
        """
        near: Future[Any] = Future()
        slab = self._slabs.lend() if self._slabs else None
        try:
            far = self._executor.submit(_run, function, chunk, slab and slab.number)
        except BrokenProcessPool as error:
            near.set_exception(error)
        else:
            far.add_done_callback(functools.partial(_hand_over, near, slab))
        return near

    def restart(self) -> None:
        """New processes in place of all; what was in flight is lost."""
        _end(self._executor)
        self._executor = self._start()

    def close(self) -> None:
        """End the processes."""
        _end(self._executor)
        if self._slabs:
            self._slabs.close()


def _run(
    function: Callable[[Sequence[Item]], list[Result]], chunk: Sequence[Item], slab: int | None
) -> Parcel:
    """A task in its worker; `slab` is the number of the one for its result."""
    shared = _slabs_of_worker
    return pack(function(chunk), None if shared is None or slab is None else shared[slab])


def _hand_over(near: Future[Any], slab: Slab | None, far: Future[Parcel]) -> None:
    """Give a future what its task in the executor ended with."""
    if far.cancelled():
        near.cancel()
    elif error := far.exception():
        near.set_exception(error)
    else:
        near.set_result(unpack(far.result(), slab and slab.memory))


def _widen(executor: ProcessPoolExecutor) -> None:
    try:
        import fcntl

        results: Any = executor._result_queue
        fcntl.fcntl(results._reader.fileno(), F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, OSError, AttributeError):
        pass  # another system, or a limit: slower, and all the same otherwise


def _end(executor: ProcessPoolExecutor) -> None:
    """End the workers: those in the middle of something may finish it, for a moment.

    A worker that dies while it sends a result leaves its reader waiting for the rest for ever,
    unless nobody else holds the sending end; so that is closed before any worker is killed.
    """
    processes = list((executor._processes or {}).values())
    results: Any = executor._result_queue
    manager: Any = executor._executor_manager_thread
    executor.shutdown(wait=False, cancel_futures=True)
    if manager is None:
        return
    manager.join(GRACE_S)
    if manager.is_alive():
        results._writer.close()
        for process in processes:
            with contextlib.suppress(OSError, ValueError):
                process.kill()
        manager.join()


_slabs_of_worker: Slabs | None = None  # in worker processes: what they share with their parent


def _start_worker(slabs: Slabs | None) -> None:
    """Leave stop signals to the parent, and do not outlive it."""
    global _slabs_of_worker
    _slabs_of_worker = slabs
    keep_heap()
    for name in StopSignal.NAMES:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
