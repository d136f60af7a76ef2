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

from mri_gan.cli.main import cli


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
