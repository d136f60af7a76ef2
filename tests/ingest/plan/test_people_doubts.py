"""What was concluded about people is said, and what is doubtful about it too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import phantoms
import pytest
from click.testing import CliRunner

from mri_gan.cli.main import cli
from mri_gan.errors import UsageError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.ingest.plan.words import SCHEMES
from mri_gan.ingest.source import spell_layout
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]
SLICE = phantoms.png_bytes(phantoms.slice_pixels())
PEOPLE = [f"p{k:02}" for k in range(10)]
GOOD = [f"{who}_{k}.png" for who in PEOPLE for k in range(3)]


def plan_of(folder: Path, names: list[str], people: str = "", **choices: Any) -> Plan:
    top = phantoms.write_folder(folder / "set", dict.fromkeys(names, SLICE))
    table = folder / "people.tsv"
    table.write_text(people, encoding="utf-8")
    return build_plan([top], PrepareConfig(**choices), people_file=table if people else None)


def test_a_plain_set_raises_no_doubt(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, GOOD)
    assert (plan.conclusion, plan.doubts) == ("10 people, from the file names", ())


def test_people_who_go_by_what_looks_like_names_are_told_of_pseudonyms(tmp_path: Path) -> None:
    names = [
        f"{who}/s_{k}.png" for who in ("M\u00fcller J\u00f6rg", "p02", "p03") for k in range(4)
    ]
    told = "people are called M\u00fcller J\u00f6rg and the like, and the store keeps that"
    assert plan_of(tmp_path, names).doubts[0].startswith(told)
    for ids in ("keep", "pseudonym"):  # decided
        assert told not in " ".join(plan_of(tmp_path, names, ids=ids).doubts)
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "set")])
    assert f"warning: {told}" in result.stderr
    for plain in ("sub-01", "patient_7", "healthy controls", "OAS1_0001_MR1"):
        files = [f"{who}/s_{k}.png" for who in (plain, "p02", "p03") for k in range(4)]
        assert "are called" not in " ".join(plan_of(tmp_path / plain, files).doubts)


def test_contrasts_and_a_word_that_all_files_share_are_no_names(tmp_path: Path) -> None:
    for words in (("t1", "flair"), ("left", "right"), ("overlay",)):
        names = [f"{k:03}_{word}.png" for k in range(12) for word in words]
        assert "does not count" not in " ".join(plan_of(tmp_path, names).doubts)


def test_the_conclusion_spells_collections_as_they_do(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, [f"sub-0{n}_T1w.nii" for n in (1, 2)])
    assert plan.conclusion == "2 people, named as in BIDS"


def test_known_names_are_spelled_as_in_the_document() -> None:
    page = (Path(__file__).parents[3] / "docs/data.md").read_text(encoding="utf-8")
    layouts = {scheme.layout for scheme in SCHEMES} | {"bids", "akoa"}
    spelled = {spell_layout(layout) for layout in layouts}
    assert {name for name in spelled if name not in page} == {"GE", "LONI", "MyoPS", "REMBRANDT"}


def test_the_conclusion_says_where_it_comes_from_and_which_contrasts(tmp_path: Path) -> None:
    names = [f"{who}/{c}_{k}.png" for who in PEOPLE for c in ("t1", "flair") for k in range(2)]
    expected = "10 people, from the folder names; 2 contrasts each (flair, t1)"
    for ids in ("auto", "pseudonym"):
        assert plan_of(tmp_path, names, ids=ids).conclusion == expected
    one = [f"{who}/{('t1', 'flair')[at % 2]}_1.png" for at, who in enumerate(PEOPLE)]
    assert "; 1 contrast each (flair, t1)" in plan_of(tmp_path / "one", one).conclusion


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        ([f"{who}.png" for who in PEOPLE], "each of the 10 files counts as a different person"),
        (
            [f"{k}.mat" for k in range(12)],
            "each of the 12 files counts as a different person, as a patient's number inside .mat "
            "files is not read; if that is wrong, assign people with --people TABLE",
        ),
        ([f"slice_{k}.png" for k in range(12)], "one person holds all 12 files"),
        (
            [f"0{k}_S{who:03}.png" for who in range(9) for k in range(10, 13)],
            "S000 counts as a slice of person 010",
        ),
        (
            [f"{k:03}_{who}.png" for who in ("anna", "bert", "cleo") for k in range(12)],
            "anna does not count as a person, but 000 does",
        ),
        (
            [*GOOD, "slice_1.png", "slice_2.png"],
            "2 files name nobody, and count as one person",
        ),
        (GOOD[:9], "nobody is in validate and test"),
        ([f"train/{name}" for name in GOOD], "nobody is in validate and test"),
        (
            [
                f"{split}/p123{word}_{k}.png"
                for split, word in (("train", "a"), ("test", "b"))
                for k in (1, 2)
            ],
            "p123b (test) and p123a (train) have similar names",
        ),
        (
            [
                f"{place}/{who}_{k}.png"
                for place in ("best", "ljubljana")
                for who in "12"
                for k in "12"
            ],
            "1 in best and in ljubljana counts as one person",
        ),
        (
            [
                f"{stage}/p{k}_{z}.png"
                for stage, k in (("MCI", 1), ("AD", 1), ("AD", 2))
                for z in "12"
            ],
            "p1 in AD and in MCI counts as one person",
        ),
        (
            [f"S{a}_{b:03}_{c}.nii" for a in (1, 2, 3) for b in (1, 2) for c in ("t1", "pd")],
            "001 and 002 of S1 count as scans of one person",
        ),
        (
            [f"{name[:3]}_{c}{name[3:]}" for name in GOOD for c in ("t1", "t2")],
            "2 contrasts (t1, t2) become images of one kind: choose one with --contrast t1, or, "
            "where they share one voxel grid, make them channels with --channels t1,t2",
        ),
        (
            [f"{c}/img_{k}.png" for c in ("NonDemented", "MildDemented") for k in range(4)],
            "people are named MildDemented, NonDemented: if those are classes, add --classes",
        ),
        (
            [f"{c}/Tr-{c[:2]}_{k}.png" for c in ("glioma", "pituitary") for k in range(4)],
            "8 images of 2 people, up to 4 of one, are in folders named glioma, pituitary: if",
        ),
        (
            [f"{c}/{z} ({n}).jpg" for c in ("CN", "AD") for z in range(26, 31) for n in (1, 2, 3)],
            "30 images of 10 people, up to 3 of one, are in folders named AD, CN: if those are",
        ),
    ],
)
def test_what_is_doubtful_is_said(tmp_path: Path, names: list[str], doubt: str) -> None:
    assert any(text.startswith(doubt) for text in plan_of(tmp_path, names).doubts)


def test_images_in_classes_without_people_are_split_by_image(tmp_path: Path) -> None:
    names = [f"{c}/{c}_{k}.jpg" for c in ("non", "mild", "very") for k in range(20)]
    plan = plan_of(tmp_path, names, classes=True)
    assert len({s.naming.subject for s in plan.sources}) == 60
    assert "splits are by image" in plan.doubts[0]


def test_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    names = ["train/a/1.png", "train/a/2.png", "test/b/1.png", "test/b/2.png"]
    with pytest.raises(UsageError, match="no image of b is in the training split"):
        plan_of(tmp_path, names, classes=True)


def test_a_folder_that_is_of_one_split_is_looked_at_but_not_trained_with(tmp_path: Path) -> None:
    files = dict.fromkeys((f"{c}/{k}.png" for c in "ab" for k in range(2)), SLICE)
    top = phantoms.write_folder(tmp_path / "Testing", files)
    told = "no image of a, b is in the training split"
    with pytest.raises(UsageError, match=told) as error:
        build_plan([top], PrepareConfig(classes=True))
    assert str(error.value.hint).startswith("the folder Testing decides that: give the folder")
    done = CliRunner().invoke(cli, ["inspect", str(top), "--classes", "--workers", "0"])
    assert (done.exit_code, "Testing decides that" in done.stderr) == (0, True)
    one = phantoms.write_folder(tmp_path / "few", dict.fromkeys(["a/1.png", "b/1.png"], SLICE))
    with pytest.raises(UsageError, match="training split") as error:
        build_plan([one], PrepareConfig(classes=True, split=(50, 50, 0)))
    assert str(error.value.hint).endswith("or change --split or --seed")


def test_strict_refuses_and_writes_nothing(tmp_path: Path) -> None:
    top = phantoms.write_folder(tmp_path / "set", {"1.png": SLICE, "2.png": SLICE})
    arguments = ["prepare", str(top), "--out", str(tmp_path / "s"), "--workers", "0"]
    assert CliRunner().invoke(cli, [*arguments, "--strict"]).exit_code == 1
    assert not (tmp_path / "s").exists()
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0
    assert "warning: one person holds all 2 files" in done.stderr


def test_a_table_says_who_is_who(tmp_path: Path) -> None:
    names = ["x/a.png", "x/b.png", "y/c.png", "y/d.png"]
    table = (
        "file\tperson\tsplit\tage\nx\tanna\ttest\t70\ny/c.png\tanna\ttest\t70\nd.png\tbert\t\t\n"
    )
    plan = plan_of(tmp_path, names, people=table)
    found = {s.member.name: (s.naming.subject, s.naming.split, s.labels) for s in plan.sources}
    assert found == {
        "set/x/a.png": ("anna", "test", {"age": 70.0}),
        "set/x/b.png": ("anna", "test", {"age": 70.0}),
        "set/y/c.png": ("anna", "test", {"age": 70.0}),
        "set/y/d.png": ("bert", "train", None),
    }
    assert plan.conclusion == "2 people, as --people says"


def test_the_row_of_a_file_wins_over_that_of_its_folder_and_the_table_over_the_path(
    tmp_path: Path,
) -> None:
    rows = ["file\tperson\tsession\tsplit\tage", "train\tbert\t\t\t", "x\tanna\t2\ttest\tn/a"]
    table = "\n".join([*rows, "train/x/a.png\tcarl\t\t\t31"]) + "\n"
    names = ["train/x/a.png", "train/x/b.png", "train/y/c.png"]
    plan = plan_of(tmp_path, names, people=table)
    said = {s.member.name.rpartition("/")[2]: (s.naming, s.labels) for s in plan.sources}
    assert {k: (n.subject, n.session, n.split, labels) for k, (n, labels) in said.items()} == {
        "a.png": ("carl", "", "train", {"age": 31.0}),
        "b.png": ("anna", "2", "test", None),
        "c.png": ("bert", "", "train", None),
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("x\tanna\n", "does not name a file and a person column"),
        ("file\tperson\nx\t\n", r"people\.tsv:2: file or person is missing"),
        ("file\tperson\tsplit\nx\tanna\tleft\n", "left is not a split"),
        ("file\tperson\nx\tanna\nx\tbert\n", "x is listed twice"),
        ("file\tperson\nx\tanna\n", r"has no row for .*y/c\.png and 1 more"),
        ("file\tperson\tsplit\nx\ta\ttrain\ny\ta\ttest\n", "subject a is in two splits"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of(tmp_path, ["x/a.png", "x/b.png", "y/c.png", "y/d.png"], people=table)


def test_separators_of_windows_are_separators(tmp_path: Path, prepare: Prepare) -> None:
    files = phantoms.oasis_course_files()
    stores = []
    for number, separator in enumerate("/\\"):
        renamed = {f"top/{name}".replace("/", separator): data for name, data in files.items()}
        archive = phantoms.write_zip(tmp_path / f"{number}.zip", renamed)
        with StoreReader(prepare(tmp_path / f"s{number}", archive)) as store:
            stores.append((store.digest, store.summary["split_subjects"], store.summary["masks"]))
    assert stores[0] == stores[1]


def test_archives_that_hold_the_same_names_are_people(tmp_path: Path) -> None:
    folder = tmp_path / "ukb"
    folder.mkdir()
    for who in ("1000001", "1000002"):
        phantoms.write_zip(folder / f"{who}_20252_2_0.zip", {"T1/T1.nii.gz": b""})
    plan = build_plan([folder], PrepareConfig())
    assert [s.naming.subject for s in plan.sources] == ["1000001", "1000002"]


def doubts_of_two(folder: Path, zipped_in: str, names: list[str] = GOOD) -> list[str]:
    """The doubts about a folder and a zip of the same files, which has a folder of its own."""
    files: phantoms.Files = dict.fromkeys(names, SLICE)
    top = phantoms.write_folder(folder / "scans", files)
    packed = {f"{zipped_in}{name}": data for name, data in files.items()}
    archive = phantoms.write_zip(folder / "more.zip", packed)
    found = build_plan([top, archive], PrepareConfig()).doubts
    return [doubt for doubt in found if "two sources" in doubt]


def test_equal_names_in_two_sources_that_count_as_two_people_are_doubted(tmp_path: Path) -> None:
    names = [f"{who}/slice_{k}.png" for who in PEOPLE for k in range(2)]
    (doubt,) = doubts_of_two(tmp_path, "export/", names)
    assert doubt.startswith(
        "10 names are in two sources as different people, such as p00 in scans and export/p00 in "
        "more.zip; "
    )


def test_classes_say_why_equal_names_are_different_people(tmp_path: Path) -> None:
    names = [f"{who}/slice_{k}.png" for who in PEOPLE for k in range(2)]
    tops = [
        phantoms.write_folder(tmp_path / place, dict.fromkeys(names, SLICE))
        for place in ("AD", "CN")
    ]
    plan = build_plan(tops, PrepareConfig())
    assert plan.conclusion.startswith("20 people")
    assert "different people" not in " ".join(plan.doubts)


@pytest.mark.parametrize("place", ["", "scans/", "export/"])
def test_files_that_are_in_two_sources_are_doubted(tmp_path: Path, place: str) -> None:
    (doubt,) = doubts_of_two(tmp_path, place)
    example = f"scans/p00_0.png and more.zip:{place}p00_0.png"
    assert doubt == f"30 files are in two sources, such as {example}: leave one of the sources out"


def test_a_dicom_series_that_is_in_two_sources_is_doubted(tmp_path: Path) -> None:
    files = phantoms.dicom_files(phantoms.brain_volume())
    tops = [phantoms.write_folder(tmp_path / name, files) for name in ("CD 0", "CD 0 copy")]
    doubts = build_plan(tops, PrepareConfig()).doubts
    text = "1 DICOM series is in two sources, such as CD 0 and CD 0 copy: leave one of"
    assert [doubt for doubt in doubts if doubt.startswith(text)]
    assert not any("two sources" in doubt for doubt in build_plan(tops[:1], PrepareConfig()).doubts)
