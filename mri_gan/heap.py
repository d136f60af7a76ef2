"""What the C library does with freed memory, where it is glibc; elsewhere nothing happens."""

from __future__ import annotations

import contextlib
import ctypes
import sys

# mallopt(3)
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
LARGEST_BLOCK = 2**31 - 1  # bytes; larger blocks are rare, and an int is all that it takes


def keep_all() -> None:
    """Let this process keep all that it frees.

    glibc gives every block above 32 MiB back to the system, which clears its pages again for the
    next one: reading and writing such a block once then takes five times as long.
    """
    _tune((MMAP_THRESHOLD, LARGEST_BLOCK), (TRIM_THRESHOLD, -1))


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
