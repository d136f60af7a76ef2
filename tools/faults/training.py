"""Training runs in child processes that are killed, signalled or starved where a test says.

The children are forked by a server that holds torch in memory already, so that one costs a second
and not ten. Each runs the real command line with the faults planted that a test names; a fault is
a function of this module, wrapped in `functools.partial` so that it can travel to the child.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.disks import small_files

Fault = Callable[[], None]

PRELOAD = [
    "torch._dynamo",  # which building an optimiser imports
    "mri_gan.cli.main",
    "mri_gan.cli.training.train",
    "mri_gan.store.reader",
    "mri_gan.train.loop",
]
# The smallest run that has two levels, a fade between nimg 48 and 96, and six checkpoints.
SMALL = (
    *("--max-size", "16", "--phase", "48", "--batch", "8", "--capacity", "0.015625"),
    *("--latent-dim", "16", "--mixing", "--snap", "0.024", "--keep", "100", "--quiet"),
)
SMALL_END = 144  # its images in all
WAIT_S = 900  # a busy machine may need minutes for seconds


@dataclass(frozen=True)
class Child:
    """A `mrigan` command that runs in a process of its own, and the file it prints to."""

    process: Any
    log: Path

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def wait(self) -> int:
        """Its exit code, or minus the signal that killed it."""
        self.process.join(WAIT_S)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"still running after {WAIT_S} s: {self.printed()}")
        return int(self.process.exitcode)

    def printed(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def start(words: Iterable[object], log: Path, *faults: Fault) -> Child:
    """Run `mrigan WORDS` in a child with the faults planted; its output goes to the end of `log`.

    The loss plot is left out, which costs more than the rest of so short a run.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    arguments = ([str(word) for word in words], log, faults)
    process = context.Process(target=_serve, args=arguments)
    process.start()
    return Child(process, log)


def run(words: Iterable[object], log: Path, *faults: Fault) -> int:
    """The exit code of `start`, which see."""
    return start(words, log, *faults).wait()


def _serve(words: Sequence[str], log: Path, faults: Sequence[Fault]) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    without_plots()
    for plant in faults:
        plant()
    sys.argv = ["mrigan", *words]
    from mri_gan.cli.entry import main

    main()


def put(owner: Any, name: str, value: Any) -> None:
    """Replace what a module or class calls by that name, for the rest of this process.

    Raises AttributeError where it calls nothing so: the fault would never happen.
    """
    getattr(owner, name)
    setattr(owner, name, value)


def wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Have calls of that name go to `around(clean, *args, **choices)`."""
    put(owner, name, functools.partial(around, getattr(owner, name)))


def without_plots() -> None:
    """Leave out the loss plot."""
    from mri_gan.train import run_folder

    put(run_folder, "draw_losses", lambda *_: None)


def die() -> None:
    """What a power cut leaves of this process: nothing."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(nimg: int, act: Callable[[], None]) -> None:
    """Act when the step begins that follows `nimg` images."""
    from mri_gan.train import loop

    def step(clean: Any, state: Any, *args: Any, **choices: Any) -> Any:
        if state.nimg == nimg:
            act()
        return clean(state, *args, **choices)

    wrap(loop, "train_step", step)


def kill_after(nimg: int, delay_s: float) -> None:
    """Die that long after the step at `nimg` begins; below zero: after training begins.

    The timer's thread is waited for when the run ends before, so the death is sure.
    """
    timer = threading.Timer(delay_s, die)
    if nimg >= 0:
        at_step(nimg, timer.start)
        return
    from mri_gan.train import loop

    def train(clean: Any, *args: Any) -> Any:
        timer.start()
        return clean(*args)

    wrap(loop, "train", train)


def signal_at(nimg: int, signum: int) -> None:
    """Have a signal arrive in the middle of the step that follows `nimg` images."""
    at_step(nimg, lambda: os.kill(os.getpid(), signum))


def signal_in_save(save: int, signum: int) -> None:
    """Have a signal arrive while the `save`-th checkpoint is being written."""

    def interrupted(write: Any) -> Any:
        def write_and_signal(stream: Any) -> None:
            os.kill(os.getpid(), signum)
            write(stream)

        return write_and_signal

    in_save(save, interrupted)


def perturb(scale: float) -> None:
    """Change the first gradient of a run as rounding might: by this share of itself."""
    from mri_gan.train import step

    def average(clean: Any, world: Any, tensors: Any) -> None:
        clean(world, tensors)
        for tensor in tensors:
            tensor.mul_(1 + scale)

    wrap(step, "average", average)


def limit_files(n_bytes: int) -> None:
    """Let no file grow beyond so many bytes."""
    for name, value in small_files(n_bytes).items():
        resource.setrlimit(name, (value, value))


class DyingStream:
    """Counts the writes to a stream, and dies in the middle of the `last`-th, counted from 1."""

    def __init__(self, stream: Any = None, last: int = 0) -> None:
        self._stream, self._last = stream, last
        self.count = 0

    def write(self, data: Any) -> int:
        """Pass the bytes on, or half of them."""
        self.count += 1
        if self._stream is None:
            return len(data)
        if self.count == self._last:
            self._stream.write(memoryview(data)[: len(data) // 2])
            self._stream.flush()
            die()
        return int(self._stream.write(data))

    def flush(self) -> None:
        """Pass it on."""
        if self._stream is not None:
            self._stream.flush()


def in_save(save: int, change: Callable[[Any], Any]) -> None:
    """Have the `save`-th checkpoint written by `change(write)` instead of `write`."""
    from mri_gan import checkpoint

    counts = [0]

    def write_atomic(clean: Any, path: Path, write: Any, *size: int) -> None:
        counts[0] += 1
        clean(path, change(write) if counts[0] == save else write, *size)

    wrap(checkpoint, "write_atomic", write_atomic)


def kill_in_save(save: int, share: float) -> None:
    """Die in the middle of a write of the `save`-th checkpoint: its first (share 0) to last (1)."""

    def write_half(write: Any) -> Any:
        dry = DyingStream()
        write(dry)
        last = 1 + round(share * (dry.count - 1))
        return lambda stream: write(DyingStream(stream, last))

    in_save(save, write_half)


def kill_around_save(save: int, moment: str) -> None:
    """Die in the `save`-th checkpoint at a moment that is no write; AROUND lists them."""
    from mri_gan import checkpoint, files, pictures

    def die_here(*_: object) -> None:
        die()

    places = {
        "before the file is synced": (os, "fsync"),
        "before the rename": (Path, "replace"),
        "after the rename": (files, "sync_folder"),
        "before an old one is deleted": (checkpoint, "delete_old"),
        "in the sample grid": (pictures, "save_png"),
    }

    def prepare_to_die(write: Any) -> Any:
        put(*places[moment], die_here)
        return write

    in_save(save, prepare_to_die)


AROUND = (
    "before the file is synced",
    "before the rename",
    "after the rename",
    "before an old one is deleted",
    "in the sample grid",
)


def states(folder: Path) -> dict[str, str]:
    """The digest of everything in each checkpoint: weights, running mean, optimisers, attempt."""
    from mri_gan.checkpoint import digest, list_checkpoints, load_checkpoint

    return {path.name: digest(load_checkpoint(path).state) for path in list_checkpoints(folder)}


def problems_after(
    words: Iterable[object], folder: Path, expected: dict[str, str], fault: Fault
) -> list[str]:
    """What went wrong when a run was killed by the fault and the same command was run again."""
    folder.mkdir()
    words, out, log = [*words, "--out", folder / "run"], folder / "run", folder / "log"
    found = []
    if (code := run(words, log, fault)) != -9:
        found.append(f"{fault}: ended with {code} instead of being killed")
    if not states(out).items() <= expected.items():
        found.append(f"{fault}: left a checkpoint that differs")
    if (code := run(words, log)) != 0:
        found.append(f"{fault}: the second call ended with {code}")
    if states(out) != expected:
        found.append(f"{fault}: ended with other bits")
    if litter := [path.name for path in out.rglob("*.tmp")]:
        found.append(f"{fault}: left {litter}")
    if "Traceback" in log.read_text():
        found.append(f"{fault}: {log.read_text()}")
    return found
