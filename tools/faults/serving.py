"""The server half of `nursery`: imports `mrigan` once, then forks a child for every line."""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from faults.children import DEADLINE_S, peak_memory

PRELOAD = (
    "mri_gan.cli.main",
    "mri_gan.cli.data.prepare",
    "mri_gan.cli.data.info",
    "mri_gan.cli.data.check",
    "mri_gan.ingest.run.prepare",
    "mri_gan.store.companions",
    "mri_gan.ingest.read.volume",
    "mri_gan.store.check",
    "pydicom",
    "rich.table",
)


def _serve() -> None:
    for name in PRELOAD:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        task = json.loads(line)
        begin = time.monotonic()
        child = os.fork()
        if child == 0:
            _live(task)
        status, late, usage = _wait(child)
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "seconds": time.monotonic() - begin,
            "memory": peak_memory(usage),
            "late": late,
        }
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _wait(child: int) -> tuple[int, bool, resource.struct_rusage]:
    late = False

    def end(_signum: int, _frame: FrameType | None) -> None:
        nonlocal late
        late = True
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    _, status, usage = os.wait4(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return status, late, usage


def _live(task: dict[str, Any]) -> None:
    """The life of one child; never returns."""
    code = 70
    try:
        for number, name in ((1, "o"), (2, "e")):
            file = os.open(Path(task["folder"]) / name, os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(file, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if task["cwd"]:
            os.chdir(task["cwd"])
        for limit, value in task["limits"]:
            resource.setrlimit(limit, (value, value))
        sys.argv = ["mrigan", *task["arguments"]]
        if task["run"]:
            exec(task["run"], {"__name__": "__main__"})  # our own tests' code
        else:
            from mri_gan.cli.entry import main

            main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
