"""What the files of a person say together: visits between folders, and numbers of slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import phantoms
import pytest

from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.filenames import identify_all
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.ingest.source import Naming

PEOPLE = ("PT01", "PT02", "PT03")
TWO = ("T1", "T2")
CONTRASTS = ["t1", "t2"]


def read(names: list[str]) -> list[Naming]:
    return identify_all(names, PrepareConfig())


def in_visits(visits: tuple[str, ...], end: str = ".nii.gz") -> list[str]:
    return [f"{who}/{visit}/{what}{end}" for who in PEOPLE for visit in visits for what in TWO]


def plan_of(folder: Path, names: list[str], channels: tuple[str, ...] = ()) -> Plan:
    archive = phantoms.write_zip(folder / "a.zip", dict.fromkeys(names, b""))
    return build_plan([archive], PrepareConfig(channels=channels))


# Studies


@pytest.mark.parametrize("end", [".nii.gz", "/t1weighted.nii.gz"])
@pytest.mark.parametrize("form", ["{0}/{0}-{1}", "{0}_volumes/{0}-{1}", "{0}/{0}_{1:03}"])
@pytest.mark.parametrize("studies", [("MMRR-21", "HLN-12", "OASIS-TRT-20"), ("A1", "B7")])
def test_a_folder_above_many_numbers_of_its_own_name_is_a_study(
    studies: tuple[str, ...], form: str, end: str
) -> None:
    """As in the volumes of Mindboggle-101, which lie in a folder for each study."""
    people = [form.format(study, k) for study in studies for k in range(1, 13)]
    found = [one.subject for one in read([who + end for who in people])]
    assert found == [who.partition("/")[2] for who in people]


@pytest.mark.parametrize(
    ("folders", "numbers"),
    [
        (("anna1", "bea2"), 9),  # so many visits a person may have
        (("P01", "S02"), 12),  # called as people are
        (("Y2019", "Y2020"), 12),  # alike but for a number, as people are
    ],
)
def test_other_folders_above_numbers_of_their_name_are_people_and_that_is_said(
    folders: tuple[str, ...], numbers: int, tmp_path: Path
) -> None:
    names = [f"{who}/{who}_{k}/T1.nii.gz" for who in folders for k in range(1, numbers + 1)]
    plan = plan_of(tmp_path, names)
    assert {source.naming.subject for source in plan.sources} == {*folders}
    said = f"1 and {'2' if numbers < 10 else '10'} of {folders[0]} count as scans of one person"
    assert any(said in doubt for doubt in plan.doubts) == (folders[0] != "P01")


# Series

SERIES = {
    "t1_mprage_sag_p2_iso": "t1",
    "t2_tirm_tra_dark-fluid": "flair",
    "t2_tse_tra": "t2",
    "ep2d_diff": "",
    "t1_vibe_post_contrast": "t1ce",
    "t1_mprage_sag_p2_iso_KM": "t1ce",
    "t1_tse_tra_post_Gd": "t1ce",
    "t1_fl2d_localizer": "localizer",
}
PATIENTS = ("Bauer_Elfriede_19380619", "Huber_Josef_19510204", "Weiss_Karl_19470830")


def in_series(patients: Sequence[str], series: Iterable[str], first: int = 2) -> list[str]:
    return [
        f"{who}/{number}_{name}_2024031{day}.nii.gz"
        for day, who in enumerate(patients)
        for number, name in enumerate(series, first)
    ]


@pytest.mark.parametrize("first", [2, 12])
@pytest.mark.parametrize("count", [4, 7, 8])
@pytest.mark.parametrize(
    "patients", [PATIENTS, PATIENTS[:2], ("Bauer_Elfriede", "Huber_Josef"), ("00007808", "00017")]
)
def test_the_numbers_that_a_scanner_gives_to_its_series_are_nobodys(
    patients: tuple[str, ...], count: int, first: int
) -> None:
    """As dcm2niix names files; few patients have many series, and not many have few."""
    found = read(in_series(patients, [*SERIES][:count], first))
    who = [patient.partition("_19")[0] for patient in patients]  # without the date of birth
    assert [one.subject for one in found] == [name for name in who for _ in range(count)]
    assert [one.contrast for one in found] == [*SERIES.values()][:count] * len(patients)
    assert [one.run for one in found[:count]] == [str(first + k) for k in range(count)]
    sessions = [one.session for one in found[::count]]  # and no dates of birth
    assert sessions == [f"2024031{day}" for day in range(len(patients))]


@pytest.mark.parametrize("top", ["", "Bauer_Elfriede_19380619/"])
@pytest.mark.parametrize("count", [4, 8])
def test_series_of_one_patient_are_one_person(top: str, count: int, tmp_path: Path) -> None:
    names = [top + name.partition("/")[2] for name in in_series(["x"], [*SERIES][:count])]
    assert len({one.subject for one in read(names)}) == 1
    assert any(
        doubt.startswith("one person holds all") for doubt in plan_of(tmp_path, names).doubts
    )


@pytest.mark.parametrize(
    ("names", "people"),
    [
        ([f"{n}_{c}.nii.gz" for n, c in enumerate(("t1", "t1", "t2", "t2"))], 4),
        (["1_t1.nii.gz", "2_t2.nii.gz"], 2),
        ([f"{site}/{n}_t1.nii.gz" for site in ("Ulm", "Bonn") for n in range(1, 9)], 8),
        ([f"{site}/{n}_{c}.nii.gz" for site in "AB" for n in range(1, 9) for c in TWO], 8),
        ([f"{v}/{n}_t1.nii.gz" for v in ("baseline", "month06") for n in ("1_anna", "2_bea")], 2),
    ],
)
def test_other_numbers_in_front_are_not_of_series(names: list[str], people: int) -> None:
    assert all(one.run == "" for one in read(names))
    assert len({one.subject for one in read(names)}) == people


def test_numbers_before_names_that_no_other_folder_has_are_not_of_series() -> None:
    folk = ("anna_t1", "bea_t2", "cleo_t1"), ("carl_t1", "dora_t2", "emil_t1")
    names = [f"{'AB'[k]}/{n}_{w}.nii" for k, some in enumerate(folk) for n, w in enumerate(some)]
    assert all(one.run == "" for one in read(names))


# Copies


@pytest.mark.parametrize(
    ("names", "people"),
    [
        (["a.nii.gz", "a (1).nii.gz", "b.nii.gz"], "a a b"),
        (["a.nii.gz", "a(1).nii.gz", "b.nii.gz"], "a a b"),
        (["a.nii.gz", "a - Kopie.nii.gz", "b.nii.gz"], "a a b"),
        (["c.nii.gz", "c_copy.nii.gz", "d.nii.gz"], "c c d"),
        (["a.nii.gz", "a - Copy.nii.gz", "a-copy.nii.gz"], "a a a"),
        (["a.png", "a_copy2.png", "b.png", "b copy 2.png"], "a a b b"),
        (["a.nii.gz", "a_kopie_2.nii.gz", "Copy of a.nii.gz", "d.nii.gz"], "a a a d"),
        (["p1/1.png", "Kopie von p1/2.png", "p1 (1)/3.png", "p2/1.png"], "p1 p1 p1 p2"),
        (["P1_1.png", "P1_1_copy.png", "P2_1.png"], "P1 P1 P2"),
        (["p1/T1.nii.gz", "p1/T1 (1).nii.gz", "p2/T1.nii.gz"], "p1 p1 p2"),
        (["p1/1.png", "p1/1 (2).png", "p1/2.png", "p2/1.png"], "p1 p1 p1 p2"),
        (["p1/1.png", "p1 (1)/1.png", "p2/1.png"], "p1 p1 p2"),
        (["a (1).nii.gz", "b (1).nii.gz"], "a_(1) b_(1)"),  # whose originals are not there
    ],
)
def test_a_copy_is_of_the_same_person(names: list[str], people: str) -> None:
    assert [one.subject.replace(" ", "_") for one in read(names)] == people.split()


@pytest.mark.parametrize("form", ["sub-{0}/anat/sub-{0}_T1w.nii.gz", "sub-{0}_T2w.nii.gz"])
def test_people_of_a_bids_tree_are_called_alike(form: str) -> None:
    """Labels with letters or spaces that BIDS does not have are labels all the same."""
    people = ["Müller", "Möller", "01", "PT 3", "02"]
    assert [one.subject for one in read([form.format(who) for who in people])] == people


def test_names_without_any_label_of_bids_stay_as_they_are() -> None:
    names = [f"sub-{who}/T1.nii.gz" for who in ("Müller", "Möller")]
    assert [one.subject for one in read(names)] == ["sub-Müller", "sub-Möller"]


def test_many_numbers_in_brackets_are_slices_and_no_copies() -> None:
    names = ["anna.png", *(f"anna ({n}).png" for n in range(1, 6)), "bert.png"]
    assert positions(names) == [-1, 1, 2, 3, 4, 5, -1]


@pytest.mark.parametrize(
    "mark", ["{} (1)", "{} copy 2", "{} - Kopie", "{} - Copy (2)", "Copy of {}"]
)
@pytest.mark.parametrize("form", ["{w}/IMG_{k:03}.png", "{w}_{k:03}.png", "{w}_T{k}.nii.gz"])
def test_a_copy_without_its_original_is_of_the_same_person(form: str, mark: str) -> None:
    names = [form.format(w=who, k=k) for who in ("anna", "bert", "cara") for k in (1, 2)]
    folder, slash, file = names[1].rpartition("/")
    stem, dot, suffix = file.partition(".")
    copied = [names[0], f"{folder}{slash}{mark.format(stem)}{dot}{suffix}", *names[2:]]
    assert read(copied) == read(names)


def test_numbers_in_brackets_that_nothing_lacks_are_slices() -> None:
    names = [f"{who}_{k}.png" for who in ("anna", "bert", "cara") for k in (1, 2)]
    assert positions([*names, "dora (1).png", "dora (2).png"])[-2:] == [1, 2]


@pytest.mark.parametrize(
    "copy",
    ["b (1).nii.gz", "b_copy.nii.gz", "b - Copy.nii.gz", "b-copy2.nii.gz", "Copy of b.nii.gz"],
)
def test_copies_are_doubted_however_they_are_called(tmp_path: Path, copy: str) -> None:
    doubts = " ".join(plan_of(tmp_path, ["a.nii.gz", "b.nii.gz", copy]).doubts)
    assert f"1 file is named as a copy, such as a.zip:{copy} of b.nii.gz" in doubts


def test_copies_are_doubted_without_names_that_are_hidden(tmp_path: Path) -> None:
    names = ["a.nii.gz", "a (1).nii.gz", "b.nii.gz"]
    hidden = PrepareConfig(ids="pseudonym")
    archive = phantoms.write_zip(tmp_path / "b.zip", dict.fromkeys(names, b""))
    assert "a (1)" not in " ".join(build_plan([archive], hidden).doubts)
    text = "1 file is named as a copy, such as a.zip:a (1).nii.gz of a.nii.gz, of the same size: if"
    assert [doubt for doubt in plan_of(tmp_path, names).doubts if doubt.startswith(text)]


def test_files_of_other_sizes_are_no_copies_whatever_they_are_called(tmp_path: Path) -> None:
    contents = {"26.jpg": b"one", "26 (2).jpg": b"other", "27.jpg": b"one", "27 (2).jpg": b"one"}
    archive = phantoms.write_zip(tmp_path / "a.zip", contents)
    doubts = " ".join(build_plan([archive], PrepareConfig()).doubts)
    assert "1 file is named as a copy, such as a.zip:27 (2).jpg of 27.jpg" in doubts
    different = {"26.jpg": b"one", "26 (2).jpg": b"other", "27.jpg": b"one"}
    archive = phantoms.write_zip(tmp_path / "b.zip", different)
    assert "copies" not in " ".join(build_plan([archive], PrepareConfig()).doubts)


# Visits


@pytest.mark.parametrize(
    "visits",
    [
        ("m00", "m06", "m12"),
        ("M0", "M6"),
        ("tp1", "tp2", "tp3"),
        ("V1", "V2"),
        ("2019", "2020"),
        ("w0", "w12"),
        ("t0", "t1"),
        ("pre", "post"),
        ("pretreatment", "posttreatment"),
        ("baseline", "m12"),
        ("Screening", "Week 24"),
        ("0months", "6months"),
    ],
)
@pytest.mark.parametrize("end", [".nii.gz", "_1.png"])
def test_folders_called_as_visits_are_sessions(visits: tuple[str, ...], end: str) -> None:
    names = in_visits(visits, end)
    found = read(names)
    assert [one.subject for one in found] == [name.partition("/")[0] for name in names]
    assert [one.contrast for one in found] == CONTRASTS * len(visits) * len(PEOPLE)
    sessions = {name.split("/")[1]: one.session for name, one in zip(names, found, strict=True)}
    assert "" not in sessions.values()
    assert len(set(sessions.values())) == len(visits)


@pytest.mark.parametrize(
    "folders",
    [
        ("T1", "T2"),  # contrasts
        ("orig", "pre"),  # as processed: one of them is no visit
        ("3", "5"),  # series
        ("1.2.840.113619.2.1", "1.2.840.113619.2.2"),
        ("m00", "m06", "knees"),
        tuple(f"t{frame:02d}" for frame in range(25)),  # of a heart
    ],
)
def test_other_folders_are_no_sessions(folders: tuple[str, ...]) -> None:
    assert {one.session for one in read(in_visits(folders))} == {""}


def test_folders_of_which_everybody_has_one_are_no_sessions() -> None:
    names = [f"{who}/m{at:02d}/T1.nii.gz" for at, who in enumerate(PEOPLE)]
    assert {one.session for one in read(names)} == {""}


def test_a_session_that_the_name_says_stays() -> None:
    names = [f"{who}/m{at}/{who}_ses-{at}_T1.nii.gz" for who in PEOPLE for at in (0, 6)]
    assert {one.session for one in read(names)} == {"0", "6"}


def test_a_visit_called_as_a_contrast_is_none_of_its_own_files() -> None:
    found = read(
        [f"{who}/t{visit}/brain_{n}.png" for who in PEOPLE for visit in (0, 1) for n in (1, 2)]
    )
    assert {(one.session, one.contrast) for one in found} == {("t0", ""), ("t1", "")}


def test_the_visits_of_somebody_without_a_number_are_one_person() -> None:
    found = read(
        [f"{who}/{visit}/T1.nii.gz" for who in ("anna", "bert") for visit in ("pre", "post")]
    )
    assert [(one.subject, one.session) for one in found] == [
        *(("anna", "pre"), ("anna", "post")),
        *(("bert", "pre"), ("bert", "post")),
    ]


@pytest.mark.parametrize("end", [".nii.gz", "_1.png"])
def test_no_visit_is_an_incomplete_set(tmp_path: Path, end: str) -> None:
    plan = plan_of(tmp_path, in_visits(("m00", "m06"), end), channels=("t1", "t2"))
    assert len(plan.sources) == 6
    assert plan.left_out == {}


# Slice numbers


def positions(names: list[str]) -> list[int]:
    return [one.position for one in read(names)]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{who}/IM-0001-{n:04d}.png", [1, 2, 3]),
        ("{who}_IM-0007-{n:04d}.png", [1, 2, 3]),
        ("{who}/T1/IMG-0004-{n:05d}.png", [1, 2, 3]),
        ("{who}/slice_{n}_1.png", [1, 2, 3]),
        ("{who}/Img_{n}-3T.png", [1, 2, 3]),
        ("{who}/img_9_{n}_of_3.png", [1, 2, 3]),
        ("{who}-{n:03d}-of-003.png", [1, 2, 3]),
        ("{who}/slice_5_echo_{n}.png", [5, 5, 5]),
        ("{who}/slice_{n}_run3.png", [1, 2, 3]),
        ("{who}/slice_{n}_77.png", [1, 2, 3]),
    ],
)
def test_the_number_that_runs_in_a_folder_is_the_slices(form: str, expected: list[int]) -> None:
    names = [form.format(who=who, n=n) for who in PEOPLE for n in (1, 2, 3)]
    assert positions(names) == expected * 3
    assert {one.subject for one in read(names)} == set(PEOPLE)


def test_of_series_and_slice_the_last_is_the_slice() -> None:
    names = [
        f"P{who}/IM-{series:04d}-{n:04d}.png" for who in (1, 2) for series in (1, 2) for n in (1, 2)
    ]
    assert positions(names) == [1, 2, 1, 2] * 2


def test_numbers_that_a_word_announces_stay_where_they_vary() -> None:
    names = [f"P{who}/t{t}_z{z}.png" for who in (1, 2) for t in (0, 1) for z in (4, 5)]
    assert positions(names) == [4, 5, 4, 5] * 2
    counted = [f"P{at // 4}/e{at % 4 // 2}_z{at % 2 + 4}_{at % 4}.png" for at in range(8)]
    assert positions(counted) == [4, 5, 4, 5] * 2


def test_numbers_that_run_in_two_ways_are_doubtful(tmp_path: Path) -> None:
    names = [f"P{who}/im_8_{n}_{(n * 5) % 7}_a.png" for who in (1, 2) for n in (1, 2, 3)]
    assert set(positions(names)) == {8}
    said = next(doubt for doubt in plan_of(tmp_path, names).doubts if "as slice" in doubt)
    assert said.startswith(
        "3 images count as slice 8 of one person, such as a.zip:P1/im_8_1_5_a.png"
    )
    assert not any(
        "as slice" in d for d in plan_of(tmp_path, [n.replace("8_", "") for n in names]).doubts
    )


@pytest.mark.parametrize("name", ["IM-{s:04d}-{n:04d}.png", "IMG-{s:04d}-{n:05d}.jpg"])
def test_series_that_a_viewer_exported_into_one_folder_are_one_persons(name: str) -> None:
    """Neither of the two numbers is a person, who would be in every split at once."""
    names = [name.format(s=s, n=n) for s in (1, 2, 3) for n in (1, 2, 3, 4)]
    found = identify_all(names, PrepareConfig())
    assert len({one.subject for one in found}) == 1
    assert [(int(one.run), one.position) for one in found] == [
        (s, n) for s in (1, 2, 3) for n in (1, 2, 3, 4)
    ]
