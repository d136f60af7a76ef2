"""Several sources whose folders are built differently: all stay who they are in one alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import phantoms
import pytest

from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.filenames import identify_all
from mri_gan.ingest.plan.folders import read_sources
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.source import Naming

SLICE = phantoms.png_bytes(phantoms.slice_pixels())
# How hospitals and people lay out the slices of a patient, `{w}`; each alone is read right.
TREES = {
    "flat": "{w}_{k:03}.png",
    "folder": "{w}/{k:03}.png",
    "viewer": "{w}/IM-0001-{k:04}.png",
    "hospital": "hospital/{w}/slices/{k:03}.png",
    "export": "Study A/export/2024/{w}/visit{v}/{c}/IM-0001-{k:04}.png",
    "year": "export2024/{w}/{k:03}.png",
    "visits": "{w}/V{v}/{k:03}.png",
    "classes": "{d}/{w}/{k:03}.png",
    "volumes": "{w}/{c}_{v}.nii.gz",
    "twice": "{w}/{w}_{k:03}.png",
    "site": "site1/{w}/{k:03}.png",
    "above": "V{v}/{w}/{k:03}.png",
    "split": "train/{w}/{k:03}.png",
}
PATIENTS = ["PT{:02}", "{:04}", "MGH{:03}"]
Truth = dict[str, str]  # path -> patient


def tree(place: str, layout: str, patients: Sequence[str]) -> Truth:
    return {
        f"{place}/{TREES[layout]}".format(
            w=who, k=k, v=1 + k % 2, c=("T1", "T2")[k % 2], d=("AD", "CN")[int(who[-1]) % 2]
        ): who
        for who in patients
        for k in range(1, 5)
    }


def read(names: Sequence[str]) -> list[Naming]:
    return identify_all(names, PrepareConfig())


def read_two(*trees: Truth) -> list[Naming]:
    names = [name for one in trees for name in one]
    return read_sources(names, [name.partition("/")[0] for name in names], read)[0]


def is_right(found: Sequence[Naming], truth: Truth) -> bool:
    """Whether each patient is one person, and each person one patient."""
    pairs = {(one.subject, who) for one, who in zip(found, truth.values(), strict=True)}
    return len(pairs) == len({one for one, _ in pairs}) == len(set(truth.values()))


@pytest.mark.parametrize("form", PATIENTS)
@pytest.mark.parametrize("counts", [(4, 4), (4, 1), (1, 4)])
def test_what_is_right_alone_is_right_beside_another_source(
    form: str, counts: tuple[int, int]
) -> None:
    patients = [form.format(n + 1) for n in range(sum(counts))]
    right = 0
    for one, other in itertools.permutations(TREES, 2):
        first = tree("here", one, patients[: counts[0]])
        second = tree("there", other, patients[counts[0] :])
        if is_right(read(list(first)), first) and is_right(read(list(second)), second):
            right += 1
            assert is_right(read_two(first, second), first | second), (one, other)
    assert right > 80


@pytest.mark.parametrize("packed", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("turned", [False, True])
def test_folders_and_zips_at_other_depths_keep_their_people(
    tmp_path: Path, packed: tuple[int, ...], turned: bool
) -> None:
    deep = tree("nested", "export", [f"patient_{n:02}" for n in range(8)])
    flat = tree("imppl", "viewer", [f"P{n:02}" for n in range(1, 6)])
    paths = []
    for number, (place, truth) in enumerate((("nested", deep), ("imppl", flat))):
        files: phantoms.Files = dict.fromkeys(truth, SLICE)
        if number in packed:
            paths.append(phantoms.write_zip(tmp_path / f"{place}.zip", files))
        else:
            paths.append(phantoms.write_folder(tmp_path, files) / place)
    plan = build_plan(paths[::-1] if turned else paths, PrepareConfig())
    truth = deep | flat
    assert {s.naming.subject for s in plan.sources} == set(truth.values())
    assert all(truth[s.member.name] == s.naming.subject for s in plan.sources)
    visits = {s.naming.session for s in plan.sources if "visit2" in s.member.name}
    assert visits == {"2"}
    assert "people" not in " ".join(plan.doubts)


@pytest.mark.parametrize("people", ["PT1 PT2 PT3", "0001 0002 0003", "MGH001 MGH002 MGH003"])
def test_sources_that_are_people_stay_people(people: str) -> None:
    """The series of one person have other numbers than those of another, and are nobody."""
    names = [
        f"{who}/{100 * number + series}/{k:03}.png"
        for number, who in enumerate(people.split())
        for series in (1, 2, 3)
        for k in (1, 2)
    ]
    places = [name.partition("/")[0] for name in names]
    found, doubts = read_sources(names, places, read)
    assert [one.subject for one in found] == places
    told = [] if people.startswith("PT") else [(places[0], "counts as one person, not as 3")]
    assert doubts == told


def test_a_guess_between_one_person_and_several_is_told(tmp_path: Path) -> None:
    deep = tree("clinic", "year", ["MGH001", "MGH002", "MGH003"])
    flat = tree("other", "folder", ["MGH007", "MGH008"])
    for truth in (deep, flat):
        phantoms.write_folder(tmp_path, dict.fromkeys(truth, SLICE))
    plan = build_plan([tmp_path / "clinic", tmp_path / "other"], PrepareConfig())
    assert {s.naming.subject for s in plan.sources} == set((deep | flat).values())
    assert plan.doubts[0] == (
        "clinic counts as 3 people, not as one; if that is wrong, assign people with --people TABLE"
    )
    table = tmp_path / "people.tsv"
    rows = [f"{name}\t{who}" for name, who in (deep | flat).items()]
    table.write_text("\n".join(["file\tsubject", *rows]) + "\n")
    paths = [tmp_path / "clinic", tmp_path / "other"]
    told = build_plan(paths, PrepareConfig(), people_file=table).doubts
    assert not any("counts as" in doubt for doubt in told)


def test_equal_names_in_two_sources_are_one_person_unless_both_count_from_one() -> None:
    """`PT01` of two hospitals is two patients; where all are in both, each is one."""
    same = [tree(place, how, [f"PT{n:02}" for n in range(1, 5)]) for place, how in BOTH]
    assert len({one.subject for one in read_two(*same)}) == 4
    fewer = tree("other", "viewer", [f"PT{n:02}" for n in range(1, 7)])
    found = {one.subject for one in read_two(same[0], fewer)}
    assert found == {
        *(f"{place}/PT{n:02}" for place in ("one", "other") for n in range(1, 5)),
        *("PT05", "PT06"),
    }


BOTH = [("one", "export"), ("other", "viewer")]


def test_people_of_one_tree_that_count_as_one_are_doubted(tmp_path: Path) -> None:
    deep = tree("all/nested", "year", [f"patient_{n:02}" for n in range(4)])
    flat = tree("all/imppl", "site", [f"P{n:02}" for n in range(1, 6)])
    top = phantoms.write_folder(tmp_path, dict.fromkeys((*deep, *flat), SLICE)) / "all"
    told = "4 folders that are called as people are, such as patient_00 and patient_01, count as"
    assert any(doubt.startswith(told) for doubt in build_plan([top], PrepareConfig()).doubts)
    hidden = " ".join(build_plan([top], PrepareConfig(ids="pseudonym")).doubts)
    assert "4 folders that are called as people are count as one person, p" in hidden
    assert "patient_00" not in hidden


NAMED = ["Groß, Änne", "Müller, Jürgen", "Weiß, Bärbel", "Öztürk, Ali"]
PAIRED = ["Uwe_Roth", "Ali_Wolf", "Jan_Lang", "Eva_Vogt"]
VOLUMES = [f"PT{n:02}.nii.gz" for n in range(1, 7)]
SHEETS = [f"{who}/Schädel Schicht {k:02}.jpg" for who in NAMED for k in (1, 2)]


def read_one(names: Sequence[str]) -> tuple[list[Naming], list[tuple[str, str]]]:
    return read_sources(names, ["all"] * len(names), read)


def test_unlike_folders_of_one_folder_have_people_of_their_own() -> None:
    names = [f"all/A/{name}" for name in VOLUMES] + [f"all/Bilder/{name}" for name in SHEETS]
    found, doubts = read_one(names)
    who = [name.split("/")[2].partition(".")[0] for name in names]
    assert [one.subject for one in found] == who
    assert doubts == [("Bilder", "counts as 4 people, not as one")]
    deep = [f"all/A/MGH{n:03}/{c}_1.nii" for n in range(6) for c in ("T1", "T2")]
    flat = [f"all/B/{w}_{c}.nii" for w in PAIRED for c in ("T1", "T2")]
    found, doubts = read_one(deep + flat)
    assert {one.subject for one in found[12:]} == set(PAIRED)
    assert doubts == [("B", "counts as 4 people, not as one")]


def test_data_sets_in_one_folder_of_several_are_told_apart_too() -> None:
    names = [f"all/A/{name}" for name in VOLUMES] + [f"all/Bilder/{name}" for name in SHEETS]
    who = [name.split("/")[2].partition(".")[0] for name in names]
    nested = [f"top/{name}" for name in names] + [f"top/B/V{k}/MGH{k:03}_T1.nii" for k in (1, 2)]
    found, doubts = read_one(nested)
    assert [one.subject for one in found[: len(who)]] == who
    assert doubts == [("Bilder", "counts as 4 people, not as one")]


@pytest.mark.parametrize("form", [*PATIENTS, "Bäcker, {:02}"])
def test_only_what_is_wrong_changes_where_one_folder_holds_two(form: str) -> None:
    patients = [form.format(n + 1) for n in range(8)]
    mended = 0
    for one, other in itertools.permutations(TREES, 2):
        truth = tree("all/here", one, patients[:4]) | tree("all/there", other, patients[4:])
        plain, (found, _) = read(list(truth)), read_one(list(truth))
        assert found == plain or not is_right(plain, truth) or is_right(found, truth)
        mended += is_right(found, truth) and not is_right(plain, truth)
    assert mended > 30


def test_what_may_be_one_person_or_several_is_kept_together_and_told() -> None:
    others = [f"all/A/{name}" for name in VOLUMES]
    for below in ("Knee Spine", "1 2 3", "V1 V2 V3"):
        parts = [f"all/B/MGH007/{part}/{k:03}.png" for part in below.split() for k in (1, 2)]
        found, doubts = read_one(others + parts)
        assert len({one.subject for one in found[len(others) :]}) == 1
        assert doubts == [("B", f"counts as one person, not as {len(below.split())}")]


def test_one_persons_times_in_another_source_are_nobody() -> None:
    first = tree("here", "folder", ["PT01", "PT02", "PT03"])
    second = {f"there/PT07_{when}.nii.gz": "PT07" for when in ("pre", "post")}
    assert is_right(read_two(first, second), first | second)


@pytest.mark.parametrize(
    "files",
    [
        ["{w}/{k:03}.png", "{w}/V1/{k:03}.png", "{w}/V2/{k:03}.png"],
        ["train/{w}/T1_1.nii.gz", "test/P09/T1_1.nii.gz", "test/P09/T1_2.nii.gz"],
        ["images/{w}_{k:03}.png", "masks/{w}.nii.gz"],
        ["T1/{w}.nii.gz", "T2/{w}/{k:03}.png"],
        ["train/AD/{w}_{k:03}.png", "test/{w}x_{k:03}.png"],
        ["site1/{w}/{k:03}.png", "site2/1{w}_{k:03}.png"],
        ["{w}.nii.gz", "extra/{w}/{k:03}.png"],
        ["{w}/Knee/1.png", "{w}/Spine/1.png", "{w}/Neck/1.png", "rest/1{w}_{k:03}.png"],
    ],
)
@pytest.mark.parametrize("form", ["PT{:02}", "{:04}", "MGH{:03}", "Anna_{:02}", "Müller {:02}"])
def test_folders_of_one_data_set_are_read_together(files: Sequence[str], form: str) -> None:
    names = [f.format(w=form.format(n), k=k) for f in files for n in range(1, 7) for k in (1, 2)]
    every = [f"all/{name}" for name in dict.fromkeys(names)]
    assert read_one(every) == (read(every), [])


def test_names_of_folders_are_not_told_under_pseudonyms(tmp_path: Path) -> None:
    names = [f"all/A/{name}" for name in VOLUMES] + [f"all/Bilder/{name}" for name in SHEETS]
    top = phantoms.write_folder(tmp_path, dict.fromkeys(names, SLICE)) / "all"
    doubts = [build_plan([top], PrepareConfig(ids=ids)).doubts[0] for ids in ("keep", "pseudonym")]
    told = "counts as 4 people, not as one; if that is wrong, assign people with --people TABLE"
    assert doubts == [f"Bilder {told}", f"a folder {told}"]


@pytest.mark.parametrize("form", ["PT{:02}", "{:04}", "Müller {:02}", "MGH{:03}"])
def test_contrasts_beside_another_sources_splits_are_no_splits(form: str) -> None:
    patients = [form.format(n) for n in range(1, 9)]
    splits = {f"all/A/{s}/{w}_1.png": w for s in ("train", "test") for w in patients[:4]}
    contrasts = {f"all/B/{c}/{w}_1.png": w for c in ("T1", "T2") for w in patients[4:]}
    found = read(list(splits | contrasts))[len(splits) :]
    assert [one.subject for one in found] == list(contrasts.values())


def test_sources_of_one_name_are_two_sources(tmp_path: Path) -> None:
    flat = [f"x/data/PT{n:02}/{k}.png" for n in range(1, 5) for k in (1, 2)]
    deep = [f"y/data/export2024/PT{n:02}/{k}.png" for n in range(5, 9) for k in (1, 2)]
    phantoms.write_folder(tmp_path, dict.fromkeys([*flat, *deep], SLICE))
    plan = build_plan([tmp_path / "x/data", tmp_path / "y/data"], PrepareConfig())
    assert {s.naming.subject for s in plan.sources} == {f"PT{n:02}" for n in range(1, 9)}
    assert "of one name" not in " ".join(plan.doubts)


def test_people_of_one_name_in_two_sources_of_one_name_are_told(tmp_path: Path) -> None:
    told = "4 people are in two sources of one name, and in the store once each; if that is wrong, "
    names = [f"{place}/{{}}/PT{n:02}_{k}.png" for place in "xy" for n in range(4) for k in (1, 2)]
    for called in ("data", "other"):
        phantoms.write_folder(tmp_path, {name.format(called): SLICE for name in names})
    plan = build_plan([tmp_path / "x/data", tmp_path / "y/data"], PrepareConfig())
    assert len({s.naming.subject for s in plan.sources}) == 4
    assert plan.doubts[0].startswith(told)
    plan = build_plan([tmp_path / "x/data", tmp_path / "y/other"], PrepareConfig())
    assert "of one name" not in " ".join(plan.doubts)


def test_visits_that_hold_one_person_of_one_name_are_no_doubt(tmp_path: Path) -> None:
    names = [f"{when}/PT01/{k}.png" for when in ("t0", "t1") for k in (1, 2, 3)]
    phantoms.write_folder(tmp_path, dict.fromkeys(names, SLICE))
    plan = build_plan([tmp_path / "t0/PT01", tmp_path / "t1/PT01"], PrepareConfig())
    assert "of one name" not in " ".join(plan.doubts)


def test_one_persons_times_beside_folders_of_people_are_one_person() -> None:
    people = [f"all/A/PT{n:02}/T{c}_{v}.nii" for n in (1, 2, 3) for c in (1, 2) for v in (1, 2)]
    found, doubts = read_one([*people, "all/B/PT07_pre.nii", "all/B/PT07_post.nii"])
    assert len({one.subject for one in found[-2:]}) == 1
    assert doubts == [("B", "counts as one person, not as 2")]
