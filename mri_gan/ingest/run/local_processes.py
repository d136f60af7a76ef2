"""Worker processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from mri_gan.files import StopSignal

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE_S = 0.5


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
        self._context = worker_context(preload)
        self._executor = self._start()

    @property
    def workers(self) -> int:
        """How many processes there are."""
        return self._workers

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, self._context, initializer=_start_worker)

    def submit(
        self, function: Callable[[Sequence[Item]], list[Result]], chunk: Sequence[Item]
    ) -> Future[list[Result]]:
        """Begin a task; its future raises BrokenProcessPool when any worker dies."""
        try:
            return self._executor.submit(function, chunk)
        except BrokenProcessPool as error:
            broken: Future[list[Result]] = Future()
            broken.set_exception(error)
            return broken

    def restart(self) -> None:
        """New processes in place of all; what was in flight is lost."""
        _end(self._executor)
        self._executor = self._start()

    def close(self) -> None:
        """End the processes."""
        _end(self._executor)


def worker_context(preload: str) -> multiprocessing.context.BaseContext:
    """Fork from a clean server where possible: fast, and safe with open databases and threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    for start in (resource_tracker.ensure_running, forkserver.ensure_running):
        with _stop_signals_blocked():  # for each, since the first one unblocks two of them
            start()
    return context


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
