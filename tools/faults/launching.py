"""Jobs of several processes started by `torchrun`, and ways to hurt one of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

Hurt = Callable[[subprocess.Popen[bytes]], None]


def torchrun(count: int, *words: object, options: tuple[str, ...] = ()) -> list[str]:
    """The command line that runs `mrigan WORDS` in `count` processes."""
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", *options)
    return [*launcher, f"--nproc-per-node={count}", "-m", "mri_gan", *map(str, words)]


def once(metrics: Path, lines: int, act: Hurt) -> Hurt:
    """For `run`: act when a training run has written that many lines of metrics."""

    def wait(child: subprocess.Popen[bytes]) -> None:
        while child.poll() is None:
            if metrics.exists() and metrics.read_bytes().count(b"\n") >= lines:
                act(child)
                return
            time.sleep(0.005)

    return wait


def rank_pids(launcher: int) -> dict[int, int]:
    """The processes of a job by rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    pids: dict[int, int] = {}
    for pid in map(int, children):
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if variable.startswith(b"RANK="):
                pids[int(variable[5:])] = pid
    return pids


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
