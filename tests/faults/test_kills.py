"""kill -9 anywhere, the same command again: the same store, bit for bit, as without the kill."""

from __future__ import annotations

import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import faults
import phantoms
import pytest
from faults import Nursery

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="not tried: needs ptrace and /proc, which Linux has"
)

N_WRITES, N_RANDOM, N_DOUBLE = 60, 50, 10
FEW = 4  # of each kind, in `make test`

# A commit for every few slices, so that a small archive has as many as a large one.
SMALL_BATCHES = (
    "from mri_gan.store import writer\nassert writer.BATCH_BYTES\nwriter.BATCH_BYTES = 1"
)


@dataclass(frozen=True)
class Case:
    """An archive, the digest of its undisturbed store, and how long that took."""

    archive: Path
    digest: str
    seconds: float

    def command(self, out: Path, *more: str) -> list[str]:
        sources = ("prepare", self.archive, "--out", out, "--quiet")
        return faults.mrigan(*sources, *more, prelude=faults.SMALL_BATCHES)


@pytest.fixture(scope="module")
def case(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Slices, a volume and a damaged member, whose undisturbed store gives the digest."""
    folder = tmp_path_factory.mktemp("kills")
    files = phantoms.oasis_course_files() | {
        "keras_png_slices_data/keras_png_slices_test/case_006.nii.gz": phantoms.nifti_bytes(
            phantoms.brain_volume((12, 14, 10)), gzip=True
        ),
        "keras_png_slices_data/keras_png_slices_test/case_006_slice_1.nii.png": b"no picture",
    }
    archive = phantoms.write_zip(folder / "a.zip", files)
    plain = faults.mrigan("prepare", archive, "--out", folder / "s", "--quiet")
    done = faults.run(*plain)
    assert done.code == 1, done.err  # one member is damaged
    return Case(archive, faults.digest(nursery, folder / "s"), done.seconds)


def assert_arrives(nursery: Nursery, case: Case, out: Path, *more: str) -> None:
    """The same command again ends well, with the same store and nothing beside it."""
    done = faults.run(*case.command(out, *more))
    assert (done.code, len(done.complaints)) == (1, 1), done.err
    assert "case_006_slice_1.nii.png" in done.complaints[0]
    assert faults.holds(nursery, out, case.digest)
    assert faults.leftovers(out) == set()


def points(count: int, total: int) -> list[int]:
    """`count` different numbers from 1 to `total`, evenly spread, both ends among them."""
    assert total >= count
    return sorted({1 + i * (total - 1) // (count - 1) for i in range(count)})


def kill_at_every(nursery: Nursery, case: Case, folder: Path, count: int) -> int:
    """Kill at `count` writes spread over a whole run; gives how many were tried."""
    faults.require_tracing()
    whole = faults.trace_writes(case.command(folder / "whole", "--workers", "0"), folder / "whole")
    assert whole.code == 1, whole.err
    ran = 0
    for n in points(count, len(whole.writes)):
        out = folder / f"at-{n}"
        command = case.command(out, "--workers", "0")
        killed = faults.kill_at_write(command, out, n)
        assert (killed.code, killed.writes) == (-signal.SIGKILL, whole.writes[:n])
        assert_arrives(nursery, case, out, "--workers", "0")
        ran += 1
    return ran


def kill_at_random(nursery: Nursery, case: Case, folder: Path, count: int) -> int:
    """Kill after random times with two workers; gives how many kills hit a running process."""
    times = random.Random(3)
    hits = 0
    for n in range(10 * count):
        out = folder / f"random-{n}"
        hurt = faults.send_after(times.uniform(0.1, 1.0) * case.seconds, signal.SIGKILL)
        killed = faults.run(*case.command(out, "--workers", "2"), hurt=hurt)
        hits += killed.code == -signal.SIGKILL
        assert_arrives(nursery, case, out, "--workers", "2")
        if hits == count:
            break
    return hits


def kill_twice(nursery: Nursery, case: Case, folder: Path, count: int) -> int:
    """Kill at one write, go on, kill at another; gives how many pairs were tried."""
    draw = random.Random(4)
    ran = 0
    for n in range(10 * count):
        out = folder / f"twice-{n}"
        command = case.command(out, "--workers", "0")
        kills = [faults.kill_at_write(command, out, draw.randint(5, 45)) for _ in range(2)]
        ran += all(kill.code == -signal.SIGKILL for kill in kills)
        assert_arrives(nursery, case, out, "--workers", "0")
        if ran == count:
            break
    return ran


def test_killed_at_some_writes_it_arrives(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    assert kill_at_every(nursery, case, tmp_path, FEW) == FEW


def test_killed_twice_it_arrives(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    assert kill_twice(nursery, case, tmp_path, 1) == 1


@pytest.mark.slow
def test_60_kills_at_the_nth_write(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    assert kill_at_every(nursery, case, tmp_path, N_WRITES) == N_WRITES


@pytest.mark.slow
def test_50_kills_at_random(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    assert kill_at_random(nursery, case, tmp_path, N_RANDOM) == N_RANDOM


@pytest.mark.slow
def test_10_double_kills(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    assert kill_twice(nursery, case, tmp_path, N_DOUBLE) == N_DOUBLE
