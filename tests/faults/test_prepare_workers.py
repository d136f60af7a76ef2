"""A worker that is killed, crashes or runs out of memory: no hang, nothing lost, all told."""

from __future__ import annotations

import json
import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import faults
import phantoms
import pytest
from faults import Nursery
from faults.hooks.sitecustomize import WAYS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="not tried: needs ptrace and /proc, which Linux has"
)

N_KILLS = 20
DEADLY = ("slice_2", "scan")  # an image among others in a task, a volume


@dataclass(frozen=True)
class Case:
    """Sources, and the digest and time of their undisturbed store."""

    sources: Path
    digest: str
    seconds: float


def make_case(nursery: Nursery, folder: Path, broken: str) -> Case:
    """Slices and a volume; those whose name holds `broken` are no pictures."""
    volume = phantoms.nifti_bytes(phantoms.brain_volume((12, 14, 10)))
    files = phantoms.slice_files(people=3, slices=20, size=128) | {"sub01/scan.nii": volume}
    for name in files:
        if broken and broken in name and name.startswith("sub01"):
            files[name] = b"broken"
    sources = phantoms.write_folder(folder / "set", files)
    done = faults.run(
        *faults.mrigan("prepare", sources, "--out", folder / "s", "-q", "--workers", "2")
    )
    assert done.code == bool(broken), done.err
    return Case(sources, faults.digest(nursery, folder / "s"), done.seconds)


@pytest.fixture(scope="module")
def case(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(nursery, tmp_path_factory.mktemp("workers"), "")


def kill_from_outside(nursery: Nursery, case: Case, folder: Path, count: int) -> int:
    """Kill some worker at a random moment; the store is as if nothing had happened."""
    draw = random.Random(5)
    for n in range(count):
        out = folder / f"outside-{n}"
        command = faults.mrigan("prepare", case.sources, "--out", out, "-q", "--workers", "2")
        hurt = faults.kill_a_worker(draw.uniform(0, 0.6) * case.seconds, draw.randrange(2))
        ended = faults.run(*command, hurt=hurt)
        assert ended.code == 0, ended.err
        assert faults.holds(nursery, out, case.digest)
    return count


def kill_by_source(nursery: Nursery, case: Case, folder: Path, member: str, way: str) -> int:
    """A source that kills whoever reads it is left out and named, as one that is damaged."""
    expected = make_case(nursery, folder / "expected", f"{member}.")
    out = folder / "out"
    ended = faults.run(
        *faults.mrigan("prepare", case.sources, "--out", out, "-q", "--workers", "2"),
        environment={
            "PYTHONPATH": os.pathsep.join([str(faults.HOOKS), *faults.python_path()]),
            "FAULT_MEMBER": f"sub01/{member}.",
            "FAULT_WAY": way,
        },
    )
    assert (ended.code, len(ended.complaints), ended.err.count("\n")) == (1, 1, 1), ended.err
    assert f"sub01/{member}." in ended.complaints[0]
    assert "memory" in ended.complaints[0]
    facts = json.loads(nursery("info", out, "--json").out)
    assert facts["skipped"] == {"damaged": 1}
    assert faults.holds(nursery, out, expected.digest)
    return 1


def test_a_kill_of_each_kind(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    assert kill_from_outside(nursery, case, tmp_path, 1) == 1
    assert kill_by_source(nursery, case, tmp_path, DEADLY[0], "kill") == 1


@pytest.mark.slow
def test_20_kills(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    ran = kill_from_outside(nursery, case, tmp_path, 10)
    for member in DEADLY:
        for way in WAYS:
            ran += kill_by_source(nursery, case, tmp_path / f"{member}-{way}", member, way)
    assert ran == N_KILLS
