"""Loaded by every Python process with this folder on its path: reading some files is deadly.

FAULT_MEMBER is a part of the names of those files, FAULT_WAY how workers die that read them. The
main process survives: it must tell what happened.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

WAYS: dict[str, Callable[[], object]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),  # as the system does when memory is short
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "abort": lambda: os.kill(os.getpid(), signal.SIGABRT),
    "leave": lambda: os._exit(3),
    "memory": lambda: bytearray(1 << 60),
}
TARGET = "mri_gan.ingest.read.archives"


class _Finder(MetaPathFinder):
    """Makes the reader deadly when it has been loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == TARGET else None
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_change(module: Any) -> None:
                load(module)
                module.read_member = _deadly(module.read_member)

            spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


def _deadly(read: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def read_or_die(member: Any) -> bytes:
        import multiprocessing

        if os.environ["FAULT_MEMBER"] in member.name and multiprocessing.parent_process():
            WAYS[os.environ["FAULT_WAY"]]()
        return read(member)

    return read_or_die


if "FAULT_MEMBER" in os.environ:
    sys.meta_path.insert(0, _Finder())
