"""Results of workers in order, even when workers die; local processes or a Dask cluster."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from mri_gan.errors import DataError, UsageError
from mri_gan.files import StopSignal
from mri_gan.ingest.options import LOCAL, PrepareConfig
from mri_gan.ingest.outcome import Glance, Learned, Outcome
from mri_gan.ingest.source import (
    ARCHIVE_SUFFIXES,
    IMAGE_SUFFIXES,
    SLICE_SUFFIXES,
    Source,
    suffix_of,
)

Item = TypeVar("Item")
Result = TypeVar("Result")

# Weight in flight per worker: so much that no worker waits while a transaction is written, and so
# little that memory stays small.
WINDOW = 128


class Engine(Protocol):
    """Who runs the tasks: processes of this machine, or a cluster."""

    deaths: tuple[type[BaseException], ...]  # what a future raises whose worker died
    tries: int  # how often an item may die alone before it is to blame

    @property
    def workers(self) -> int:
        """How many tasks run at once."""

    def submit(
        self, function: Callable[[Sequence[Item]], list[Result]], chunk: Sequence[Item]
    ) -> Future[list[Result]]:
        """Begin a task; never raises, since its future will."""

    def restart(self) -> None:
        """Make it fit for work after a death; tasks in flight are done or lost afterwards."""

    def close(self) -> None:
        """Leave no process and no connection behind."""


class OrderedPool(Generic[Item, Result]):
    """Maps chunks of items over an engine's workers, giving results in order.

    `function` takes a sequence of items and returns one result for each. A chunk whose worker
    dies (out of memory, a crash in a decoder) is run again item by item; `on_death` makes the
    result of an item that kills its worker even alone. `weigh` gives how much a chunk fills the
    window of tasks in flight. Without an engine all runs in this process.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Item]], list[Result]],
        on_death: Callable[[Item], Result],
        engine: Engine | None,
        weigh: Callable[[Sequence[Item]], int] = len,
    ) -> None:
        self._function = function
        self._on_death = on_death
        self._engine = engine
        self._weigh = weigh

    def map(self, chunks: Iterable[Sequence[Item]]) -> Iterator[tuple[Item, Result]]:
        """Pairs of item and result, in the order of the chunks."""
        if self._engine is None:
            for chunk in chunks:
                for item in chunk:
                    yield item, self._function([item])[0]
            return
        waiting: deque[tuple[Sequence[Item], Future[list[Result]]]] = deque()
        remaining, weight = iter(chunks), 0
        while True:
            while weight < WINDOW * self._engine.workers:
                following = next(remaining, None)
                if following is None:
                    break
                weight += self._weigh(following)
                waiting.append((following, self._engine.submit(self._function, following)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            yield from zip(chunk, self._collect(self._engine, chunk, future, waiting), strict=True)
            weight -= self._weigh(chunk)

    def _collect(
        self,
        engine: Engine,
        chunk: Sequence[Item],
        future: Future[list[Result]],
        waiting: deque[tuple[Sequence[Item], Future[list[Result]]]],
    ) -> list[Result]:
        try:
            return _result(future)
        except engine.deaths:
            engine.restart()
            results = [self._run_alone(engine, item) for item in chunk]
        before = list(waiting)
        waiting.clear()
        waiting.extend(
            (c, f if _is_done(f) else engine.submit(self._function, c)) for c, f in before
        )
        return results

    def _run_alone(self, engine: Engine, item: Item) -> Result:
        """One item with all workers to itself, so that a death has one possible cause."""
        for _ in range(engine.tries):
            try:
                return _result(engine.submit(self._function, [item]))[0]
            except engine.deaths:
                engine.restart()
        check_that_workers_live(engine)
        return self._on_death(item)


def check_that_workers_live(engine: Engine) -> None:
    """Raise DataError where workers die over nothing: then no item is to blame.

    So it is in a script without a main guard, whose workers run the script again.
    """
    for _ in range(engine.tries):
        try:
            _result(engine.submit(_do_nothing, []))
            return
        except engine.deaths:
            engine.restart()
    script = getattr(sys.modules["__main__"], "__file__", None)
    guard = "put what a script does below `if __name__ == '__main__':`"
    piped = script is not None and not Path(script).is_file()  # Python calls it <stdin>
    remedy = "save the script as a file" if piped else guard
    raise DataError("worker processes cannot start", f"use no workers (0), or {remedy}") from None


def leave_if_starting() -> None:
    """End a worker in which a script without a main guard has come this far: its parent says why.

    A process that starts runs the script again, and Python marks it for as long.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(1)


def _do_nothing(_: Sequence[Item]) -> list[Item]:
    return []


def _is_done(future: Future[list[Result]]) -> bool:
    """Whether it has its result."""
    return future.done() and not future.cancelled() and future.exception() is None


def _result(future: Future[list[Result]]) -> list[Result]:
    try:
        return future.result()
    except CancelledError as error:  # not by us: the scheduler of a cluster went away
        raise DataError(
            "the workers disappeared before the work was done",
            "what was done is kept; start them and run the same command again",
        ) from error


# Who does the work: this process, processes of this machine, or a Dask cluster

DASK = "dask="
PRELOAD_FOR_VOLUMES = "mri_gan.ingest.cut.one_volume"
PRELOAD = "mri_gan.ingest.cut.one_source"  # loaded once for all local workers
Workers = int | str  # this many processes of this machine (0: this one), or "dask=ADDRESS"


def check_engine(name: str) -> None:
    """Raise UsageError unless it is `local` or `dask=ADDRESS`."""
    if name != LOCAL and not (name.startswith(DASK) and name.removeprefix(DASK).strip()):
        raise UsageError(
            f"--engine {name}: unknown engine",
            "give local, or dask=ADDRESS as in dask=tcp://node1:8786",
        )


@contextlib.contextmanager
def open_engine(workers: Workers, preload: str = PRELOAD) -> Iterator[Engine | None]:
    """The engine for the duration of the block; None where all runs in this process."""
    if workers == 0:
        yield None
        return
    with contextlib.closing(_start(workers, preload)) as engine:
        yield engine


def _start(workers: Workers, preload: str) -> Engine:
    if isinstance(workers, str):
        from mri_gan.ingest.run.dask_cluster import DaskEngine  # an extra that few have

        return DaskEngine(workers.removeprefix(DASK))

    return ProcessEngine(workers, preload)


# Worker processes of this machine


GRACE_S = 0.5
PIPE_BYTES = 1 << 20  # more needs privileges
HEAP_OPTIONS = {-1: 64 << 20, -3: 16 << 20}  # mallopt(3): M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


def available_cpus() -> int:
    """Processors this process may use (a cluster job often gets fewer than the machine has)."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class ProcessEngine:
    """Runs tasks in worker processes that have loaded the module `preload`."""

    deaths: tuple[type[BaseException], ...] = (BrokenProcessPool,)
    tries = 1

    def __init__(self, workers: int, preload: str) -> None:
        _reuse_freed_memory()
        self._workers = workers
        self._context = worker_context(preload)
        self._executor = self._start()

    @property
    def workers(self) -> int:
        """How many processes there are."""
        return self._workers

    def _start(self) -> ProcessPoolExecutor:
        executor = ProcessPoolExecutor(self._workers, self._context, initializer=_start_worker)
        _widen(executor._result_queue)
        return executor

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


def begin_loading(sources: Iterable[Path]) -> None:
    """Have the server of worker processes load what these need while this process goes on."""
    volumes = any(map(_begins_with_volume, sources))
    worker_context(PRELOAD, *([PRELOAD_FOR_VOLUMES] if volumes else []))


def _begins_with_volume(source: Path) -> bool:
    """Whether a file, or the first of a folder, is named like volumes or a tar: a quick guess."""
    inside = (name for _, _, names in os.walk(source) for name in names)
    kinds = map(suffix_of, inside if source.is_dir() else (source.name,))
    first = next((k for k in kinds if k in (*ARCHIVE_SUFFIXES, *SLICE_SUFFIXES)), ".zip")
    return first not in (".zip", *IMAGE_SUFFIXES)


if sys.platform != "win32":

    class KilledProcess(multiprocessing.context.ForkServerProcess):
        """A worker that its pool can end, although it leaves SIGTERM to its parent.

        From Python 3.14 on, a pool waits for its ends with a lock that all others need.
        """

        def terminate(self) -> None:
            """End it without delay."""
            self.kill()

    class WorkerContext(multiprocessing.context.ForkServerContext):
        """Makes such workers."""

        Process = KilledProcess


def worker_context(*preload: str) -> multiprocessing.context.BaseContext:
    """Fork from a clean server where possible: fast, and safe with open databases and threads."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    context = WorkerContext()
    context.set_forkserver_preload(list(preload))
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


def _widen(results: Any) -> None:
    """Have workers send many slices at once: a pipe of Linux holds 64 KiB unless told otherwise."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # not on every system
        import fcntl

        fcntl.fcntl(results._reader.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


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


def _reuse_freed_memory() -> None:
    """Keep some of what is freed: new pages for each task are a fifth of the time for a large set.

    glibc's `mallopt`; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library, such as musl
            for option, n_bytes in HEAP_OPTIONS.items():
                ctypes.CDLL(None).mallopt(option, n_bytes)


def _start_worker() -> None:
    """Leave stop signals to the parent, and do not outlive it."""
    _reuse_freed_memory()
    for name in StopSignal.NAMES:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


# What workers do: numpy, Pillow and nibabel are loaded there, and not where work is shared out


def process_sources(
    sources: Sequence[Source], config: PrepareConfig, learned: Learned
) -> list[Outcome]:
    """The slices of each source."""
    from mri_gan.ingest.cut.one_source import process_all

    return process_all(sources, config, learned)


def find_labels(masks: Sequence[Source]) -> list[tuple[int, ...]]:
    """The values of each mask."""
    from mri_gan.ingest.cut.one_source import find_labels

    return [find_labels(mask) for mask in masks]


def find_landmarks(volumes: Sequence[Source], config: PrepareConfig) -> list[tuple[float, ...]]:
    """The landmarks of each volume, for `nyul`."""
    from mri_gan.ingest.cut.one_source import find_own_landmarks

    return [find_own_landmarks(volume, config) for volume in volumes]


def look_at_images(
    works: Sequence[tuple[Sequence[Source], Sequence[Source]]], config: PrepareConfig
) -> list[Glance]:
    """What some images show of all, and those that may be learned from."""
    from mri_gan.ingest.cut.one_source import look_at_images

    return [look_at_images(some, teachers, config) for some, teachers in works]


def write_companions(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The files beside each store; gives what it holds."""
    from mri_gan.store.companions import write_companions

    return [write_companions(folder) for folder in folders]
