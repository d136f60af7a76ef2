"""Tasks on a Dask cluster, for archives that one machine would take too long for."""

from __future__ import annotations

import importlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from mri_gan.errors import DataError, UsageError
from mri_gan.files import one_line

Item = TypeVar("Item")
Result = TypeVar("Result")

CONNECT_S = 15
PATIENCE_S = 60  # without any worker; a nanny starts a new one within a few seconds


class WorkerLostError(Exception):
    """The worker of a task is gone."""


class DaskEngine:
    """Runs tasks on the workers of a Dask cluster, each on one that is chosen here.

    Left to itself, Dask gives the task of a dead worker to the next one at once, four times in
    all, with whatever else waited there, and waits for ever when nobody is left. So tasks are bound
    to their worker, and the scheduler's word that it is gone ends them. Raises UsageError without
    the extra, DataError when nobody answers.
    """

    tries = 3  # a cluster loses workers for reasons of its own

    def __init__(self, address: str) -> None:
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise UsageError(
                "--engine dask needs a package that is not installed", "pip install 'mrigan[dask]'"
            ) from error
        self.deaths: tuple[type[BaseException], ...] = (distributed.KilledWorker, WorkerLostError)
        self._changed = threading.Condition()
        self._threads: dict[str, int] = {}  # of each worker, by its address
        self._tasks: dict[Future[Any], tuple[str, Any]] = {}  # worker and Dask's own future
        try:
            self._client: Any = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
            self._client.subscribe_topic("all", self._hear)
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise DataError(
                f"{address}: no Dask scheduler with workers answers ({one_line(error)})",
                "start `dask scheduler` and `dask worker ADDRESS`, then run this again",
            ) from error
        self._client.sync(self._count)

    async def _hear(self, event: tuple[float, Any]) -> None:
        """What the scheduler reports of workers that come and go; runs in the client's thread."""
        told = event[1] if isinstance(event[1], dict) else {}
        if told.get("action") == "remove-worker":
            await self._client.cancel(self._lose(told["worker"]), asynchronous=True)
        if told.get("action") in ("add-worker", "remove-worker"):
            await self._count()

    async def _count(self) -> None:
        threads = await self._client.nthreads()
        with self._changed:
            self._threads = threads
            self._changed.notify_all()

    def _lose(self, address: str) -> list[Any]:
        """End the tasks of a worker that is gone; returns Dask's futures of them."""
        with self._changed:
            self._threads.pop(address, None)
            lost = {near: far for near, (where, far) in self._tasks.items() if where == address}
        for near in lost:
            self._finish(near, error=WorkerLostError(address))
        return list(lost.values())

    def _finish(
        self, near: Future[Any], result: Any = None, error: BaseException | None = None
    ) -> None:
        """Give a future its outcome, unless it has one."""
        with self._changed:
            if self._tasks.pop(near, None) is None:
                return
        if error is None:
            near.set_result(result)
        else:
            near.set_exception(error)

    def _hand_over(self, far: Any, near: Future[Any]) -> None:
        try:
            result = far.result()
        except BaseException as error:  # whatever it is, who waits for the task must hear it
            self._finish(near, error=error)
        else:
            self._finish(near, result)

    @property
    def workers(self) -> int:
        """Threads of all workers: what runs at once."""
        return max(1, sum(self._threads.values()))

    def submit(
        self, function: Callable[[Sequence[Item]], list[Result]], chunk: Sequence[Item]
    ) -> Future[list[Result]]:
        """Begin a task; its future raises WorkerLostError when its worker dies.

        It waits for a worker where there is none, and cancels the future when none comes.
        """
        near: Future[list[Result]] = Future()
        with self._changed:
            if not self._changed.wait_for(lambda: self._threads, PATIENCE_S):
                near.cancel()
                return near
            load = Counter(where for where, _ in self._tasks.values())
            place = min(self._threads, key=lambda where: load[where] / self._threads[where])
            # Impure: a task that is given again must not meet the cancelled one of the same name.
            far = self._client.submit(function, chunk, pure=False, workers=[place])
            self._tasks[near] = place, far
        far.add_done_callback(lambda done: self._hand_over(done, near))
        return near

    def restart(self) -> None:
        """Wait until nothing runs any more, so that the next task runs alone."""
        wait(list(self._tasks))

    def close(self) -> None:
        """Leave the cluster as it was."""
        self._client.cancel([far for _, far in self._tasks.values()])
        self._client.unsubscribe_topic("all")
        self._client.close()
