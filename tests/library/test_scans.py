"""Scans as volumes in their place."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import phantoms
import pytest

import mri_gan as mg
from mri_gan.errors import DataError
from mri_gan.library.scans import Volume, to_native, volumes


@pytest.fixture(scope="module")
def brains(prepare: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    scan = phantoms.nifti_bytes(phantoms.brain_volume(), "LPS", gzip=True)
    phantoms.write_folder(folder / "in", {"p1.nii.gz": scan, "p2.nii.gz": scan})
    return prepare(folder / "out", folder / "in")


def test_a_scan_lies_where_its_voxels_lay(brains: Path, tmp_path: Path) -> None:
    """The brightest voxel of the volume is where it was in the scanner."""
    found = list(volumes(str(brains)))
    assert {volume.subject for volume in found} == {"p1", "p2"}
    assert [volume.contrast for volume in found] == [None, None]
    scan = nib.Nifti1Image.from_bytes(
        phantoms.nifti_bytes(phantoms.brain_volume(), "LPS", gzip=False)
    )
    voxels = np.asanyarray(scan.dataobj, dtype=np.float64)
    volume = found[0]
    assert volume.affine is not None
    assert volume.voxels.ndim == 3
    here = centre_mm(volume.voxels.transpose(2, 1, 0), volume.affine)
    np.testing.assert_allclose(here, centre_mm(voxels, scan.affine), atol=3.0)
    volume.save(tmp_path / "a.nii.gz")
    saved = nib.nifti1.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(
        centre_mm(np.asanyarray(saved.dataobj, dtype=np.float64), saved.affine), here, atol=1e-3
    )


def centre_mm(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The centre of the bright voxels in mm."""
    at = np.argwhere(voxels > voxels.max() / 3).mean(0)
    return np.asarray(affine @ [*at, 1])[:3]


def test_a_lower_level_covers_the_same_millimetres(brains: Path) -> None:
    native, small = (next(volumes(brains, level=level)) for level in (None, 16))
    assert native.affine is not None
    assert small.affine is not None
    size = native.voxels.shape[-1]
    corners = [
        volume.affine @ [edge, edge, 0, 1]
        for volume, edge in ((native, size - 0.5), (small, 15.5))
        if volume.affine is not None
    ]
    np.testing.assert_allclose(corners[0], corners[1], atol=1e-6)
    assert np.array_equal(to_native(1.0), np.eye(4))


def test_two_scans_of_one_visit_are_told_apart_by_their_contrast(
    prepare: Callable[..., Path], tmp_path: Path
) -> None:
    scan = phantoms.nifti_bytes(phantoms.brain_volume(), "LPS", gzip=True)
    names = ("sub-1_T1w.nii.gz", "sub-1_FLAIR.nii.gz")
    phantoms.write_folder(tmp_path / "in", dict.fromkeys(names, scan))
    found = list(volumes(prepare(tmp_path / "s", tmp_path / "in")))
    assert {volume.contrast for volume in found} == {"t1", "flair"}
    assert all(f" {volume.contrast} " in repr(volume) for volume in found)


def test_picture_slices_are_a_volume_without_a_place(store: Path, tmp_path: Path) -> None:
    found = list(volumes(store, "train", 16))
    assert all(volume.affine is None for volume in found)
    assert all(volume.voxels.shape == (2, 16, 16) for volume in found)
    with pytest.raises(DataError, match="no geometry"):
        found[0].save(tmp_path / "a.nii.gz")


def test_a_drawn_volume_is_marked_and_a_store_of_it_says_so(tmp_path: Path) -> None:
    """Else a network is trained on what another has drawn, and nobody knows."""
    (tmp_path / "in").mkdir()
    stack = np.random.default_rng(0).integers(60, 255, (6, 24, 24), np.uint8)
    for name, drawn in (("drawn", True), ("scan", False)):
        file = tmp_path / "in" / f"{name}.nii.gz"
        Volume(stack, np.eye(4), synthetic=drawn).save(file)
        said = nib.nifti1.load(file).header["descrip"].item()
        assert said.startswith(b"SYNTHETIC, no scan") == drawn
    made = mg.prepare(tmp_path / "in", tmp_path / "S", workers=0, min_foreground=0)
    assert made.facts["synthetic"] == 1
    said = "1 file is marked as drawn by a generative network, and not scans of people"
    assert said in made.doubts


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    volume, folder = Volume(np.zeros((2, 4, 4), np.uint8), np.eye(4)), tmp_path / "none"
    with pytest.raises(DataError, match=f"there is no folder {re.escape(str(folder))}: make it"):
        volume.save(folder / "a.nii")


def test_channels_come_first(tmp_path: Path) -> None:
    stack = np.zeros((2, 3, 8, 8), np.uint8)
    for drawn, said in (
        (True, b"SYNTHETIC, no scan; mrigan; channels T1, T2"),
        (False, b"channels T1, T2"),
    ):
        file = tmp_path / "two.nii.gz"
        Volume(stack, np.eye(4), synthetic=drawn, channel_names=("T1", "T2")).save(file)
        saved = nib.nifti1.load(file)
        assert saved.shape == (8, 8, 3, 2)
        assert saved.header["descrip"].item() == said


def test_two_people_with_the_same_pixels_and_a_split_without_people_are_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for person in range(5):
        stack = rng.integers(60, 255, (4, 24, 24), np.uint8)
        Volume(stack, np.eye(4)).save(tmp_path / "in" / f"p{person}.nii.gz")
    splits = {f"p{n}": "train" if n < 4 else "test" for n in range(5)}
    (tmp_path / "s.tsv").write_text("".join(f"{who}\t{s}\n" for who, s in splits.items()))
    (tmp_path / "in" / "p1.nii.gz").write_bytes((tmp_path / "in" / "p0.nii.gz").read_bytes())
    (tmp_path / "in" / "p4.nii.gz").write_bytes(b"damaged")
    made = mg.prepare(
        tmp_path / "in", tmp_path / "S", split_file=tmp_path / "s.tsv", workers=0, min_foreground=0
    )
    told = " ".join(made.doubts)
    assert "4 slices have the same pixels as another person's, such as those of p0 and p1" in told
    assert "nobody is in test: a model cannot be judged" in told
