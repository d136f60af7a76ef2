"""Damage anywhere in a store is found and named by level and slice."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path

import lmdb
import phantoms
import pytest

from mri_gan.config import LEVELS
from mri_gan.errors import DataError
from mri_gan.files import StopSignal
from mri_gan.store import schema
from mri_gan.store.check import Report, check_store
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import (
    digest_records,
    dump_json,
    encode_upsampled,
    index_key,
    load_json,
    seal,
    unseal,
)

DAMAGE = [(8, 3), (64, 9), (128, 0), (1024, 4)]


def edited(store: Path, copy: Path, name: bytes, key: bytes, value: bytes | None) -> Path:
    """A copy of the store with one value replaced or deleted."""
    shutil.copytree(store, copy)
    env = lmdb.open(str(copy), max_dbs=16)
    with env.begin(write=True, db=env.open_db(name, create=False)) as txn:
        assert txn.delete(key) if value is None else txn.put(key, value)
    env.close()
    return copy


def value_of(store: Path, name: bytes, key: bytes) -> bytes:
    copy = Path(tempfile.mkdtemp()) / "s"
    shutil.copytree(store, copy)  # another test may have the store itself open
    env = lmdb.open(str(copy), max_dbs=16, lock=False)
    with env.begin(db=env.open_db(name, create=False)) as txn:
        value = txn.get(key)
    env.close()
    shutil.rmtree(copy.parent)
    assert value is not None
    return bytes(value)


def bad_keys(report: Report) -> list[tuple[int, int]]:
    return [(bad.level, bad.index) for bad in report.bad]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_whole_store_is_whole(store: Path, threads: int) -> None:
    told: list[int] = []
    report = check_store(store, threads, told.append)
    with StoreReader(store) as opened:
        assert report.slices == len(opened)
        native = {int(level): n for level, n in opened.summary["native"].items()}
    assert (report.bad, report.wrong) == ([], [])
    assert report.images == told[-1] == len(LEVELS) * report.slices
    assert report.computed == sum(n for own, n in native.items() for level in LEVELS if level > own)
    assert report.mb_per_s > 0


@pytest.mark.parametrize(("level", "index"), DAMAGE)
def test_a_turned_bit_is_named(store: Path, tmp_path: Path, level: int, index: int) -> None:
    name, key = schema.LEVEL_NAMES[level], index_key(index)
    record = value_of(store, name, key)
    broken = phantoms.flipped(record, 8 * (len(record) - 1))
    report = check_store(edited(store, tmp_path / "s", name, key, broken), 2)
    assert bad_keys(report) == [(level, index)]


@pytest.mark.parametrize("value", [b"", b"\x09abc", encode_upsampled(8), encode_upsampled(128)])
def test_pointers_to_the_wrong_level_and_nonsense_are_named(
    store: Path, tmp_path: Path, value: bytes
) -> None:
    folder = edited(store, tmp_path / "s", b"0128", index_key(2), value)
    assert bad_keys(check_store(folder, 2)) == [(128, 2)]


@pytest.mark.parametrize("native", [8, 32, 128, 1024])
def test_a_whole_pointer_to_the_wrong_level_is_named(
    store: Path, tmp_path: Path, native: int
) -> None:
    """Its checksum is right: slice 2 has 64 px."""
    pointer = bytes(seal(encode_upsampled(native), index_key(2)))
    report = check_store(edited(store, tmp_path / "s", b"0128", index_key(2), pointer), 2)
    assert [str(bad) for bad in report.bad] == [f"slice 2 at 128 px (points to level {native})"]


def test_an_image_too_many_is_counted(store: Path, tmp_path: Path) -> None:
    folder = edited(store, tmp_path / "s", b"0032", index_key(10), b"more")
    assert check_store(folder, 2).wrong == ["32 px holds 11 images of 10 slices"]


def test_the_pixels_of_another_slice_are_noticed(store: Path, tmp_path: Path) -> None:
    key, other = index_key(1), value_of(store, b"0064", index_key(5))
    moved = check_store(edited(store, tmp_path / "a", b"0064", key, other), 2)
    assert [str(bad) for bad in moved.bad] == ["slice 1 at 64 px (wrong checksum)"]
    forged = bytes(seal(unseal(memoryview(other), index_key(5)), key))
    report = check_store(edited(store, tmp_path / "b", b"0064", key, forged), 2)
    assert bad_keys(report) == [(64, 1)]
    assert "slice record" in report.bad[0].reason


def test_a_missing_image_is_named_and_counted(store: Path, tmp_path: Path) -> None:
    report = check_store(edited(store, tmp_path / "s", b"0032", index_key(7), None), 2)
    assert bad_keys(report) == [(32, 7)]
    assert report.wrong == ["32 px holds 9 images of 10 slices"]


def test_a_changed_slice_record_is_refused(store: Path, tmp_path: Path) -> None:
    data = value_of(store, b"slices", index_key(0)).replace(b"case_", b"cast_")
    folder = edited(store, tmp_path / "s", b"slices", index_key(0), data)
    with pytest.raises(DataError, match="digest"):
        check_store(folder, 1)


def test_a_subject_in_two_splits_is_told(store: Path, tmp_path: Path) -> None:
    with StoreReader(store) as opened:
        records = [record.to_json() for record in opened.records]
        first, summary = opened.records[0], opened.summary
    assert first.split != "validate"
    moved = dataclasses.replace(first, split="validate").to_json()
    folder = edited(store, tmp_path / "a", b"slices", index_key(0), moved)
    told = dump_json(summary | {"digest": digest_records([moved, *records[1:]])})
    report = check_store(edited(folder, tmp_path / "b", b"meta", b"summary", told), 1)
    assert f"subject {first.subject} is in validate and {first.split}" in report.wrong
    assert any("split_slices" in text for text in report.wrong)


def test_a_summary_that_counts_otherwise_is_told(store: Path, tmp_path: Path) -> None:
    summary = load_json(value_of(store, b"meta", b"summary"))
    told = dump_json(summary | {"subjects": 99})
    report = check_store(edited(store, tmp_path / "s", b"meta", b"summary", told), 1)
    assert report.wrong == ["the summary says subjects 99, the records 5"]


def test_a_stop_signal_ends_the_check(store: Path) -> None:
    stop = StopSignal()
    stop.signum = 15
    report = check_store(store, 2, stop=stop)
    assert report.stopped
    assert report.images < len(LEVELS) * report.slices
