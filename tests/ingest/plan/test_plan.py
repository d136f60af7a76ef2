"""The same sources give the same plan; a person is never in two splits."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import phantoms
import pytest

from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.ingest.plan.splits import share_out
from mri_gan.ingest.read import archives

CONFIG = PrepareConfig()
PNG = phantoms.png_bytes(phantoms.slice_pixels(16, 16))


def plan_of(*paths: Path, **choices: Any) -> Plan:
    return build_plan(paths, PrepareConfig(**choices))


def zipped(path: Path, *names: str) -> Path:
    return phantoms.write_zip(path, dict.fromkeys(names, PNG))


def splits(plan: Plan) -> dict[str, str]:
    """{subject: split}, which must be one for all sources of a subject."""
    pairs = {(s.naming.subject, s.naming.split) for s in plan.sources}
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found


# Splits


def test_shipped_splits_are_kept(oasis_zip: Path) -> None:
    assert splits(plan_of(oasis_zip)) == {
        "001": "train", "002": "train", "003": "train", "004": "validate", "005": "test",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_other_subjects_are_shared_out_whole(tmp_path: Path, seed: int) -> None:
    folder = phantoms.slices_folder(tmp_path / "set", people=20, slices=2, size=8)
    plan = plan_of(folder, split=(60, 20, 20), seed=seed)
    assert Counter(splits(plan).values()) == {"train": 12, "validate": 4, "test": 4}


def test_another_seed_shares_out_otherwise() -> None:
    people = [f"p{i}" for i in range(50)]
    assert share_out(people, (80, 10, 10), 0) != share_out(people, (80, 10, 10), 1)
    assert share_out(people, (80, 10, 10), 0) == share_out(people[::-1], (80, 10, 10), 0)


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        (0, {}),
        (1, {"train": 1}),
        (3, {"train": 3}),
        (10, {"train": 8, "validate": 1, "test": 1}),
        (17, {"train": 13, "validate": 2, "test": 2}),
        (101, {"train": 81, "validate": 10, "test": 10}),
    ],
)
def test_shares_are_cut_by_largest_remainders(people: int, expected: dict[str, int]) -> None:
    shares = share_out([str(i) for i in range(people)], (80, 10, 10), 0)
    assert Counter(shares.values()) == expected


def test_the_split_of_a_subject_is_the_same_on_every_machine() -> None:
    """The hash is part of what a store means: a change would move people between splits."""
    shares = share_out([f"sub{i:02d}" for i in range(10)], (80, 10, 10), 0)
    others = {subject: split for subject, split in shares.items() if split != "train"}
    assert others == {"sub04": "validate", "sub06": "test"}


def test_a_subject_in_two_shipped_splits_is_refused(tmp_path: Path) -> None:
    names = (
        "keras_png_slices_train/case_001_slice_0.nii.png",
        "keras_png_slices_test/case_001_slice_1.nii.png",
    )
    with pytest.raises(UsageError, match=r"subject 001 is in two splits") as told:
        plan_of(*(zipped(tmp_path / f"{i}.zip", name) for i, name in enumerate(names)))
    assert f"train: 0.zip:{names[0]}" in told.value.message
    assert f"test: 1.zip:{names[1]}" in told.value.message


def test_two_knees_and_visits_of_a_person_stay_together(tmp_path: Path) -> None:
    visit = "OAI900000{}_BaseLine_{}_de3d1_SAG_3D_DESS_WE_{}.nii.gz_0.png"
    names = [
        visit.format(i, number, side)
        for i in range(10)
        for number in (3, 4)
        for side in ("LEFT", "right")
    ]
    plan = plan_of(zipped(tmp_path / "a.zip", *names))
    assert len(plan.sources) == 40
    assert Counter(splits(plan).values()) == {"train": 8, "validate": 1, "test": 1}


def test_sources_beside_a_shipped_split_follow_their_subject(tmp_path: Path) -> None:
    names = ("set/test/0042_t1.nii", "set/0042_t2.nii", "set/0043_t1.nii")
    found = splits(plan_of(zipped(tmp_path / "a.zip", *names)))
    assert found["0042"] == "test"


# Order and digest


def test_the_order_of_a_zip_does_not_matter(tmp_path: Path) -> None:
    names = [f"set/p{i}/slice_{k}.png" for i in (1, 2, 10) for k in (1, 2, 10)]
    plans = [
        plan_of(zipped(tmp_path / f"{i}.zip", *names[::step])) for i, step in enumerate((1, -1))
    ]
    assert plans[0].digest == plans[1].digest
    assert [s.name for s in plans[1].sources] == [n.removeprefix("set/") for n in names]


def test_the_order_of_a_directory_does_not_matter(tmp_path: Path, monkeypatch: Any) -> None:
    folder = phantoms.slices_folder(tmp_path / "set", size=8)
    before = plan_of(folder)
    walk = archives._walk
    monkeypatch.setattr(archives, "_walk", lambda top, found: reversed(list(walk(top, found))))
    assert plan_of(folder) == before


def test_a_folder_and_its_zip_name_and_split_alike(tmp_path: Path) -> None:
    files = phantoms.slice_files(people=10, slices=2, size=8)
    folder = phantoms.write_folder(tmp_path / "set", files)
    archive = phantoms.write_zip(tmp_path / "a.zip", {f"set/{n}": d for n, d in files.items()})
    named = [[(s.name, s.naming) for s in plan_of(p).sources] for p in (folder, archive)]
    assert named[0] == named[1]


@pytest.mark.parametrize(
    "choice", [{"plane": "coronal"}, {"depth": 16}, {"seed": 1}, {"materialize": True}]
)
def test_options_change_the_digest(oasis_zip: Path, choice: dict[str, Any]) -> None:
    assert plan_of(oasis_zip, **choice).digest != plan_of(oasis_zip).digest


def test_changed_content_changes_the_digest(tmp_path: Path) -> None:
    other = phantoms.png_bytes(phantoms.slice_pixels(16, 16, seed=9))
    one = phantoms.write_zip(tmp_path / "a.zip", {"a_1.png": PNG})
    two = phantoms.write_zip(tmp_path / "b.zip", {"a_1.png": other})
    assert plan_of(one).digest != plan_of(two).digest


def test_an_array_has_another_digest_than_when_it_had_millimetres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a store that an older version began would be finished with slices of both kinds."""
    folder = phantoms.write_folder(tmp_path / "set", {"p1.npy": b"", "p2.npy": b""})
    now = plan_of(folder).digest
    monkeypatch.setattr("mri_gan.ingest.source.ARRAY_SUFFIXES", ())
    assert plan_of(folder).digest != now


def test_a_touched_file_changes_the_digest(tmp_path: Path) -> None:
    folder = phantoms.slices_folder(tmp_path / "set", size=8)
    before = plan_of(folder).digest
    os.utime(folder / "sub00" / "slice_0.png", ns=(0, 0))
    assert plan_of(folder).digest != before


def test_moving_an_archive_changes_nothing(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", "s/a_1.png", "s/a_2.png")
    before = plan_of(archive).digest
    assert plan_of(archive.rename(tmp_path / "renamed.zip")).digest == before


# What is left out


def test_masks_and_other_files_are_counted_and_left_out(tmp_path: Path) -> None:
    names = ("s/a_1.png", "s/labels/a_1.png", "s/a_seg.nii.gz", "s/readme.txt", "s/a.csv")
    plan = plan_of(zipped(tmp_path / "a.zip", *names))
    assert [s.name for s in plan.sources] == ["a_1.png"]
    assert (plan.masks, plan.ignored) == (2, 2)


def test_masks_alone_are_not_enough(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.zip: no slices or volumes found.*1 masks"):
        plan_of(zipped(tmp_path / "a.zip", "s/a_mask.png"))


def test_an_empty_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path}: no slices"):
        plan_of(tmp_path)


def test_what_cannot_be_listed_is_kept_for_the_report(tmp_path: Path) -> None:
    phantoms.slices_folder(tmp_path, size=8)
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    plan = plan_of(tmp_path)
    assert [label for label, _ in plan.bad] == ["bad.zip"]  # the folders above are not the store's
    assert plan.true_labels == {"bad.zip": str(tmp_path / "bad.zip")}


def test_hostile_names_are_names_and_nothing_more(tmp_path: Path) -> None:
    plan = plan_of(phantoms.hostile_zip(tmp_path / "a.zip"))
    assert {s.name for s in plan.sources} >= {"../outside_2.png", "/etc/absolute_3.png"}
    assert sorted({s.member.container for s in plan.sources}) == [tmp_path / "a.zip"]


def test_several_sources_are_taken_in_the_order_given(tmp_path: Path) -> None:
    one, two = zipped(tmp_path / "1.zip", "a/x_1.png"), zipped(tmp_path / "2.zip", "b/y_1.png")
    assert [s.name for s in plan_of(two, one).sources] == ["y_1.png", "x_1.png"]


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_beside_its_own_folder_counts_once(tmp_path: Path, packed: bool, link: bool) -> None:
    """It is of the person whom the folder names, and never another in another split."""
    top = tmp_path / "set"
    phantoms.slices_folder(top / "anna", people=2, slices=2)
    given = top / "anna" / ("more.zip" if packed else "sub00/slice_0.png")
    if packed:
        zipped(given, "bert_1.png", "bert_2.png")
    assert given.is_file()
    if link:
        (tmp_path / "link.zip").symlink_to(given)
        given = tmp_path / "link.zip"
    alone = plan_of(top)
    for paths in ([top, given], [given, top], [top, top / "anna" / ".." / given]):
        both = plan_of(*paths)
        assert both.sources == alone.sources
        assert (both.digest, both.listed) == (alone.digest, alone.listed)


def test_a_hidden_file_that_is_given_itself_is_read(tmp_path: Path) -> None:
    phantoms.slices_folder(tmp_path / "set", people=2, slices=1)
    (tmp_path / "set" / ".old").mkdir()
    (tmp_path / "set" / ".old" / "carl_1.png").write_bytes(PNG)
    both = plan_of(tmp_path / "set", tmp_path / "set" / ".old" / "carl_1.png")
    assert len(both.sources) == 3


def test_an_archive_in_an_archive_is_named(tmp_path: Path) -> None:
    inner = phantoms.oasis_course_zip(tmp_path / "inner.zip").read_bytes()
    outer = phantoms.write_zip(tmp_path / "outer.zip", {"a/inner.zip": inner})
    with pytest.raises(DataError, match="no slices or volumes found") as caught:
        build_plan([outer], PrepareConfig())
    assert "a/inner.zip is an archive in it: unpack it once" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("ids", "named"), [("keep", " (outer.zip:a/inner.zip)"), ("pseudonym", "")]
)
def test_an_archive_in_an_archive_beside_scans_is_warned_about(
    tmp_path: Path, ids: str, named: str
) -> None:
    inner = phantoms.oasis_course_zip(tmp_path / "inner.zip").read_bytes()
    files = phantoms.slice_files(people=3, slices=2) | {"a/inner.zip": inner}
    plan = build_plan([phantoms.write_zip(tmp_path / "outer.zip", files)], PrepareConfig(ids=ids))
    assert f"1 archive in an archive is not read{named}: unpack it once" in plan.doubts


@pytest.mark.parametrize("what", ["", "preview.png", "manifest.tsv"])
def test_a_store_given_as_a_source_is_a_store_already(store: Path, what: str) -> None:
    with pytest.raises(UsageError, match=r"is (a store already|part of a store)"):
        build_plan([store / what], PrepareConfig())


def test_a_folder_that_has_changed_since_an_earlier_plan_is_looked_at_again(
    store: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(store, tmp_path / "A"))
    with pytest.raises(UsageError, match="is a store already"):
        build_plan([folder], PrepareConfig())
    shutil.rmtree(folder)
    phantoms.slices_folder(folder)
    assert build_plan([folder], PrepareConfig()).sources


def test_a_store_inside_a_folder_of_scans_gives_no_slices(store: Path, tmp_path: Path) -> None:
    phantoms.write_folder(tmp_path / "scans", phantoms.slice_files())
    alone = build_plan([tmp_path / "scans"], PrepareConfig())
    shutil.copytree(store, tmp_path / "scans" / "store")
    beside = build_plan([tmp_path / "scans"], PrepareConfig())
    assert [s.member.name for s in beside.sources] == [s.member.name for s in alone.sources]
    assert beside.ignored >= 1
