"""Who does the work: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mri_gan.errors import UsageError
from mri_gan.preparation import LOCAL

if TYPE_CHECKING:
    from mri_gan.ingest.pool import Engine

DASK = "dask="
Workers = int | str  # so many processes of this machine (0: this one), or "dask=ADDRESS"


def check_engine(name: str) -> None:
    """Raise UsageError unless it is `local` or `dask=ADDRESS`."""
    if name != LOCAL and not (name.startswith(DASK) and name.removeprefix(DASK).strip()):
        raise UsageError(
            f"--engine {name}: is none", "give local, or dask=ADDRESS as in dask=tcp://node1:8786"
        )


@contextlib.contextmanager
def open_engine(workers: Workers, preload: str) -> Iterator[Engine | None]:
    """The engine for the duration of the block; None where all runs in this process."""
    if workers == 0:
        yield None
        return
    engine = _start(workers, preload)
    try:
        yield engine
    finally:
        engine.close()


def _start(workers: Workers, preload: str) -> Engine:
    if isinstance(workers, str):
        from mri_gan.ingest.cluster import DaskEngine  # an extra that few have

        return DaskEngine(workers.removeprefix(DASK))
    from mri_gan.ingest.processes import ProcessEngine

    return ProcessEngine(workers, preload)
