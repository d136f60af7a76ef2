"""Archives made to do harm: nothing is written outside of --out, and little memory is used."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import faults
import pytest
from faults import Nursery
from phantoms.hostile import hostile

N_MEMBERS = 40
GIB = 1 << 30
WATCHED = (Path("/tmp"), Path("/"), Path.home())  # where the names lead


def snapshot(folder: Path, out: Path) -> dict[str, int]:
    """What lies around: all below the folder but in `out`, and names in the places watched."""
    found = {
        str(path): path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if out not in (path, *path.parents)
    }
    for place in WATCHED:
        found |= {str(path): 0 for path in place.glob("*outside*")}
    return found


def harm(nursery: Nursery, work: Path, source: Path) -> tuple[str, faults.Ended]:
    """What is wrong with how an archive was prepared, '' when nothing is."""
    out = work / "out"
    out.mkdir()
    before = snapshot(work, out)
    ended = nursery(
        *("prepare", source, "--out", out, "--workers", "0", "-q"),
        limits={resource.RLIMIT_AS: 4 * GIB},
        cwd=work,
    )
    if snapshot(work, out) != before:
        return "written outside", ended
    if ended.code not in (0, 1) or "Traceback" in ended.err or len(ended.err.splitlines()) > 1:
        return f"exit code {ended.code}: {ended.err[-500:]}", ended
    if any(not c.isprintable() for c in ended.err.rstrip("\n")):
        return f"control codes reach the terminal: {ended.err!r}", ended
    if ended.memory > GIB:
        return f"{ended.memory >> 20} MiB of memory", ended
    if faults.leftovers(out):
        return f"left in the store: {faults.leftovers(out)}", ended
    facts = json.loads(nursery("info", out, "--json").out)
    manifest = (out / "manifest.tsv").read_text().splitlines()
    if len(manifest) != facts["slices"] + 1:
        return f"{len(manifest)} lines for {facts['slices']} slices", ended
    return "" if facts["slices"] >= 1 else "the good slice is not in it", ended


def try_all(
    nursery: Nursery, folder: Path, every: int, tell: Callable[[str], None]
) -> tuple[int, list[str]]:
    """Every n-th archive; gives how many were tried and what went wrong."""
    wrong: list[str] = []
    seconds, memory, ran = 0.0, 0, 0
    for number, (kind, suffix, data) in list(enumerate(hostile()))[::every]:
        work = folder / str(number) / "a" / "b"
        work.mkdir(parents=True)
        source = work / f"archive{suffix}"
        source.write_bytes(data)
        what, ended = harm(nursery, work, source)
        seconds, memory = max(seconds, ended.seconds), max(memory, ended.memory >> 20)
        ran += 1
        if what:
            wrong.append(f"{kind}: {what}")
    tell(f"hostile: {ran} archives, at most {seconds:.2f} s and {memory} MiB")
    return ran, wrong


def test_some_hostile_archives(
    nursery: Nursery, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    ran, wrong = try_all(nursery, tmp_path, 5, tell)
    assert not wrong, "\n".join(wrong)
    assert ran == N_MEMBERS // 5


@pytest.mark.slow
def test_40_hostile_archives(nursery: Nursery, tmp_path: Path, tell: Callable[[str], None]) -> None:
    ran, wrong = try_all(nursery, tmp_path, 1, tell)
    assert not wrong, "\n".join(wrong)
    assert ran == N_MEMBERS
