"""Tasks on a Dask cluster, for archives that one machine would take too long for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from mri_gan.errors import DataError, UsageError
from mri_gan.files import one_line

Item = TypeVar("Item")
Result = TypeVar("Result")

CONNECT_S = 15


class DaskEngine:
    """Runs tasks through `distributed.Client.get_executor()`.

    Dask itself gives the task of a dead worker to another one, three times; only then does its
    future raise KilledWorker. Raises UsageError without the extra, DataError when nobody answers.
    """

    def __init__(self, address: str) -> None:
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise UsageError(
                "--engine dask needs a package that is not installed",
                "pip install 'mrigan[dask]'",
            ) from error
        self.deaths: tuple[type[BaseException], ...] = (distributed.KilledWorker,)
        try:
            self._client: Any = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise DataError(
                f"{address}: no Dask scheduler with workers answers ({one_line(error)})",
                "start `dask scheduler` and `dask worker ADDRESS`, then run this again",
            ) from error
        self._executor: Any = self._new_executor()

    def _new_executor(self) -> Any:
        # Impure: a task that is given again must not meet the cancelled one of the same name.
        return self._client.get_executor(pure=False)

    @property
    def workers(self) -> int:
        """Threads of all workers: what runs at once."""
        return max(1, sum(map(int, self._client.nthreads().values())))

    def submit(
        self, function: Callable[[Sequence[Item]], list[Result]], chunk: Sequence[Item]
    ) -> Future[list[Result]]:
        """Begin a task; its future raises KilledWorker when it keeps killing workers."""
        future: Future[list[Result]] = self._executor.submit(function, chunk)
        return future

    def restart(self) -> None:
        """Forget all tasks in flight, so that the next one runs alone."""
        self._executor.shutdown(wait=False)
        self._executor = self._new_executor()

    def close(self) -> None:
        """Leave the cluster as it was."""
        self._executor.shutdown(wait=False)
        self._client.close()
