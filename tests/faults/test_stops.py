"""Ctrl-C and SIGTERM at any moment: the process ends soon, says how to go on, and can."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faults
import phantoms
import pytest
from faults import Nursery

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="not tried: needs ptrace and /proc, which Linux has"
)

N_POINTS = 20
FEW = 2
GO_ON = "run the same command again to continue"


@dataclass(frozen=True)
class Case:
    """A folder of sources, the digest of their undisturbed store, and how long it takes."""

    sources: Path
    digest: str
    seconds: float


@pytest.fixture(scope="module")
def case(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Slices and a volume that takes a worker long: the next safe point may be far away."""
    folder = tmp_path_factory.mktemp("stops")
    large = phantoms.nifti_bytes(
        phantoms.ball_volume((192, 192, 192), (1, 1, 1), 80), dtype="int16"
    )
    files = phantoms.slice_files(people=8, slices=4) | {"sub99/scan.nii": large}
    sources = phantoms.write_folder(folder / "sources", files)
    done = faults.run(*faults.mrigan("prepare", sources, "--out", folder / "s", "-q"))
    assert done.code == 0, done.err
    return Case(sources, faults.digest(nursery, folder / "s"), done.seconds)


def stop_at(
    case: Case, out: Path, share: float, signum: int, workers: int
) -> tuple[faults.Ended, list[str], float]:
    """Stop a run after a share of its time; gives its end, its command and how long it took."""
    command = faults.mrigan("prepare", case.sources, "--out", out, "-q", "--workers", str(workers))
    moments: list[float] = []
    # A terminal sends Ctrl-C to all processes of a job, a batch system SIGTERM to the first.
    group = signum == signal.SIGINT
    hurt = faults.send_after(
        share * case.seconds, signum, once_ready=True, group=group, moments=moments
    )
    ended = faults.run(*command, hurt=hurt)
    return ended, command, ended.ended - moments[0]


def stop_everywhere(
    nursery: Nursery, case: Case, folder: Path, count: int, tell: Callable[[str], None]
) -> int:
    """Stop runs at `count` moments from their first to their last; gives how many were hit."""
    hits, longest = 0, 0.0
    for n in range(4 * count):
        signum = (signal.SIGINT, signal.SIGTERM)[n % 2]
        out = folder / str(n)
        ended, command, seconds = stop_at(case, out, n % count / count, signum, n // 2 % 3)
        if ended.code != 0:  # else it was done before
            assert ended.code == 128 + signum, ended.err
            assert ended.err.count("\n") == 1, ended.err
            assert ended.complaints[0].endswith(GO_ON)
            hits += 1
            longest = max(longest, seconds)
        assert faults.run(*command).code == 0
        assert faults.holds(nursery, out, case.digest)
        if hits == count:
            break
    tell(f"stops: {hits} signals, the slowest end took {longest:.2f} s")
    return hits


def test_a_log_out_does_not_end_what_nohup_started(
    nursery: Nursery, case: Case, tmp_path: Path
) -> None:
    arguments = ("prepare", case.sources, "--out", tmp_path / "s", "-q", "--workers", "0")
    hurt = faults.send_after(0.1, signal.SIGHUP, once_ready=True)
    ended = faults.run("/usr/bin/env", "nohup", *faults.mrigan(*arguments), hurt=hurt)
    assert ended.code == 0, ended.err
    assert faults.holds(nursery, tmp_path / "s", case.digest)


def test_stopped_at_some_moments(
    nursery: Nursery, case: Case, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    assert stop_everywhere(nursery, case, tmp_path, FEW, tell) == FEW


@pytest.mark.slow
def test_stopped_at_20_moments(
    nursery: Nursery, case: Case, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    assert stop_everywhere(nursery, case, tmp_path, N_POINTS, tell) == N_POINTS
