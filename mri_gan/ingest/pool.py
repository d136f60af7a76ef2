"""Worker processes whose results come back in order, and whose deaths are survived."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from mri_gan.files import StopSignal

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE_S = 0.5
WINDOW = 3  # chunks in flight per worker: enough to never wait, few enough to bound memory


def available_cpus() -> int:
    """Processors this process may use (a cluster job often gets fewer than the machine has)."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class OrderedPool(Generic[Item, Result]):
    """Maps chunks of items over worker processes, giving results in order.

    `function` takes a sequence of items and returns one result for each. A chunk whose worker
    dies (out of memory, a crash in a decoder) is run again item by item; `on_death` makes the
    result of an item that kills its worker even alone. With 0 workers all runs in this process.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Item]], list[Result]],
        on_death: Callable[[Item], Result],
        workers: int,
        preload: str,
    ) -> None:
        self._function = function
        self._on_death = on_death
        self._workers = workers
        self._context = _context(preload)
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> OrderedPool[Item, Result]:
        if self._workers:
            self._executor = self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            _end(self._executor)

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, self._context, initializer=_start_worker)

    def map(self, chunks: Iterable[Sequence[Item]]) -> Iterator[tuple[Item, Result]]:
        """Pairs of item and result, in the order of the chunks."""
        if self._executor is None:
            for chunk in chunks:
                for item in chunk:
                    yield item, self._function([item])[0]
            return
        waiting: deque[tuple[Sequence[Item], Future[list[Result]]]] = deque()
        remaining: Iterator[Sequence[Item] | None] = iter(chunks)
        while True:
            while len(waiting) < WINDOW * self._workers:
                following = next(remaining, None)
                if following is None:
                    break
                waiting.append((following, self._submit(following)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            yield from zip(chunk, self._collect(chunk, future, waiting), strict=True)

    def _submit(self, chunk: Sequence[Item]) -> Future[list[Result]]:
        assert self._executor is not None
        try:
            return self._executor.submit(self._function, chunk)
        except BrokenProcessPool as error:
            failed: Future[list[Result]] = Future()
            failed.set_exception(error)
            return failed

    def _collect(
        self,
        chunk: Sequence[Item],
        future: Future[list[Result]],
        waiting: deque[tuple[Sequence[Item], Future[list[Result]]]],
    ) -> list[Result]:
        try:
            return future.result()
        except BrokenProcessPool:
            results = [self._run_alone(item) for item in chunk]
        # Every other chunk in flight was lost with the pool.
        lost = [c for c, _ in waiting]
        waiting.clear()
        waiting.extend((c, self._submit(c)) for c in lost)
        return results

    def _run_alone(self, item: Item) -> Result:
        """One item with the whole pool to itself, so that a death has one possible cause."""
        self._restart()
        try:
            return self._submit([item]).result()[0]
        except BrokenProcessPool:
            self._restart()
            return self._on_death(item)

    def _restart(self) -> None:
        assert self._executor is not None
        _end(self._executor)
        self._executor = self._start()


def _context(preload: str) -> multiprocessing.context.BaseContext:
    """Fork from a clean server where possible: fast, and safe with open databases and threads."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([preload])
        return context
    return multiprocessing.get_context("spawn")


def warm_up(preload: str) -> None:
    """Start the server that workers are forked from, so that it loads while the plan is made."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        _context(preload)
        with _stop_signals_blocked():
            forkserver.ensure_running()


@contextlib.contextmanager
def _stop_signals_blocked() -> Iterator[None]:
    """Children started within leave stop signals, which reach the whole group, to the parent."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    signums = {getattr(signal, name) for name in StopSignal.NAMES}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signums)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


def _start_worker() -> None:
    """Leave stop signals to the parent, and do not outlive it."""
    for name in StopSignal.NAMES:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
