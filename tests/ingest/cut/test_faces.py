"""Whole heads with a face are told from defaced heads, stripped brains and other things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import phantoms
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from mri_gan.cli.main import cli
from mri_gan.ingest.cut.faces import shows_face
from mri_gan.ingest.cut.intensity import foreground_threshold, take_sample
from mri_gan.ingest.read.volume import Volume, read_volume

Prepare = Callable[..., Path]


def look(volume: NDArray[np.float64], spacing_mm: float = 3.0) -> bool:
    affine = np.diag([spacing_mm] * 3 + [1.0])
    voxels = volume.astype(np.float32)
    return shows_face(Volume(voxels, affine), foreground_threshold(take_sample(voxels)))


def test_a_head_with_a_face_is_seen() -> None:
    assert look(phantoms.head_volume(face=True))


def test_a_head_without_its_face_is_not() -> None:
    assert not look(phantoms.head_volume(face=False))


@pytest.mark.parametrize("face", [False, True])
def test_a_brain_alone_is_not(face: bool) -> None:
    """Not even where a bright lump lies before it."""
    assert not look(phantoms.head_volume(face=face, skull=False))


def test_a_ball_a_block_and_a_small_thing_are_not() -> None:
    assert not look(phantoms.ball_volume((64, 64, 64), (3, 3, 3), 80))
    assert not look(np.pad(np.full((40, 40, 40), 500.0), 10))
    assert not look(phantoms.head_volume(face=True), spacing_mm=1.0)


@pytest.mark.parametrize("axes", ["LPI", "ASL", "SRA"])
def test_the_way_the_file_lies_does_not_matter(axes: str) -> None:
    data = phantoms.nifti_bytes(phantoms.head_volume(face=True), axes, (3, 3, 3))
    volume = read_volume(data)
    assert shows_face(volume, foreground_threshold(take_sample(volume.voxels)))


def test_prepare_warns_and_counts(tmp_path: Path) -> None:
    for name, face in (("100", True), ("101", False)):
        data = phantoms.nifti_bytes(phantoms.head_volume(face=face), "LPS", (3, 3, 3))
        (tmp_path / f"{name}.nii").write_bytes(data)
    command = ["prepare", *map(str, tmp_path.glob("*.nii")), "--out", str(tmp_path / "s")]
    result = CliRunner().invoke(cli, [*command, "--workers", "0", "--plane", "sagittal"])
    assert result.exit_code == 0
    assert "100.nii seems to show a face" in result.stderr
    assert "volumes with a face" in result.stdout
