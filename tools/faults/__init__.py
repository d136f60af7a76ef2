"""Ways to hurt a running `mrigan`: kill it at its n-th write, at random, fill its disk, starve it.

All work from outside, on child processes, so that what is tried is what users run. Linux only
where it takes the system's help (`tracing`, `disks`); a test that cannot be tried must say so.
"""

from __future__ import annotations

from faults.children import (
    HOOKS,
    SMALL_BATCHES,
    Ended,
    child_environment,
    kill_a_worker,
    mrigan,
    peak_memory,
    python_path,
    run,
    send_after,
    start,
)
from faults.disks import small_disk, small_files
from faults.nursery import Nursery
from faults.stores import contents, digest, holds, leftovers
from faults.tracing import Traced, kill_at_write, require_tracing, trace_writes

__all__ = [
    "HOOKS",
    "SMALL_BATCHES",
    "Ended",
    "Nursery",
    "Traced",
    "child_environment",
    "contents",
    "digest",
    "holds",
    "kill_a_worker",
    "kill_at_write",
    "leftovers",
    "mrigan",
    "peak_memory",
    "python_path",
    "require_tracing",
    "run",
    "send_after",
    "small_disk",
    "small_files",
    "start",
    "trace_writes",
]
