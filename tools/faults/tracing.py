"""Killing a process at its n-th write: the system stops it at every call that changes a file.

`trace_writes` counts the calls that change something below a folder: opening to create, writing,
truncating, syncing, renaming, removing. Each is a point where a crash or a power cut may fall,
those inside LMDB's commit included. Uses ptrace(2), so it needs Linux on x86-64 or AArch64.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SYSCALL, TRACEME, SETOPTIONS, GET_SYSCALL_INFO = 24, 0, 0x4200, 0x420E
OPTIONS = 0x01 | 0x08 | 0x10 | 0x100000  # mark system calls, follow threads, mark exec, end with us
ENTRY = 1
EVENT_CLONE, EVENT_EXEC = 3, 4
WAIT_ALL = 0x40000000
AT_FDCWD = -100
CREATE = os.O_CREAT

# name: (number on x86-64, on AArch64). Those by descriptor have it first, the others a path.
BY_DESCRIPTOR = {
    "write": (1, 64),
    "pwrite64": (18, 68),
    "writev": (20, 66),
    "pwritev": (296, 70),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "ftruncate": (77, 46),
    "fallocate": (285, 47),
}
# (position of the path among the arguments, position of the flags or -1)
BY_PATH = {
    "open": (2, -1, 0, 1),
    "rename": (82, -1, 0, -1),
    "mkdir": (83, -1, 0, -1),
    "unlink": (87, -1, 0, -1),
    "openat": (257, 56, 1, 2),
    "mkdirat": (258, 34, 1, -1),
    "unlinkat": (263, 35, 1, -1),
    "renameat": (264, 38, 1, -1),
    "renameat2": (316, 276, 1, -1),
}


class _Info(ctypes.Structure):
    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("ip", ctypes.c_uint64),
        ("sp", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
        ("more", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class Traced:
    """`writes` names the calls seen, in order; `code` is the exit code or minus the signal."""

    code: int
    writes: list[str]
    err: str


def require_tracing() -> None:
    """Raise RuntimeError, which a test must not swallow, where processes cannot be traced."""
    if trace_writes([sys.executable, "-c", ""], Path("/nowhere")).code != 0:
        raise RuntimeError("processes cannot be traced here (ptrace is not allowed)")


def trace_writes(command: Sequence[str], folder: Path, kill_at: int = 0) -> Traced:
    """Run a command and list its calls that change files below `folder`.

    With `kill_at` = n the whole process group is killed before its n-th such call.
    """
    from faults.children import child_environment

    done = subprocess.run(
        [sys.executable, "-S", __file__, str(folder), str(kill_at), *command],
        capture_output=True,
        text=True,
        env=child_environment(),
        check=True,
        start_new_session=True,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return Traced(answer["code"], answer["writes"], done.stderr)


def kill_at_write(command: Sequence[str], folder: Path, n: int) -> Traced:
    """Run a command and kill it before its n-th call that changes files below `folder`."""
    return trace_writes(command, folder, kill_at=n)


class _Tracer:
    """Runs in a process of its own, since it waits for any child."""

    def __init__(self, folder: str, kill_at: int) -> None:
        self._folder = folder
        self._kill_at = kill_at
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self._libc.ptrace.restype = ctypes.c_long
        self._info = _Info()
        column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
        self._descriptors = {numbers[column]: name for name, numbers in BY_DESCRIPTOR.items()}
        self._paths = {entry[column]: (name, entry[2], entry[3]) for name, entry in BY_PATH.items()}
        self.writes: list[str] = []

    def run(self, command: Sequence[str]) -> int:
        """The exit code of the command, or minus the signal that ended it."""
        child = os.fork()
        if child == 0:
            self._libc.ptrace(TRACEME, 0, None, None)
            os.dup2(2, 1)  # standard output carries our answer
            os.execv(command[0], list(command))
        os.waitpid(child, 0)
        self._libc.ptrace(SETOPTIONS, child, None, OPTIONS)
        self._go_on(child, 0)
        while True:
            thread, status = os.waitpid(-1, WAIT_ALL)
            if not os.WIFSTOPPED(status):
                if thread == child:
                    return os.waitstatus_to_exitcode(status)
                continue
            self._go_on(thread, self._stopped(child, thread, status))

    def _stopped(self, child: int, thread: int, status: int) -> int:
        """Handle one stop; gives the signal to pass on."""
        signum = os.WSTOPSIG(status)
        if signum == signal.SIGTRAP | 0x80:
            self._libc.ptrace(
                GET_SYSCALL_INFO, thread, ctypes.sizeof(_Info), ctypes.byref(self._info)
            )
            name = self._name(thread) if self._info.op == ENTRY else ""
            if name:
                self.writes.append(name)
                if len(self.writes) == self._kill_at:
                    os.kill(child, signal.SIGKILL)
            return 0
        if signum in (signal.SIGTRAP, signal.SIGSTOP):
            return 0
        return signum

    def _name(self, thread: int) -> str:
        """The name of the call that a thread is about to make if it is one of ours, else ''."""
        number, arguments = self._info.number, self._info.arguments
        if number in self._descriptors:
            file = _link(f"/proc/{thread}/fd/{ctypes.c_int(arguments[0]).value}")
            return self._descriptors[number] if file.startswith(self._folder) else ""
        if number in self._paths:
            name, path_at, flags_at = self._paths[number]
            if flags_at >= 0 and not arguments[flags_at] & CREATE:
                return ""
            path = _text(thread, arguments[path_at])
            base = _link(f"/proc/{thread}/cwd")
            if path_at and ctypes.c_int(arguments[0]).value != AT_FDCWD:
                base = _link(f"/proc/{thread}/fd/{ctypes.c_int(arguments[0]).value}")
            return name if os.path.join(base, path).startswith(self._folder) else ""  # noqa: PTH118
        return ""

    def _go_on(self, thread: int, signum: int) -> None:
        self._libc.ptrace(SYSCALL, thread, None, signum)


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - without pathlib, which takes long to import
    except OSError:
        return ""


def _text(thread: int, address: int) -> str:
    """The zero-ended text at an address of another process."""
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
        memory.seek(address)
        page = 4096 - address % 4096
        data = memory.read(page)
        if b"\0" not in data:
            data += memory.read(4096)
    return os.fsdecode(data.split(b"\0", 1)[0])


if __name__ == "__main__":
    tracer = _Tracer(sys.argv[1], int(sys.argv[2]))
    ended = tracer.run(sys.argv[3:])
    print(json.dumps({"code": ended, "writes": tracer.writes}))
