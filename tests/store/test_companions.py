"""What people look at beside a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest

from mri_gan.pictures import say_edges


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["mni152_t1_1mm"], {"mni152_t1_1mm train"}),
        (["sub-07_T1w"], {"07 train"}),
        (["sub-07_ses-1_T1w", "sub-07_ses-1_T2w"], {"07 t1 train", "07 t2 train"}),
        (["sub-07_ses-1_T1w", "sub-07_ses-b_T1w"], {"07 session 1 train", "07 b train"}),
    ],
)
def test_a_preview_names_the_person_or_else_the_file(
    tmp_path: Path,
    prepare: Callable[..., Path],
    sheets: list[dict[str, Any]],
    names: list[str],
    labels: set[str],
) -> None:
    """`all`, as the one person of a file that names nobody is called, would say nothing."""
    data = phantoms.nifti_bytes(phantoms.brain_volume().astype(np.float32), "LPS", gzip=True)
    files = {f"{name}.nii.gz": data for name in names}
    prepare(tmp_path / "s", phantoms.write_folder(tmp_path / "in", files))
    assert {label for sheet in sheets for label in sheet["labels"]} == labels
    assert [list(sheet["notes"]) for sheet in sheets] == [[say_edges(("R", "L"))]]
