"""What people look at beside a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest

from mri_gan.pictures import build_sheet, say_edges


@pytest.mark.parametrize(
    ("name", "label"),
    [("mni152_t1_1mm.nii.gz", "mni152_t1_1mm train"), ("sub-07_T1w.nii.gz", "07 train")],
)
def test_a_preview_names_the_person_or_else_the_file(
    tmp_path: Path,
    prepare: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    label: str,
) -> None:
    """`all`, as the one person of a file that names nobody is called, would say nothing."""
    seen: list[str] = []
    told: list[str] = []

    def note(images: Any, columns: int, labels: list[str], **more: Any) -> Any:
        seen.extend(labels)
        told.extend(more["notes"])
        return build_sheet(images, columns, labels, **more)

    monkeypatch.setattr("mri_gan.store.companions.build_sheet", note)
    data = phantoms.nifti_bytes(phantoms.brain_volume().astype(np.float32), "LPS", gzip=True)
    scan = phantoms.write_folder(tmp_path / "in", {name: data}) / name
    prepare(tmp_path / "s", scan)
    assert set(seen) == {label}
    assert told == [say_edges(("R", "L"))]
