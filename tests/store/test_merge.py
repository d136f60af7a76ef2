"""Stores joined are the store that one `prepare` would have made, or are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import phantoms
import pytest
from click.testing import CliRunner

from mri_gan.cli.main import cli
from mri_gan.config import LEVELS
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import StopSignal
from mri_gan.store.check import check_store
from mri_gan.store.merge import merge_stores
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import index_key

Prepare = Callable[..., Path]


def course(path: Path, people: list[int], split: str, top: str = "keras_png_slices_data/") -> Path:
    """An OASIS course zip of some people, all in one split, and a file that is damaged."""
    files = {"broken_1.png": b"text"} if split == "test" else {}
    for person in people:
        name = f"{top}keras_png_slices_{split}/case_{person:03d}_slice_0.nii.png"
        files[name] = phantoms.png_bytes(phantoms.slice_pixels(seed=person))
    return phantoms.write_zip(path, files)


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    return [
        course(tmp_path / "a.zip", [1, 2, 3], "train"),
        course(tmp_path / "b.zip", [4, 5], "test"),
    ]


def merged(out: Path, *stores: Path) -> Path:
    merge_stores(stores, out, StopSignal())
    return out


def test_the_parts_make_the_whole(tmp_path: Path, prepare: Prepare, sources: list[Path]) -> None:
    parts = [prepare(tmp_path / f"s{i}", source) for i, source in enumerate(sources)]
    whole = prepare(tmp_path / "whole", *sources)
    joined = merged(tmp_path / "joined", *parts)
    report = check_store(joined, 1)
    assert (report.bad, report.wrong) == ([], [])
    with StoreReader(whole) as one, StoreReader(joined) as other:
        assert other.digest == one.digest
        assert other.records == one.records
        assert other.summary | {"seconds": 0} == one.summary | {"seconds": 0}
        assert [e["reason"] for e in other.skipped()] == [e["reason"] for e in one.skipped()]
        for level in LEVELS:
            got, expected = other.read(level, range(5)), one.read(level, range(5))
            assert got.tobytes() == expected.tobytes()


def test_volumes_and_enlarged_levels_come_along(tmp_path: Path, prepare: Prepare) -> None:
    parts = []
    for i in range(2):
        data = phantoms.nifti_bytes(phantoms.brain_volume(seed=i))
        scans = phantoms.write_folder(tmp_path / f"v{i}", {f"sub-{i}_T1w.nii": data})
        parts.append(prepare(tmp_path / f"s{i}", scans, split=(100, 0, 0)))
    joined = merged(tmp_path / "joined", *parts)
    report = check_store(joined, 1)
    assert (report.bad, report.wrong) == ([], [])
    assert report.computed > 0


@pytest.mark.parametrize("choices", [{"depth": 16}, {"seed": 1}, {"plane": "coronal"}])
def test_other_options_are_refused(
    tmp_path: Path, prepare: Prepare, sources: list[Path], choices: dict[str, Any]
) -> None:
    parts = [prepare(tmp_path / "a", sources[0]), prepare(tmp_path / "b", sources[1], **choices)]
    with pytest.raises(UsageError, match=f"differ in .*{next(iter(choices.values()))}"):
        merged(tmp_path / "joined", *parts)
    assert not (tmp_path / "joined").exists()


def test_a_subject_in_two_splits_is_refused(tmp_path: Path, prepare: Prepare) -> None:
    first = prepare(tmp_path / "a", course(tmp_path / "a.zip", [1, 2], "train"))
    second = prepare(tmp_path / "b", course(tmp_path / "b.zip", [2, 3], "test"))
    with pytest.raises(UsageError, match=r"subject 002 is in train of .* and in test of"):
        merged(tmp_path / "joined", first, second)


def test_the_same_slice_twice_is_refused(tmp_path: Path, prepare: Prepare) -> None:
    first = prepare(tmp_path / "a", course(tmp_path / "a.zip", [1, 2], "train"))
    second = prepare(tmp_path / "b", course(tmp_path / "b.zip", [2, 3], "train"))
    with pytest.raises(UsageError, match=r"case_002_slice_0.* is in .*a and in .*b"):
        merged(tmp_path / "joined", first, second)


def test_what_is_in_the_way_stays(tmp_path: Path, prepare: Prepare, sources: list[Path]) -> None:
    part = prepare(tmp_path / "a", sources[0])
    before = (part / "data.mdb").read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        merged(part, part)
    assert (part / "data.mdb").read_bytes() == before


def test_a_stop_leaves_nothing(tmp_path: Path, store: Path) -> None:
    stop = StopSignal()
    stop.signum = 15
    with pytest.raises(Stopped):
        merge_stores([store], tmp_path / "joined", stop)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_image_is_named(tmp_path: Path, store: Path) -> None:
    shutil.copytree(store, tmp_path / "s")
    env = lmdb.open(str(tmp_path / "s"), max_dbs=16)
    with env.begin(write=True, db=env.open_db(b"0032", create=False)) as txn:
        txn.delete(index_key(3))
    env.close()
    with pytest.raises(DataError, match=r"slice 3 at 32 px is damaged \(missing\)"):
        merged(tmp_path / "joined", tmp_path / "s")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_the_command(tmp_path: Path, prepare: Prepare, sources: list[Path]) -> None:
    parts = [prepare(tmp_path / f"s{i}", source) for i, source in enumerate(sources)]
    words = ["merge", *map(str, parts), "--out", str(tmp_path / "joined"), "--json"]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    facts = json.loads(result.stdout)
    assert (facts["slices"], facts["subjects"], facts["skipped"]) == (5, 5, {"damaged": 1})
    assert {"preview.png", "manifest.tsv"} <= {p.name for p in (tmp_path / "joined").iterdir()}
    again = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert again.exit_code == 2
    assert len(again.stderr.splitlines()) == 1
