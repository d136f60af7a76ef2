"""The demo volume is intact, geometrically plain and free of text that could name anybody."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

DEMO = Path(__file__).parents[1] / "data" / "demo"
VOLUME = DEMO / "mni152_t1_1mm.nii.gz"


@pytest.fixture(scope="module")
def image() -> Any:  # nibabel is only partly typed
    """The demo volume as nibabel sees it."""
    return nib.Nifti1Image.from_filename(VOLUME)


def test_checksums_match_and_cover_every_file() -> None:
    rows = [line.split("  ") for line in (DEMO / "SHA256SUMS").read_text().splitlines()]
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in DEMO.iterdir()
        if path.name != "SHA256SUMS"
    }
    assert {name: digest for digest, name in rows} == found


def test_licence_travels_with_the_volume() -> None:
    text = (DEMO / "LICENSE-MNI152.txt").read_text()
    assert "Copyright (C) 1993-2004 Louis Collins" in text
    assert "Copyright (c) The nilearn developers" in text


def test_volume_is_one_millimetre_and_ras(image: Any) -> None:
    assert image.shape == (197, 233, 189)
    # The identity says both at once: axes run right, anterior, superior in steps of 1 mm.
    np.testing.assert_array_equal(image.affine[:3, :3], np.eye(3))
    assert image.header.get_xyzt_units()[0] == "mm"


def test_voxels_are_finite_and_fill_the_range(image: Any) -> None:
    voxels = image.get_fdata(dtype=np.float32)
    assert np.isfinite(voxels).all()
    assert (voxels.min(), voxels.max()) == (0.0, 255.0)
    assert 0.2 < (voxels > 0).mean() < 0.25  # a brain without its skull, not an empty box


def test_header_carries_no_free_text(image: Any) -> None:
    for field in ("data_type", "db_name", "descrip", "aux_file", "intent_name"):
        assert image.header[field].item() == b""
    assert list(image.header.extensions) == []


def test_gzip_header_carries_neither_name_nor_time() -> None:
    flags, mtime = VOLUME.read_bytes()[3], VOLUME.read_bytes()[4:8]
    assert (flags, mtime) == (0, bytes(4))
