"""`mrigan inspect`: what stands under the pictures of its sheet, and the command it ends with."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from click.testing import CliRunner

from mri_gan.cli.data.inspect import name_people, name_series
from mri_gan.cli.main import cli
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("sub-01_T1w", "sub-01_T2w"), {"axial 01 t1", "axial 01 t2"}),
        (("sub-01_ses-1_T1w", "sub-01_ses-b_T1w"), {"axial 01 session 1", "axial 01 b"}),
        (("sub-01_ses-1_T1w", "sub-02_ses-1_T1w"), {"axial 01", "axial 02"}),
    ],
)
def test_pictures_of_one_person_are_told_apart(
    tmp_path: Path, sheets: list[dict[str, Any]], names: tuple[str, ...], labels: set[str]
) -> None:
    brain = phantoms.nifti_bytes(phantoms.brain_volume())
    folder = phantoms.write_folder(tmp_path / "in", {f"{name}.nii": brain for name in names})
    words = ["inspect", "--workers", "0", "-q", str(folder), "--sheet", str(tmp_path / "s.png")]
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0
    seen = {label for sheet in sheets for label in sheet["labels"]}
    assert {label for label in seen if label.startswith("axial")} == labels


def inspect(*words: str | Path) -> str:
    run = ["inspect", "--workers", "0", *map(str, words)]
    return CliRunner().invoke(cli, run, catch_exceptions=False).stdout


def test_the_command_that_makes_the_store_has_the_same_options(tmp_path: Path) -> None:
    brain = phantoms.nifti_bytes(phantoms.brain_volume())
    names = [f"sub-{who}_{contrast}.nii" for who in ("01", "02") for contrast in ("T1w", "T2w")]
    folder = phantoms.write_folder(tmp_path / "my scans", dict.fromkeys(names, brain))
    table = tmp_path / "who.csv"
    table.write_text("\n".join(["file,person", *(f"{n},{n[:6]}" for n in names)]))
    options = ["--channels", "t1,t2", "--exclude", "*/x*", "--people", str(table)]
    options += ["--slices", "0.2:0.8"]
    last = inspect(folder, *options, "--sheet", tmp_path / "s.png").splitlines()[-1]
    words = shlex.split(last[last.index("mrigan prepare") :])
    assert words[2] == str(folder)
    assert words[-2:] == ["--out", "STORE"]
    assert sorted(words[3:-2]) == sorted(options)


def test_masks_of_several_scans_count_once_and_files_add_up(tmp_path: Path) -> None:
    brain = phantoms.brain_volume()
    files = {f"sub-01_ses-{n}_T1w.nii": phantoms.nifti_bytes(brain) for n in (1, 2)}
    files |= {f"sub-01_ses-{n}_T2w.nii": phantoms.nifti_bytes(brain) for n in (1, 2)}
    mask = phantoms.nifti_bytes((brain > 0.1).astype(np.uint8))
    files |= {f"sub-01_ses-{n}_desc-brain_mask.nii": mask for n in (1, 2)}
    files |= {"sub-02_T1w.nii": b"no scan", "README.md": b"x"}
    folder = phantoms.write_folder(tmp_path / "in", files)
    facts = json.loads(inspect(folder, "--json"))
    assert (facts["masks"], facts["sources_with_mask"]) == (2, 4)
    fate = {"listed": 8, "stored": 4, "left_out": 3, "ignored": 1}
    assert facts["files_by_fate"] == fate
    assert "8 = 4 stored + 3 left out + 1 ignored" in inspect(folder)


def test_a_sheet_shows_every_person_before_anybody_twice(
    tmp_path: Path, sheets: list[dict[str, Any]]
) -> None:
    """Ten people with two visits, of whom the first two have a first visit that is damaged."""
    brain = phantoms.nifti_bytes(phantoms.brain_volume())
    names = [f"sub-{who:02}_ses-{visit}_T1w.nii" for who in range(10) for visit in (1, 2)]
    files = dict.fromkeys(names, brain)
    files |= {f"sub-{who:02}_ses-1_T1w.nii": b"no scan" for who in (0, 1)}
    folder = phantoms.write_folder(tmp_path / "in", files)
    inspect(folder, "--sheet", tmp_path / "s.png")
    labels = [label for sheet in sheets for label in sheet["labels"] if label.startswith("axial")]
    people = [label.split()[1] for label in labels]
    assert len(people) == 15
    assert set(people) == {f"{who:02}" for who in range(10)}
    assert sum("session 1" in label for label in labels) == 8


def test_a_sheet_shows_people_from_the_first_to_the_last_where_there_are_too_many(
    tmp_path: Path, sheets: list[dict[str, Any]]
) -> None:
    files = phantoms.slice_files(people=90, slices=3)
    folder = phantoms.write_folder(tmp_path / "in", files)
    inspect(folder, "--sheet", tmp_path / "s.png")
    (labels,) = (sheet["labels"] for sheet in sheets)
    assert len(set(labels)) == len(labels) == 45


def people_with_faces(folder: Path) -> Path:
    """A CD of two people with one picture, of whom the second has two series in one folder."""
    for number, name in enumerate(("ANNA", "HANS", "HANS/MORE")):
        who, uid = name.partition("/")[0], f"1.2.3.{number}"
        head = phantoms.head_volume(face=True)[..., : None if number < 2 else -2]
        files = phantoms.dicom_files(head, spacing_mm=(3.0,) * 3, patient=who, uid=uid)
        named = {f"{who}/{uid}-{Path(n).name}": data for n, data in files.items()}
        phantoms.write_folder(folder, named)
    return folder


def test_findings_in_dicom_files_name_the_folder_or_file(tmp_path: Path) -> None:
    facts = json.loads(inspect(people_with_faces(tmp_path / "CD"), "--json"))
    hans = [f"CD/HANS/1.2.3.{number}-" for number in (1, 2)]  # two series in one folder
    assert [name[: len(hans[0])] for name in facts["with_faces"]] == ["CD/ANNA", *hans]
    assert facts["first_face"] == "CD/ANNA"
    places = {name.partition("#")[0] for pair in facts["same_pixels"] for name in pair}
    assert "CD/ANNA" in places
    assert all(name.startswith(("CD/ANNA", *hans)) for name in places)
    done = CliRunner().invoke(cli, ["inspect", "--workers", "0", str(tmp_path / "CD")])
    assert "3 volumes (CD/ANNA) seem to show a face" in done.stderr
    assert "CD/ANNA#" in done.stdout
    assert "dicom/" not in done.stdout


def test_people_of_dicom_files_are_named_with_their_first_file(tmp_path: Path) -> None:
    plan = name_series(build_plan([people_with_faces(tmp_path / "CD")], PrepareConfig(ids="keep")))
    anna, hans = dict.fromkeys(source.naming.subject for source in plan.sources)
    files = {source.naming.subject: source.name for source in reversed(plan.sources)}
    named = [[f"{anna} ({files[anna]})", f"{hans} ({files[hans]})"], ["p07", "p08"]]
    assert name_people([(anna, hans), ("p07", "p08")], plan.sources) == named
    assert files[anna] == "CD/ANNA"
    assert name_people(None, plan.sources) is None


def test_sources_that_keep_their_ids_are_named_beside_pseudonyms(tmp_path: Path) -> None:
    disc = people_with_faces(tmp_path / "CD")
    mine = tmp_path / "mine"
    brain = phantoms.nifti_bytes(phantoms.brain_volume())
    phantoms.write_folder(mine, {f"{who}/t1.nii": brain for who in ("MUELLER_ANNA", "NOWAK_P")})
    words = ["--workers", "0", str(disc)]
    alone = CliRunner().invoke(cli, ["inspect", *words]).stderr
    assert "(prepare replaces them by pseudonyms): do not pass" in alone
    kept = f", but 2 scans of {mine} keep their ids (MUELLER_ANNA, ...)"
    both = CliRunner().invoke(cli, ["inspect", *words, str(mine)]).stderr
    assert f"(prepare replaces them by pseudonyms{kept}): do not pass this on" in both
    made = CliRunner().invoke(cli, ["prepare", *words, str(mine), "--out", str(tmp_path / "s")])
    assert f"ids are pseudonyms{kept}; whoever has" in made.stdout
    assert f"3 volumes ({disc}/" in made.stderr  # as it was given, and not in the store
    assert b"ANNA/1.2.3" not in (tmp_path / "s" / "manifest.tsv").read_bytes()
    hide = ["--ids", "pseudonym", "--overwrite"]
    made = CliRunner().invoke(
        cli, ["prepare", *words, str(mine), "--out", str(tmp_path / "s"), *hide]
    )
    assert "ids are pseudonyms; whoever has" in made.stdout
