"""Results come in order, whatever the workers do and even when they die."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phantoms
import pytest

from mri_gan.ingest.run.workers import WINDOW, OrderedPool, available_cpus, open_engine

# Workers import their function by name, so it lives in a module of its own.
WORK = '''
import os, signal, time

def square(chunk):
    return [n * n for n in chunk]

def slow_first(chunk):
    if 0 in chunk:
        time.sleep(0.3)
    return square(chunk)

def deadly(chunk):
    """Dies on 5 and on 11, as a decoder would that runs out of memory."""
    if 5 in chunk or 11 in chunk:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(chunk)

def failing(chunk):
    raise ValueError("a bug in the function")

def pids(chunk):
    time.sleep(0.05)
    return [os.getpid() for _ in chunk]
'''

ORPHANS = """
import time
from pool_work import pids
from mri_gan.ingest.run.workers import open_engine
from mri_gan.ingest.run.workers import OrderedPool
if __name__ == "__main__":
    with open_engine(2, "mri_gan.errors") as engine:
        found = {pid for _, pid in OrderedPool(pids, id, engine).map([[i] for i in range(12)])}
        print(*found, flush=True)
        time.sleep(60)
"""

CHUNKS = [[0, 1, 2], [3], [4, 5, 6, 7], [8, 9], [10, 11, 12], [13]]
ITEMS = [item for chunk in CHUNKS for item in chunk]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "pool_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("pool_work")
    del sys.modules["pool_work"]


def mapped(function: Any, workers: int, chunks: Any = CHUNKS) -> list[tuple[int, int]]:
    with open_engine(workers, "mri_gan.errors") as engine:
        return list(OrderedPool[int, int](function, lambda item: -item, engine).map(chunks))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_the_order_of_the_items(work: Any, workers: int) -> None:
    assert mapped(work.slow_first, workers) == [(n, n * n) for n in ITEMS]


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_to_do_gives_nothing(work: Any, workers: int) -> None:
    assert mapped(work.square, workers, []) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_deadly_item_costs_nothing_but_itself(work: Any, workers: int) -> None:
    expected = [(n, -n if n in (5, 11) else n * n) for n in ITEMS]
    assert mapped(work.deadly, workers) == expected


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_in_the_function_is_not_hidden(work: Any, workers: int) -> None:
    with pytest.raises(ValueError, match="a bug in the function"):
        mapped(work.failing, workers)


def test_no_workers_means_this_process(work: Any) -> None:
    assert {pid for _, pid in mapped(work.pids, 0)} == {os.getpid()}


def test_workers_are_other_processes(work: Any) -> None:
    assert os.getpid() not in {pid for _, pid in mapped(work.pids, 2)}


@pytest.mark.parametrize("lack", ["module", "constant", "right"])
def test_wider_pipes_are_no_condition(
    work: Any, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    """Windows has no `fcntl`, macOS no such constant, and some systems do not allow it."""
    import fcntl

    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    if lack == "module":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    elif lack == "constant":
        monkeypatch.delattr(fcntl, "F_SETPIPE_SZ")
    else:
        monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert mapped(work.square, 1) == [(n, n * n) for n in ITEMS]


def test_chunks_are_asked_for_as_they_are_needed(work: Any) -> None:
    """An endless list of chunks needs no endless memory."""
    asked: list[int] = []

    def endless() -> Iterator[list[int]]:
        while True:
            asked.append(len(asked))
            yield [len(asked)]

    with open_engine(1, "mri_gan.errors") as engine:
        pool = OrderedPool[int, int](work.square, abs, engine, lambda _: WINDOW // 4)
        results = pool.map(endless())
        assert [next(results) for _ in range(3)] == [(1, 1), (2, 4), (3, 9)]
        assert len(asked) < 10


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_do_not_outlive_a_killed_parent(work: Any, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(ORPHANS)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert workers
        assert all(map(alive, workers))
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))


def test_at_least_one_cpu_is_available() -> None:
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)


def test_a_script_without_a_main_guard_is_told_at_once(tmp_path: Path) -> None:
    """Its workers would run the script again, item after item, and blame every source."""
    scans = phantoms.slices_folder(tmp_path / "scans")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom mri_gan.cli.main import cli\n"
        f"sys.argv[1:] = ['prepare', {str(scans)!r}, '--out', {str(tmp_path / 'S')!r}]\n"
        "cli(prog_name='mrigan')\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert (
        "mrigan: worker processes cannot start: use no workers (0), or put what a script"
        in done.stderr
    )


def test_a_script_that_calls_prepare_without_one_says_it_once(tmp_path: Path) -> None:
    phantoms.slices_folder(tmp_path / "scans")
    script = tmp_path / "script.py"
    script.write_text("import mri_gan as mg\nmg.prepare('scans', 'S', workers=2)\n")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "worker processes cannot start" in done.stderr.splitlines()[-1]


def test_a_script_that_is_piped_in_is_to_be_saved_as_a_file(tmp_path: Path) -> None:
    phantoms.slices_folder(tmp_path / "scans")
    script = b"import mri_gan as mg\nmg.prepare('scans', 'S', workers=2)\n"
    words = [sys.executable, "-"]
    done = subprocess.run(words, input=script, capture_output=True, timeout=300, cwd=tmp_path)
    told = b"worker processes cannot start: use no workers (0), or save the script as a file"
    assert (done.returncode, told in done.stderr.splitlines()[-1]) == (1, True)
