"""The same sources give the same store, however many workers, however often it was killed."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import nibabel
import numpy as np
import phantoms
import pytest
from PIL import Image

from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import StopSignal
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.run.prepare import CHUNK, chunked, is_complete, write_store
from mri_gan.store import schema
from mri_gan.store.reader import StoreReader, find_edges

Prepare = Callable[..., Path]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`mrigan` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mri_gan", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def run_killed(at: int, where: str, *arguments: str | Path) -> None:
    """`mrigan` that commits after every source and kills itself at the n-th call of a function."""
    module, _, name = where.rpartition(".")
    code = f"""
import importlib, os, signal
from mri_gan.cli.entry import main
from mri_gan.store import writer
writer.BATCH_BYTES = 1
module = importlib.import_module({module!r})
before, calls = module.{name}, []
def deadly(*arguments, **choices):
    calls.append(1)
    if len(calls) == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return before(*arguments, **choices)
module.{name} = deadly
if __name__ == "__main__":
    main()
"""
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


def contents(folder: Path) -> dict[bytes, Any]:
    """Every slice, image and skipped source, and the summary but for its time."""
    env = lmdb.open(str(folder), readonly=True, lock=False, max_dbs=16)
    with env.begin() as txn:
        names = [bytes(name) for name in txn.cursor().iternext(values=False)]
    found: dict[bytes, Any] = {}
    for name in names:
        with env.begin(db=env.open_db(name, create=False)) as txn:
            found[name] = dict(txn.cursor())
    env.close()
    del found[b"meta"]
    with StoreReader(folder) as store:
        found[b"summary"] = {k: v for k, v in store.summary.items() if k != "seconds"}
    return found


UNDER_WAY = 2  # batches that a kill may lose: one in its commit, and the one being gathered


def committed(folder: Path) -> int:
    """How many sources an unfinished store holds."""
    env = lmdb.open(str(folder), readonly=True, lock=False, max_dbs=16)
    with env.begin(db=env.open_db(b"meta", create=False)) as txn:
        progress = txn.get(b"progress")
    env.close()
    return int(schema.load_json(progress)["sources"]) if progress else 0


@pytest.fixture(scope="module")
def mixed_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slices, masks, volumes, a damaged member and a label map."""
    volume = phantoms.brain_volume(seed=3)
    files = phantoms.slice_files(people=5, slices=3) | {
        "vol/0042_t1.nii.gz": phantoms.nifti_bytes(volume, "LPS", gzip=True),
        "vol/0043_t1.nii": phantoms.nifti_bytes(volume[::-1], "RAS", (1, 1, 1.5)),
        "vol/0044_quiet.nii": phantoms.nifti_bytes(volume // 300, dtype="int16"),
        "sub01/slice_9.png": b"this is no picture",
        "sub01/slice_1_mask.png": phantoms.png_bytes(phantoms.slice_pixels()),
    }
    path = tmp_path_factory.mktemp("mixed") / "mixed.zip"
    return phantoms.write_zip(path, {f"set/{name}": data for name, data in files.items()})


@pytest.fixture(scope="module")
def reference(
    prepare: Prepare, mixed_zip: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[bytes, Any]:
    """What a store of that archive holds when nothing disturbs its making."""
    return contents(prepare(tmp_path_factory.mktemp("reference"), mixed_zip))


# The same store


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_does_not_show(
    tmp_path: Path, prepare: Prepare, mixed_zip: Path, reference: Any, workers: int
) -> None:
    assert contents(prepare(tmp_path, mixed_zip, workers=workers)) == reference


def test_a_folder_gives_the_store_of_its_zip(
    tmp_path: Path, prepare: Prepare, oasis_zip: Path, store: Path
) -> None:
    phantoms.write_folder(tmp_path, phantoms.oasis_course_files())
    folder = prepare(tmp_path / "store", tmp_path / "keras_png_slices_data")
    assert contents(folder) == contents(store)


def test_nesting_the_top_folder_twice_does_not_show(
    tmp_path: Path, prepare: Prepare, store: Path
) -> None:
    top = "keras_png_slices_data/keras_png_slices_data/"
    nested = phantoms.oasis_course_zip(tmp_path / "nested.zip", top=top)
    assert contents(prepare(tmp_path / "store", nested)) == contents(store)


@pytest.mark.parametrize("at", [1, 9, 19])
def test_a_killed_prepare_continues_to_the_same_store(
    tmp_path: Path, mixed_zip: Path, reference: Any, at: int
) -> None:
    command = ("prepare", mixed_zip, "--out", tmp_path / "s", "--workers", "0", "--quiet")
    run_killed(at, "mri_gan.ingest.run.prepare._add", *command)
    assert at - 1 - UNDER_WAY <= committed(tmp_path / "s") <= at - 1
    assert run(*command).returncode == 1  # one member is damaged
    assert contents(tmp_path / "s") == reference


def test_a_prepare_killed_again_and_again_arrives(
    tmp_path: Path, mixed_zip: Path, reference: Any
) -> None:
    command = ("prepare", mixed_zip, "--out", tmp_path / "s", "--workers", "0", "--quiet")
    before = 0
    for _ in range(3):
        run_killed(6, "mri_gan.ingest.run.prepare._add", *command)
        now = committed(tmp_path / "s")
        assert before + 5 - UNDER_WAY <= now <= before + 5
        before = now
    assert run(*command).returncode == 1
    assert contents(tmp_path / "s") == reference


def test_a_prepare_killed_with_workers_continues(
    tmp_path: Path, mixed_zip: Path, reference: Any
) -> None:
    command = ("prepare", mixed_zip, "--out", tmp_path / "s", "--workers", "1", "--quiet")
    run_killed(7, "mri_gan.ingest.run.prepare._add", *command)
    assert run(*command).returncode == 1
    assert contents(tmp_path / "s") == reference


def test_killed_after_the_last_transaction_the_next_run_writes_what_is_missing(
    tmp_path: Path, oasis_zip: Path
) -> None:
    command = ("prepare", oasis_zip, "--out", tmp_path / "s", "--workers", "0", "--quiet")
    run_killed(1, "mri_gan.store.companions.write_manifest", *command)
    assert run(*command).returncode == 0
    assert (tmp_path / "s" / "manifest.tsv").exists()
    assert (tmp_path / "s" / "preview.png").exists()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, Any]]:
    """An archive whose store takes several transactions, and what that store holds."""
    folder = tmp_path_factory.mktemp("large")
    archive = phantoms.oasis_course_zip(
        folder / "a.zip", people={"train": 30, "test": 6}, slices=5, masks=False, size=256
    )
    assert run(*LARGE, archive, "--out", folder / "whole").returncode == 0
    return archive, contents(folder / "whole")


LARGE = ("prepare", "--workers", "2", "--quiet", "--materialize")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", np.linspace(0.3, 3.0, 10).tolist())
def test_killed_at_any_time_it_continues(
    tmp_path: Path, large: tuple[Path, dict[bytes, Any]], seconds: float
) -> None:
    archive, expected = large
    command = (*LARGE, str(archive), "--out", str(tmp_path))
    with subprocess.Popen([sys.executable, "-m", "mri_gan", *command]) as killed:
        try:
            killed.wait(seconds)
        except subprocess.TimeoutExpired:
            killed.kill()
    assert run(*command).returncode == 0
    assert contents(tmp_path) == expected


# Stopping


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stop_keeps_what_was_done_and_says_how_to_go_on(
    tmp_path: Path, mixed_zip: Path, reference: Any, prepare: Prepare, workers: int
) -> None:
    config, stop = PrepareConfig(), StopSignal()

    def stop_at_six(tick: Any) -> None:
        if tick.sources_done == 6:
            stop.signum = signal.SIGTERM

    plan = build_plan([mixed_zip], config)
    with pytest.raises(Stopped, match="stopped at 6 of 19 sources: run the same") as caught:
        write_store(plan, config, tmp_path, workers, stop, stop_at_six)
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert not is_complete(tmp_path, plan.digest, config)
    assert contents(prepare(tmp_path, mixed_zip)) == reference


# Damage


def test_damaged_members_are_listed_and_all_else_is_written(
    tmp_path: Path, prepare: Prepare, mixed_zip: Path
) -> None:
    with StoreReader(prepare(tmp_path, mixed_zip)) as store:
        skipped = {entry["source"]: entry["kind"] for entry in store.skipped()}
        sources = Counter(record.source for record in store.records)
        summary = store.summary
    assert skipped == {
        f"{mixed_zip.name}:set/sub01/slice_9.png": "damaged",
        f"{mixed_zip.name}:set/vol/0044_quiet.nii": "mask",
    }
    assert len(sources) == 17
    assert (summary["skipped"], summary["masks"]) == ({"damaged": 1}, 2)


def test_nothing_good_at_all_is_an_error_that_says_why(tmp_path: Path, prepare: Prepare) -> None:
    alone = phantoms.write_zip(tmp_path / "1.zip", {"a_1.png": b"text"})
    with pytest.raises(DataError, match=r"the only source gave no slice .*a_1\.png"):
        prepare(tmp_path / "one", alone)
    archive = phantoms.write_zip(tmp_path / "a.zip", {"a_1.png": b"text", "a_2.png": b"text"})
    with pytest.raises(DataError, match=r"none of 2 sources gave a slice .*a_1\.png"):
        prepare(tmp_path / "s", archive)


# The finished store


def test_the_summary_counts_what_is_in_the_store(store: Path) -> None:
    with StoreReader(store) as opened:
        summary, records = opened.summary, opened.records
        assert len(opened) == len(records) == 10
    assert summary["split_slices"] == {"train": 6, "validate": 2, "test": 2}
    assert summary["split_subjects"] == {"train": 3, "validate": 1, "test": 1}
    assert (summary["subjects"], summary["masks"]) == (5, 10)
    assert (summary["native"], summary["max_native"]) == ({"64": 10}, 64)
    assert summary["layouts"] == ["oasis-course"]


def test_slices_are_in_plan_order(store: Path) -> None:
    with StoreReader(store) as opened:
        found = [(record.subject, record.position) for record in opened.records]
    # Folders sort by name: test, train, validate.
    assert found == [(s, k) for s in ("005", "001", "002", "003", "004") for k in (0, 1)]


def test_the_manifest_has_one_line_per_slice(store: Path) -> None:
    lines = (store / "manifest.tsv").read_text().splitlines()
    header, first = (line.split("\t") for line in lines[:2])
    assert len(lines) == 11
    assert dict(zip(header, first, strict=True)) == {
        "index": "0", "subject": "005", "session": "", "split": "test", "side": "",
        "plane": "axial", "position": "0", "native": "64",
        "source": "keras_png_slices_test/case_005_slice_0.nii.png",
    }  # fmt: skip


def test_odd_names_do_not_break_the_manifest(tmp_path: Path, prepare: Prepare) -> None:
    png = phantoms.png_bytes(phantoms.slice_pixels(16, 16))
    archive = phantoms.write_zip(tmp_path / "a.zip", {"s/a\tb\nc_1.png": png, "s/d_1.png": png})
    lines = (prepare(tmp_path / "s", archive) / "manifest.tsv").read_text().splitlines()
    assert [line.count("\t") for line in lines] == [8, 8, 8]


def test_a_complete_store_is_known_by_its_plan(store: Path, oasis_zip: Path) -> None:
    config = PrepareConfig()
    assert is_complete(store, build_plan([oasis_zip], config).digest, config)
    with pytest.raises(UsageError, match="other sources, or of sources that have changed"):
        is_complete(store, "another digest", config)


def test_what_differs_from_a_complete_store_is_named(store: Path) -> None:
    other = PrepareConfig(plane="coronal", slices="0.3:0.7")
    said = r'other options \(plane "auto", not "coronal"; slices .*, not "0.3:0.7"\)'
    with pytest.raises(UsageError, match=said):
        is_complete(store, "another digest", other)


def test_an_empty_folder_is_no_complete_store(tmp_path: Path) -> None:
    assert not is_complete(tmp_path, "digest", PrepareConfig())


def test_akoa_sides_and_visits_reach_the_records(tmp_path: Path, prepare: Prepare) -> None:
    archive = phantoms.akoa_zip(tmp_path / "a.zip", people=8)
    with StoreReader(prepare(tmp_path / "s", archive)) as store:
        assert Counter(record.side for record in store.records) == {"left": 4, "right": 4}
        assert {record.session for record in store.records} == {"3", "4", "100", "101"}
        assert {(r.native, r.shape, r.padding) for r in store.records} == {
            (256, (228, 260), (16, 16, 0, 0))
        }


# Tasks


@pytest.mark.parametrize("count", [0, 1, 16, 17, 40])
def test_images_are_sent_in_runs_and_volumes_alone(tmp_path: Path, count: int) -> None:
    data = phantoms.png_bytes(phantoms.slice_pixels(8, 8))
    names = [f"s/a_{i}.png" for i in range(count)] + ["s/a_3x.nii", "s/b_1.png"]
    archive = phantoms.write_zip(tmp_path / "a.zip", dict.fromkeys(names, data))
    sources = build_plan([archive], PrepareConfig()).sources
    chunks = list(chunked(sources))
    assert [source for chunk in chunks for source in chunk] == list(sources)
    assert all(len(chunk) <= CHUNK for chunk in chunks)
    assert all(len(chunk) == 1 for chunk in chunks if any(s.is_volume for s in chunk))


def test_no_process_of_ours_is_left(prepare: Prepare, tmp_path: Path, oasis_zip: Path) -> None:
    prepare(tmp_path, oasis_zip, workers=2)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("flipped", [False, True])
def test_the_preview_says_which_side_is_where(
    tmp_path: Path, prepare: Prepare, flipped: bool
) -> None:
    """A volume of an empty rim: whatever is bright in the first tile's upper corner is a letter."""
    voxels = np.zeros((32, 32, 8), np.float32)
    voxels[8:-8, 8:-8] = 100 * np.random.default_rng(0).random((16, 16, 8)) + 50
    affine = np.diag([-1.0 if flipped else 1.0, 1, 4, 1])
    nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "sub-1_T1w.nii.gz")
    store = prepare(tmp_path / "store", tmp_path / "sub-1_T1w.nii.gz", plane="axial")
    sheet = np.asarray(Image.open(store / "preview.png").convert("L"))
    with StoreReader(store) as opened:
        assert find_edges([opened.record(0)]) == ["R", "L"]
    left, right, next_one = sheet[2:14, 2:14], sheet[2:14, 116:130], sheet[2:14, 132:144]
    assert left.max() > 150
    assert right.max() > 150
    assert next_one.max() < 20
