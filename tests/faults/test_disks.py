"""A full disk is told in one line; what was committed stays, and the same command goes on later."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faults
import lmdb
import phantoms
import pytest
from faults import Nursery
from faults.disks import grow_disk

N_SIZES = 20
GIB = 1 << 30
MAX_OVERHEAD = 1.3  # bytes on disk per byte of what is kept
ENOUGH = 64 << 20


@dataclass(frozen=True)
class Case:
    """Sources, and the digest and size of their undisturbed store."""

    sources: Path
    digest: str
    n_bytes: int

    def command(self, out: Path) -> list[str]:
        arguments = ("prepare", self.sources, "--out", out, "-q", "--workers", "0")
        return faults.mrigan(*arguments, prelude=faults.SMALL_BATCHES)


@pytest.fixture(scope="module")
def case(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("disks")
    sources = phantoms.slices_folder(folder / "sources", people=6, slices=3, size=100)
    done = faults.run(*Case(sources, "", 0).command(folder / "s"))
    assert done.code == 0, done.err
    n_bytes = sum(file.stat().st_size for file in (folder / "s").iterdir())
    return Case(sources, faults.digest(nursery, folder / "s"), n_bytes)


def committed(folder: Path) -> int:
    """How many sources an unfinished store holds."""
    file = folder / "data.mdb"
    if not file.exists() or file.stat().st_size < 3 * 4096:
        return 0
    with lmdb.open(str(folder), readonly=True, lock=False, max_dbs=16) as env, env.begin() as txn:
        try:
            progress = txn.get(b"progress", db=env.open_db(b"meta", txn, create=False))
        except lmdb.NotFoundError:
            return 0
        return int(json.loads(progress.split(b"\n")[0])["sources"]) if progress else 0


def assert_told(ended: faults.Ended, folder: Path) -> None:
    """One line with the path, what is wrong, and how many bytes are needed."""
    assert (ended.code, ended.err.count("\n"), len(ended.complaints)) == (1, 1, 1), ended.err
    assert str(folder) in ended.err
    assert re.search(r"needs (about )?[\d,.]+ (bytes|[KMG]i?B)", ended.err), ended.err


def fill(nursery: Nursery, case: Case, disk: Path, n_bytes: int) -> int:
    """Run into a disk of this size, make room, go on; gives what was committed by then."""
    out = disk / "s"
    with faults.small_disk(disk, n_bytes):
        assert_told(faults.run(*case.command(out)), disk)
        before = committed(out)
        again = faults.run(*case.command(out))  # still full: nothing gets lost by trying
        assert_told(again, disk)
        assert committed(out) >= before
        grow_disk(disk, ENOUGH)
        done = faults.run(*case.command(out))
        assert done.code == 0, done.err
        assert faults.holds(nursery, out, case.digest)
        assert faults.leftovers(out) == set()
    return before


def fill_by_limit(nursery: Nursery, case: Case, out: Path, n_bytes: int) -> int:
    """As `fill`, for those who may not mount: no file may grow beyond the size."""
    ended = faults.run(*case.command(out), limits=faults.small_files(n_bytes))
    assert_told(ended, out)
    before = committed(out)
    assert faults.run(*case.command(out)).code == 0
    assert faults.holds(nursery, out, case.digest)
    return before


def sizes(case: Case, count: int) -> list[int]:
    """From a single page to nearly all that is needed."""
    most = int(0.9 * case.n_bytes)
    return [4096 + (most - 4096) * i // (count - 1) for i in range(count)]


def fill_all(nursery: Nursery, case: Case, folder: Path, count: int) -> list[int]:
    """What was committed at every size; by limits where no disk can be mounted."""
    way = fill if os.geteuid() == 0 else fill_by_limit
    return [way(nursery, case, folder / str(size), size) for size in sizes(case, count)]


def test_files_that_may_not_grow(nursery: Nursery, case: Case, tmp_path: Path) -> None:
    before = [fill_by_limit(nursery, case, tmp_path / str(n), n) for n in (8192, case.n_bytes // 2)]
    assert before[0] == 0
    assert before[1] > 0


@pytest.mark.slow
def test_20_disk_sizes(
    nursery: Nursery, case: Case, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    before = fill_all(nursery, case, tmp_path, N_SIZES)
    tell(f"disks: {len(before)} sizes, {sum(n > 0 for n in before)} of them with work to keep")
    assert len(before) == N_SIZES
    assert before == sorted(before)
    assert sum(n > 0 for n in before) > N_SIZES // 2


def test_it_works_under_8_gib_of_addresses_with_little_overhead(
    nursery: Nursery, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    files = phantoms.oasis_course_files({"train": 6, "test": 2}, slices=6, masks=False, size=256)
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    out = tmp_path / "s"
    import resource

    limits = {resource.RLIMIT_AS: 8 * GIB}
    for arguments in (
        ("prepare", archive, "--out", out, "-q", "--workers", "2"),
        ("info", out),
        ("check", out, "-q"),
        ("export", out, "--format", "png", "--out", tmp_path / "png", "-q"),
    ):
        done = faults.run(*faults.mrigan(*arguments), limits=limits)
        assert done.code == 0, done.err
    facts = json.loads(nursery("check", out, "--json").out)
    on_disk = (out / "data.mdb").stat().st_blocks * 512
    overhead = on_disk / facts["stored_bytes"]
    tell(f"disk use: {overhead:.3f} times the payload ({facts['slices']} slices of 256 px)")
    assert facts["slices"] == len(files) == 48
    assert overhead <= MAX_OVERHEAD
