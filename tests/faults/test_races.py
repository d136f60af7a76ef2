"""One writer per store: others are told its process id, and a dead one is in nobody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import faults
import phantoms
import pytest
from faults import Nursery

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="not tried: needs ptrace and /proc, which Linux has"
)

N_RACES = 10
WAIT_S = 60.0


@dataclass(frozen=True)
class Case:
    """Sources, and the digest of their undisturbed store."""

    sources: Path
    digest: str


@pytest.fixture(scope="module")
def case(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Sources that take long enough to be met at work."""
    folder = tmp_path_factory.mktemp("races")
    sources = phantoms.slices_folder(folder / "sources", people=20, slices=5, size=200)
    assert nursery("prepare", sources, "--out", folder / "s", "-q").code == 0
    return Case(sources, faults.digest(nursery, folder / "s"))


@contextmanager
def writer(case: Case, out: Path, n_bytes: int) -> Iterator[subprocess.Popen[bytes]]:
    """A `prepare` that is stopped (as by Ctrl-Z) when its store has grown to a size."""
    command = faults.mrigan(
        "prepare", case.sources, "--out", out, "-q", "--workers", "0", prelude=faults.SMALL_BATCHES
    )
    with faults.start(command, subprocess.DEVNULL, subprocess.DEVNULL) as child:
        until = time.monotonic() + WAIT_S
        file = out / "data.mdb"
        while not file.exists() or file.stat().st_size < n_bytes:
            assert child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.001)
        os.kill(child.pid, signal.SIGSTOP)
        yield child


def finish(child: subprocess.Popen[bytes]) -> None:
    os.kill(child.pid, signal.SIGCONT)
    assert child.wait(WAIT_S) == 0


def is_refused(ended: faults.Ended, pid: int) -> bool:
    """Whether a command ended in one line that names the process."""
    return (ended.code, ended.err.count("\n")) == (1, 1) and f"(pid {pid} " in ended.err.replace(
        ")", " "
    )


def race_writers(nursery: Nursery, case: Case, out: Path, n_bytes: int, *more: str) -> None:
    """A second writer is refused, and the first is not disturbed."""
    with writer(case, out, n_bytes) as first:
        second = nursery("prepare", case.sources, "--out", out, "-q", *more)
        assert is_refused(second, first.pid), second.err
        finish(first)
    assert faults.holds(nursery, out, case.digest)


def race_readers(nursery: Nursery, case: Case, out: Path, n_bytes: int) -> None:
    """Readers of a store under way are refused, and read it when it is done."""
    with writer(case, out, n_bytes) as first:
        for look in (nursery("info", out), nursery("check", out), faults.contents(nursery, out)):
            assert is_refused(look, first.pid), look.err
        finish(first)
    assert faults.holds(nursery, out, case.digest)


def race_the_dead(nursery: Nursery, case: Case, out: Path, n_bytes: int) -> None:
    """A killed writer leaves an unfinished store, which the next one continues at once."""
    with writer(case, out, n_bytes) as first:
        first.kill()
        first.wait()
    look = nursery("info", out)
    assert look.code == 1
    assert "run the same `mrigan prepare` command again" in look.err
    assert nursery("prepare", case.sources, "--out", out, "-q").code == 0
    assert faults.holds(nursery, out, case.digest)


SIZES = (1, 200_000, 2_000_000)


def test_a_race_of_each_kind(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    race_writers(nursery, case, tmp_path / "a", SIZES[1])
    race_readers(nursery, case, tmp_path / "b", SIZES[1])
    race_the_dead(nursery, case, tmp_path / "c", SIZES[1])


@pytest.mark.slow
def test_10_races(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    races = 0
    for n, size in enumerate(SIZES):
        race_writers(nursery, case, tmp_path / f"a{n}", size)
        race_readers(nursery, case, tmp_path / f"b{n}", size)
        race_the_dead(nursery, case, tmp_path / f"c{n}", size)
        races += 3
    race_writers(nursery, case, tmp_path / "d", SIZES[1], "--overwrite")
    assert races + 1 == N_RACES
