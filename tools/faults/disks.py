"""Disks that are too small."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[Path]:
    """A file system of `n_bytes` mounted at `folder`, removed at the end of the block.

    Raises PermissionError where the user may not mount one (only root may).
    """
    if os.geteuid() != 0:
        raise PermissionError("only root may mount a small disk; use `small_files`")
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={n_bytes},mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def grow_disk(folder: Path, n_bytes: int) -> None:
    """Give a mounted small disk another size."""
    options = f"remount,size={n_bytes}"
    subprocess.run(["mount", "-o", options, str(folder)], check=True)


def small_files(n_bytes: int) -> dict[int, int]:
    """Limits under which no file can grow beyond `n_bytes`; anybody may set them."""
    return {resource.RLIMIT_FSIZE: n_bytes}
