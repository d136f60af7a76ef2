"""Shared memory for results: whole or not used at all, and given back when it is done with."""

from __future__ import annotations

import gc
import importlib
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mri_gan.ingest.outcome import LARGE, Outcome
from mri_gan.ingest.run import local_processes
from mri_gan.ingest.run.local_processes import SLABS_PER_WORKER, ProcessEngine, Slabs, pack, unpack
from mri_gan.ingest.run.ordered_pool import OrderedPool, open_engine

IMAGE, SMALL = bytes(range(256)) * 40, b"\0small"
OUTCOMES = [
    Outcome([(b'{"a":1}', {8: SMALL, 128: IMAGE}), (b"{}", {128: IMAGE[::-1]})], empty=2),
    Outcome(kind="damaged", reason="cut short"),
]
WORK = """
import os, signal
from mri_gan.ingest.outcome import Outcome

def outcomes(chunk):
    return [Outcome([(b"{}", {256: bytes([n]) * 60_000, 8: b"small"})]) for n in chunk]

def deadly(chunk):
    if 7 in chunk:
        os.kill(os.getpid(), signal.SIGKILL)
    return outcomes(chunk)
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "slab_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("slab_work")
    del sys.modules["slab_work"]


def test_large_images_lie_in_the_slab_and_the_rest_is_sent() -> None:
    slab = memoryview(bytearray(100_000))
    parcel = pack(OUTCOMES, slab)
    assert parcel.lengths == (len(IMAGE), len(IMAGE))
    assert len(parcel.pickled) < LARGE
    found = unpack(parcel, slab)
    assert found == OUTCOMES
    assert isinstance(found[0].slices[0][1][128], memoryview)
    assert found[0].slices[0][1][8] == SMALL


@pytest.mark.parametrize("slab", [None, memoryview(bytearray(2 * len(IMAGE) - 1))])
def test_without_room_all_is_sent(slab: memoryview | None) -> None:
    parcel = pack(OUTCOMES, slab)
    assert parcel.lengths == ()
    assert unpack(parcel, slab) == OUTCOMES


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_outcomes_survive_any_way_of_pickling(protocol: int) -> None:
    assert pickle.loads(pickle.dumps(OUTCOMES, protocol)) == OUTCOMES


def test_a_slab_is_lent_anew_when_no_view_of_it_is_left() -> None:
    shared = Slabs(1, 1 << 16)
    slab = shared.lend()
    assert slab is not None
    outcomes = unpack(pack(OUTCOMES, shared[slab.number]), slab.memory)
    del slab
    assert shared.lend() is None
    image = outcomes[0].slices[1][1][128]
    del outcomes
    assert shared.lend() is None
    assert image == IMAGE[::-1]
    del image
    assert shared.lend() is not None
    shared.close()


def test_slabs_do_not_overlap_and_are_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_processes, "MOST_BYTES", 1 << 20)
    shared = Slabs(5)
    for number in range(5):
        shared[number][:] = bytes([number]) * len(shared[number])
    assert [(set(shared[n]), len(shared[n])) for n in range(5)] == [
        ({n}, (1 << 20) // 5 // 4096 * 4096) for n in range(5)
    ]
    shared.close()


@pytest.mark.parametrize("bytes_of_slab", [1 << 20, 4096])
def test_results_are_whole_whether_they_fit_or_not(
    work: Any, monkeypatch: pytest.MonkeyPatch, bytes_of_slab: int
) -> None:
    monkeypatch.setattr(local_processes, "MOST_BYTES", bytes_of_slab * SLABS_PER_WORKER)
    items = list(range(200))
    with open_engine(1, "mri_gan.ingest.run.task") as engine:
        pool = OrderedPool[int, Outcome](work.outcomes, lambda _: Outcome(), engine)
        for n, outcome in pool.map([items[i : i + 4] for i in range(0, 200, 4)]):
            assert bytes(outcome.slices[0][1][256]) == bytes([n]) * 60_000


def test_the_slabs_of_a_killed_worker_serve_the_next_one(work: Any) -> None:
    engine = ProcessEngine(1, "mri_gan.ingest.run.task")
    try:
        pool = OrderedPool[int, Outcome](work.deadly, lambda _: Outcome(kind="damaged"), engine)
        kinds = [outcome.kind for _, outcome in pool.map([[n] for n in range(40)])]
        assert kinds == [""] * 7 + ["damaged"] + [""] * 32
        del pool
        gc.collect()
        assert engine._slabs is not None
        assert sorted(engine._slabs.free) == list(range(SLABS_PER_WORKER))
    finally:
        engine.close()
