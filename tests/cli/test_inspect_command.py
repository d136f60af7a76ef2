"""`mrigan inspect`: what stands under the pictures of its sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
