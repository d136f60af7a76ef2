"""Broken files among good ones: each is one line and counted, the good ones are in the store."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import faults
import phantoms
import pytest
from faults import Nursery
from phantoms.malformed import malformed

N_INPUTS = 200
N_FLIPS = 200
GIB = 1 << 30
GOOD = 4  # good slices beside every broken input


def make_link(path: Path, target: str) -> None:
    path.symlink_to(target)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


# Things in a folder that are no files.
ODD_FILES: dict[str, Callable[[Path], None]] = {
    "link to nothing": lambda path: make_link(path, "gone.png"),
    "link to itself": lambda path: make_link(path, path.name),
    "link to a device": lambda path: make_link(path, "/dev/zero"),
    "link to a folder's file": lambda path: make_link(path, "/proc/self/mem"),
    "pipe": make_pipe,
}


def write_broken(files: Mapping[str, bytes], sources: Path) -> None:
    phantoms.write_folder(sources, files)


def make_odd(make: Callable[[Path], None], sources: Path) -> None:
    make(sources / "bad.png")


@contextmanager
def good_folder(folder: Path) -> Iterator[Path]:
    """A folder of good slices, to put something broken into."""
    sources = folder / "set"
    phantoms.write_folder(sources, phantoms.slice_files(people=2, slices=2, size=32))
    yield sources


def complaint_of(nursery: Nursery, sources: Path) -> tuple[str, faults.Ended]:
    """What is wrong with how a folder with something broken was prepared, '' when nothing is."""
    out = sources.parent / "store"
    ended = nursery("prepare", sources, "--out", out, "--workers", "0", "-q")
    if ended.code != 1:
        return f"exit code {ended.code}: {ended.err}", ended
    if len(ended.err.splitlines()) != 1 or len(ended.complaints) != 1:
        return f"not one line: {ended.err}", ended
    if "bad" not in ended.complaints[0]:
        return f"does not name it: {ended.err}", ended
    facts = json.loads(nursery("info", out, "--json").out)
    counted = facts["skipped"].get("damaged", 0) + len(facts["unlisted"])
    if facts["slices"] != GOOD or counted < 1:
        return f"{facts['slices']} slices, {counted} counted", ended
    if ended.memory > GIB:
        return f"{ended.memory >> 20} MiB of memory", ended
    return "", ended


def refuse_all(
    nursery: Nursery, folder: Path, every: int, tell: Callable[[str], None]
) -> tuple[int, list[str]]:
    """Every n-th malformed input; gives how many were tried and what went wrong."""
    makers = [(name, functools.partial(write_broken, files)) for name, files in malformed()]
    makers += [(name, functools.partial(make_odd, make)) for name, make in ODD_FILES.items()]
    wrong: list[str] = []
    ends: list[tuple[float, int]] = []
    for number, (name, make) in enumerate(makers[::every]):
        with good_folder(folder / str(number)) as sources:
            make(sources)
            what, ended = complaint_of(nursery, sources)
            ends.append((ended.seconds, ended.memory >> 20))
            if what:
                wrong.append(f"{name}: {what}")
    seconds, memory = max(ends)[0], max(memory for _, memory in ends)
    tell(f"malformed: {len(ends)} inputs, at most {seconds:.2f} s and {memory} MiB")
    return len(ends), wrong


def test_some_malformed_inputs(
    nursery: Nursery, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    ran, wrong = refuse_all(nursery, tmp_path, 10, tell)
    assert not wrong, "\n".join(wrong)
    assert ran >= N_INPUTS // 10


@pytest.mark.slow
def test_200_malformed_inputs(
    nursery: Nursery, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    ran, wrong = refuse_all(nursery, tmp_path, 1, tell)
    assert not wrong, "\n".join(wrong)
    assert ran >= N_INPUTS
