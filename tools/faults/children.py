"""Child processes with limits, a deadline, and an account of what they used."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TOOLS = Path(__file__).parents[1]
HOOKS = Path(__file__).parent / "hooks"  # put it first on PYTHONPATH; see its sitecustomize
DEADLINE_S = 120.0  # generous: a test fails by it only where something hangs
CRASHES = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGFPE, -signal.SIGILL}

# For `mrigan(prelude=...)`: a commit for every source, so that a small archive has as many as a
# large one.
SMALL_BATCHES = """
from mri_gan.store import writer
assert writer.BATCH_BYTES
writer.BATCH_BYTES = 1
"""

Limits = Mapping[int, int]  # resource.RLIMIT_... -> value


@dataclass(frozen=True)
class Ended:
    """How a child ended. `code` is its exit code, or minus the signal that killed it."""

    code: int
    out: str
    err: str
    seconds: float
    memory: int  # peak resident bytes of the largest process
    ended: float = 0.0  # when, by the monotonic clock

    @property
    def crashed(self) -> bool:
        """Whether a signal of a faulty program killed it."""
        return self.code in CRASHES

    @property
    def complaints(self) -> list[str]:
        """The lines that `mrigan` wrote about what went wrong."""
        return [line for line in self.err.splitlines() if line.startswith("mrigan: ")]


def python_path() -> list[str]:
    """Where children look for modules before the environment's own places."""
    return [str(TOOLS), os.environ.get("PYTHONPATH", "")]


def child_environment(**more: str) -> dict[str, str]:
    """The environment of children: one thread for numerics, no byte code written."""
    quiet = {
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(python_path()),
        "COLUMNS": "200",
    }
    return os.environ | quiet | more


def mrigan(*arguments: str | Path, prelude: str = "") -> list[str]:
    """The command line that runs `mrigan`; `prelude` is Python that runs before it."""
    if not prelude:
        return [sys.executable, "-m", "mri_gan", *map(str, arguments)]
    code = f"{prelude}\nfrom mri_gan.cli.entry import main\nif __name__ == '__main__':\n    main()"
    return [sys.executable, "-c", code, *map(str, arguments)]


@contextmanager
def start(
    command: Sequence[str],
    out: IO[bytes] | int,
    err: IO[bytes] | int,
    limits: Limits | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a process group of its own, all of which is killed at the end of the block."""

    def limit() -> None:
        for name, value in (limits or {}).items():
            resource.setrlimit(name, (value, value))

    child = subprocess.Popen(
        command,
        stdout=out,
        stderr=err,
        stdin=subprocess.DEVNULL,
        env=child_environment(**(environment or {})),
        cwd=cwd,
        start_new_session=True,
        preexec_fn=limit if limits else None,
    )
    try:
        yield child
    finally:
        end_group(child.pid)
        child.wait()


def end_group(group: int) -> None:
    """Kill what is left of a process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def run(
    *command: str,
    limits: Limits | None = None,
    cwd: Path | None = None,
    deadline_s: float = DEADLINE_S,
    environment: Mapping[str, str] | None = None,
    hurt: Callable[[subprocess.Popen[bytes]], object] | None = None,
) -> Ended:
    """Run a command to its end; `hurt` gets the running process, in a thread of its own.

    Raises TimeoutError when it does not end before the deadline.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.monotonic()
        with start(command, out, err, limits, cwd, environment) as child:
            thread = threading.Thread(target=hurt, args=[child]) if hurt else None
            if thread:
                thread.start()
            code, memory = wait(child, deadline_s)
            ended = time.monotonic()
            if thread:
                thread.join()
        return Ended(code, _text(out), _text(err), ended - begin, memory, ended)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def send_after(
    seconds: float,
    signum: int,
    *,
    once_ready: bool = False,
    group: bool = False,
    moments: list[float] | None = None,
) -> Callable[[subprocess.Popen[bytes]], None]:
    """For `run`: send a signal to a process, or to its whole group as a terminal does.

    `once_ready` counts the seconds from when the process has its handlers in place; `moments`
    gets the time of the signal by the monotonic clock.
    """

    def send(child: subprocess.Popen[bytes]) -> None:
        while once_ready and not catches(child.pid, signal.SIGTERM):
            time.sleep(0.002)
        time.sleep(seconds)
        if moments is not None:
            moments.append(time.monotonic())
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(child.pid, signum)

    return send


def kill_a_worker(seconds: float, pick: int) -> Callable[[subprocess.Popen[bytes]], None]:
    """For `run`: after some seconds wait for workers, and kill one of them."""

    def kill(child: subprocess.Popen[bytes]) -> None:
        time.sleep(seconds)
        while child.returncode is None:
            if workers := workers_of(child.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[pick % len(workers)], signal.SIGKILL)
                return
            time.sleep(0.002)

    return kill


def workers_of(leader: int) -> list[int]:
    """The processes of a session that a fork server made, which is the grandchild's place."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] not in "ZX":
                    parents[int(folder.name)] = int(fields[1])
    return sorted(pid for pid, parent in parents.items() if parents.get(parent) == leader)


def catches(pid: int, signum: int) -> bool:
    """Whether a process handles a signal by now, or is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    mask = next(line.split()[1] for line in text.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (signum - 1) & 1)


def wait(child: subprocess.Popen[bytes], deadline_s: float) -> tuple[int, int]:
    """Exit code and peak resident bytes of a child."""
    late = threading.Event()

    def end() -> None:
        late.set()
        end_group(child.pid)

    watchdog = threading.Timer(deadline_s, end)
    watchdog.start()
    _, status, usage = os.wait4(child.pid, 0)
    watchdog.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    if late.is_set():
        raise TimeoutError(f"{child.args!r} did not end in {deadline_s} s")
    return child.returncode, peak_memory(usage)


def peak_memory(usage: resource.struct_rusage) -> int:
    """Peak resident bytes; the system counts kilobytes, but for Apple's."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
