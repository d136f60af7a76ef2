"""The process that workers are forked from: so light to import that it can be started first.

On Linux it also says what the C library does with freed memory; elsewhere nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mri_gan.files import StopSignal
from mri_gan.ingest.source import IMAGE_SUFFIXES, SLICE_SUFFIXES, TAR_SUFFIXES, suffix_of

# What the C library does with freed memory, where it is glibc; elsewhere nothing happens

# mallopt(3)
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8


def keep_some(n_bytes: int, largest: int) -> None:
    """Let this process keep so much of what it frees; blocks above `largest` go back at once."""
    _tune((MMAP_THRESHOLD, largest), (TRIM_THRESHOLD, n_bytes))


def share() -> None:
    """Let all threads take memory from one heap; to be said before the first thread begins.

    Where one thread allocates and another frees, with a heap for each, holes add up.
    """
    _tune((ARENA_MAX, 1))


def _tune(*options: tuple[int, int]) -> None:
    if sys.platform != "linux":  # macOS has no mallopt, and Windows no such library
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library, such as musl
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in options:
            mallopt(option, value)


# The process that workers are forked from: so light to import that it can be started first

PRELOAD = "mri_gan.ingest.cut.one_source"
PRELOAD_FOR_VOLUMES = ("mri_gan.ingest.cut.one_volume",)

KEPT_BYTES = 64 << 20  # of free memory in a worker
LARGE_BYTES = 16 << 20  # what is larger goes back to the system at once


def warm_up_for(sources: Iterable[Path]) -> None:
    """Start loading what workers need for these; volumes need more, and are only guessed at."""
    volumes = any(map(begins_with_volume, sources))
    warm_up(PRELOAD, *(PRELOAD_FOR_VOLUMES if volumes else ()))


def begins_with_volume(source: Path) -> bool:
    """Whether a file, or the first of a folder that is looked at, is named like volumes or a tar.

    A quick guess, with which nothing goes wrong but time.
    """
    inside = (name for _, _, names in os.walk(source) for name in names)
    kinds = map(suffix_of, inside if source.is_dir() else (source.name,))
    first = next((k for k in kinds if k in (".zip", *TAR_SUFFIXES, *SLICE_SUFFIXES)), ".zip")
    return first not in (".zip", *IMAGE_SUFFIXES)


def keep_heap() -> None:
    """Let a worker keep what it frees: to take pages anew for every task is a tenth of its time."""
    keep_some(KEPT_BYTES, LARGE_BYTES)


def worker_context(*preload: str) -> multiprocessing.context.BaseContext:
    """Fork from a clean server where possible: fast, and safe with open databases and threads."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(preload))
        return context
    return multiprocessing.get_context("spawn")


def warm_up(*preload: str) -> None:
    """Start the server that workers are forked from, so that it loads while the plan is made.

    It imports the modules `preload` once for all workers.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver, resource_tracker

        worker_context(*preload)
        resource_tracker.ensure_running()  # unblocks signals when it is started within
        with _stop_signals_blocked():
            forkserver.ensure_running()
    share()  # one thread receives results and another frees them


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
