"""Trees of several scans per person: which are taken, and what a table says of the person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import phantoms
import pytest

from mri_gan.errors import DataError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.store.reader import StoreReader

SCAN = phantoms.nifti_bytes(phantoms.brain_volume())
NEURITE = ("orig", "norm", "aligned_norm", "slice_norm", "seg4", "aligned_seg35")
TABLE = b"participant_id\tage\tsex\tgroup\tnotes\nsub-01\t71.5\tF\tn/a\tx\nsub-03\t60\tM\tAD\t\n"
RUNS = [
    f"bids/sub-{who}/ses-{when}/anat/sub-{who}_ses-{when}_run-{run}_T1w.nii"
    for who, when, run in (("01", "a", 1), ("01", "a", 2), ("01", "b", 1), ("02", "a", 1))
]


def plan_of(path: Path, **choices: Any) -> Plan:
    return build_plan([path], PrepareConfig(**choices))


def tree(folder: Path, *kinds: str) -> Path:
    names = (f"OASIS_OAS1_000{i}_MR1/{kind}.nii" for i in (1, 2) for kind in kinds)
    return phantoms.write_folder(folder, dict.fromkeys(names, SCAN))


def bids(path: Path, table: bytes = TABLE, name: str = "participants.tsv") -> Path:
    return phantoms.write_zip(path, dict.fromkeys(RUNS, SCAN) | {f"bids/{name}": table})


@pytest.mark.parametrize("number", range(3))
def test_the_best_neurite_scan_of_a_session_is_taken(tmp_path: Path, number: int) -> None:
    present = NEURITE[: 3 - number] + NEURITE[3:]
    plan = plan_of(tree(tmp_path / "n", *present))
    assert [s.name.split("/")[-1] for s in plan.sources] == [f"{NEURITE[2 - number]}.nii"] * 2
    assert [s.naming.subject for s in plan.sources] == ["OAS1_0001", "OAS1_0002"]
    assert (plan.masks, plan.left_out["derivative"]) == (4, 2 * (3 - number))


@pytest.mark.parametrize("scan", ["orig", "slice_norm"])
def test_a_neurite_scan_can_be_chosen_by_name(tmp_path: Path, scan: str) -> None:
    plan = plan_of(tree(tmp_path / "n", *NEURITE), scan=scan)
    assert [s.name.split("/")[-1] for s in plan.sources] == [f"{scan}.nii"] * 2


def test_localizers_are_taken_only_where_they_are_named(tmp_path: Path) -> None:
    names = [f"{who}/{scan}.nii" for who in ("P1", "P2") for scan in ("t1", "t1_fl2d_localizer")]
    folder = phantoms.write_folder(tmp_path / "n", dict.fromkeys(names, SCAN))
    plan = plan_of(folder)
    assert ([s.naming.contrast for s in plan.sources], plan.left_out["localizer"]) == (
        ["t1"] * 2,
        2,
    )
    named = plan_of(folder, contrast=("localizer",))
    assert [s.naming.contrast for s in named.sources] == ["localizer"] * 2


def test_all_runs_are_kept_and_stay_in_one_split(tmp_path: Path) -> None:
    plan = plan_of(bids(tmp_path / "a.zip"))
    assert len(plan.sources) == 4
    assert len({s.naming.split for s in plan.sources if s.naming.subject == "01"}) == 1


@pytest.mark.parametrize("name", ["participants.tsv", "participants.csv"])
def test_labels_are_joined_by_subject(tmp_path: Path, name: str) -> None:
    table = TABLE if name.endswith("tsv") else TABLE.replace(b"\t", b",")
    plan = plan_of(bids(tmp_path / "a.zip", table, name))
    labels = {s.naming.subject: s.labels for s in plan.sources}
    assert labels == {"01": {"age": 71.5, "sex": "F"}, "02": None}
    assert plan.ignored_kinds == {"tables of labels (read)": 1}


@pytest.mark.parametrize("subject", ["01", "sub-01"])
def test_a_table_beside_folders_of_people_is_joined_where_it_names_them(
    tmp_path: Path, subject: str
) -> None:
    table = b"subject\tage\tsex\n01\t71.5\tF\nsub-77\t3\tM\n"
    names = (f"{subject}/slice_0.png", f"{subject}/slice_1.png", "zoe/slice_0.png")
    files = {
        f"lab/{name}": phantoms.png_bytes(phantoms.slice_pixels(seed=i))
        for i, name in enumerate(names)
    }
    plan = plan_of(phantoms.write_zip(tmp_path / "a.zip", files | {"lab/participants.tsv": table}))
    assert [s.labels for s in plan.sources] == [{"age": 71.5, "sex": "F"}] * 2 + [None]
    assert "labels" not in " ".join(plan.doubts)


@pytest.mark.parametrize(
    ("table", "has"),
    [
        (b"subject\tage\ncase_02\t7\ncase_01\t8\n", "it has case_01, and "),
        (b"what\tage\n01\t7\n", ""),
    ],
)
def test_a_table_that_names_nobody_is_doubted(tmp_path: Path, table: bytes, has: str) -> None:
    files = {
        f"lab/0{i}/s_{k}.png": phantoms.png_bytes(phantoms.slice_pixels(seed=9 * i + k))
        for i in (1, 2)
        for k in (1, 2)
    }
    plan = plan_of(phantoms.write_zip(tmp_path / "a.zip", files | {"lab/participants.tsv": table}))
    assert {s.labels and 1 for s in plan.sources} == {None}
    (said,) = [d for d in plan.doubts if d.startswith("a.zip:lab/participants.tsv: names none of")]
    assert f"so no labels were read: {has}they are called 01 and the like; mrigan train" in said


def test_a_table_without_a_label_that_is_kept_still_names_people(tmp_path: Path) -> None:
    plan = plan_of(bids(tmp_path / "a.zip", b"participant_id\thandedness\nsub-01\tright\n"))
    assert {s.labels and 1 for s in plan.sources} == {None}
    assert "names none" not in " ".join(plan.doubts)


def test_a_table_above_the_given_folder_is_found(tmp_path: Path) -> None:
    phantoms.write_folder(tmp_path, dict.fromkeys(RUNS, SCAN) | {"bids/participants.tsv": TABLE})
    plan = plan_of(tmp_path / "bids" / "sub-01")
    assert {s.labels["sex"] for s in plan.sources if s.labels} == {"F"}


def test_labels_are_in_the_records_and_nowhere_else(tmp_path: Path, prepare: Any) -> None:
    out = prepare(tmp_path / "out", bids(tmp_path / "a.zip"))
    with StoreReader(out) as store:
        for record in store.records:
            expected = {"age": 71.5, "sex": "F"} if record.subject == "01" else None
            assert record.labels == expected
    assert "71.5" not in (out / "manifest.tsv").read_text()


def test_other_labels_are_another_plan(tmp_path: Path) -> None:
    first = plan_of(bids(tmp_path / "a.zip"))
    other = plan_of(bids(tmp_path / "a.zip", TABLE.replace(b"71.5", b"72.5")))
    assert first.digest != other.digest


def test_a_table_without_subjects_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"participants\.tsv: has no column of subjects"):
        plan_of(bids(tmp_path / "a.zip", b"age\tsex\n1\tF\n"))
