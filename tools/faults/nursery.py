"""A process that has imported `mrigan` and forks a child for every command: many cases, fast.

Each case is a fresh process with limits of its own, and costs a few milliseconds instead of the
half second that Python and its libraries need to start.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

from faults.children import DEADLINE_S, Ended, child_environment


class Nursery:
    """`nursery("prepare", ...)` runs a `mrigan` command in a forked child, and how it ended."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "faults.serving"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(),
            text=True,
        )

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        return self._server.stdin, self._server.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        stdin, stdout = self._pipes()
        stdin.close()
        self._server.wait()
        stdout.close()

    def __call__(
        self,
        *arguments: str | Path,
        limits: Mapping[int, int] | None = None,
        cwd: Path | None = None,
        run: str = "",
    ) -> Ended:
        """Run `mrigan ARGUMENTS`, or the Python code `run` with the arguments in `sys.argv`."""
        stdin, stdout = self._pipes()
        with tempfile.TemporaryDirectory() as folder:
            task = {
                "arguments": [str(argument) for argument in arguments],
                "limits": [[name, value] for name, value in (limits or {}).items()],
                "cwd": str(cwd) if cwd else "",
                "folder": folder,
                "run": run,
            }
            stdin.write(json.dumps(task) + "\n")
            stdin.flush()
            answer = json.loads(stdout.readline())
            out, err = (
                (Path(folder) / name).read_bytes().decode(errors="replace") for name in "oe"
            )
            if answer.pop("late"):
                raise TimeoutError(f"{arguments} did not end in {DEADLINE_S} s")
            return Ended(out=out, err=err, **answer)
