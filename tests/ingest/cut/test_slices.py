"""Slices stand the right way up, keep their shape and know where in the body they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray

from mri_gan.ingest.cut.levels import fit_square, level_affine
from mri_gan.ingest.cut.slices import (
    AXES,
    affines_of,
    cut_slabs,
    foreground_shares,
    positions_mm,
)
from mri_gan.ingest.options import PLANES
from mri_gan.ingest.read.volume import Volume, read_volume

UNIT = (0.0, 1.0)


class Cut(NamedTuple):
    """One slice [H, W] of a volume, and (column, row, 1) -> RAS+ mm [3, 3]."""

    pixels: NDArray[Any]
    position: int
    position_mm: float
    affine: NDArray[np.float64]


def cut_slices(volume: Volume, plane: str, positions: Sequence[int]) -> Iterator[Cut]:
    affines, places_mm = affines_of(volume, plane), positions_mm(volume, plane)
    for slab, pixels in cut_slabs(volume, plane, positions):
        for position, one in zip(slab, pixels, strict=True):
            yield Cut(one, position, places_mm[position], affines[position])


def brain(spacing_mm: tuple[float, ...] = (1.0, 1.0, 1.0), radius_mm: float = 1.5) -> Volume:
    voxels = phantoms.brain_volume(spacing_mm=spacing_mm, marker_radius_mm=radius_mm)
    return read_volume(phantoms.nifti_bytes(voxels, "LPS", spacing_mm))


def marked(volume: Volume, plane: str) -> Cut:
    """The slice through the marker."""
    (found,) = cut_slices(volume, plane, [phantoms.marker_index(phantoms.SHAPE)[AXES[plane]]])
    return found


def all_cuts(volume: Volume, plane: str) -> list[Cut]:
    return list(cut_slices(volume, plane, range(volume.voxels.shape[AXES[plane]])))


def centre_of(bright: NDArray[np.bool]) -> tuple[float, float]:
    """The mean (column, row) of the true pixels."""
    rows, columns = np.nonzero(bright)
    return float(columns.mean()), float(rows.mean())


def marker_mm(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    index = phantoms.marker_index(phantoms.SHAPE)
    return np.asarray(np.add(phantoms.ORIGIN_MM, np.multiply(index, spacing_mm)), np.float64)


# Which slices


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("positions", [[0, 1, 2], [1, 3, 6, 17], [2, 15, 16, 19]])
def test_slices_at_some_positions_are_those_of_the_whole(plane: str, positions: list[int]) -> None:
    """Also where some are left out, within a group that is copied at once or beside it."""
    every = all_cuts(brain(), plane)
    some = list(cut_slices(brain(), plane, positions))
    assert [cut.position for cut in some] == positions
    for cut in some:
        np.testing.assert_array_equal(cut.pixels, every[cut.position].pixels)


# Which way up


@pytest.mark.parametrize(
    ("plane", "side", "why"),
    [
        ("axial", "right", "the patient's left is on the right of the picture, anterior is up"),
        ("coronal", "right", "the patient's left is on the right of the picture, superior is up"),
        ("sagittal", "left", "the nose points to the left, superior is up"),
    ],
)
def test_the_marker_shows_where_radiologists_expect_it(plane: str, side: str, why: str) -> None:
    pixels = marked(brain(), plane).pixels
    column, row = centre_of(pixels == phantoms.MARKER)
    height, width = pixels.shape
    assert row < height / 2 - 2, why
    assert (column > width / 2 + 2) == (side == "right"), why
    assert (column < width / 2 - 2) == (side == "left"), why


@pytest.mark.parametrize(
    ("plane", "shape"), [("axial", (26, 20)), ("coronal", (22, 20)), ("sagittal", (22, 26))]
)
def test_a_plane_has_one_slice_per_voxel_of_its_axis(plane: str, shape: tuple[int, int]) -> None:
    slices = all_cuts(brain(), plane)
    assert len(slices) == phantoms.SHAPE[AXES[plane]]
    assert {s.pixels.shape for s in slices} == {shape}


@pytest.mark.parametrize("plane", PLANES)
def test_positions_count_along_the_axis_in_millimetres(plane: str) -> None:
    axis, spacing_mm = AXES[plane], (1.0, 1.5, 2.5)
    slices = all_cuts(brain(spacing_mm), plane)
    count = phantoms.SHAPE[axis]
    assert [s.position for s in slices] == list(range(count))
    steps = phantoms.ORIGIN_MM[axis] + spacing_mm[axis] * np.arange(count)
    np.testing.assert_allclose([s.position_mm for s in slices], steps, atol=1e-4)


# Where in the body


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.1, 1.0, 1.4)])
def test_the_affine_leads_from_a_level_pixel_back_to_the_body(
    plane: str, fit: str, spacing_mm: tuple[float, float, float]
) -> None:
    found = marked(brain(spacing_mm, radius_mm=2.5), plane)
    rows, columns = (float(np.linalg.norm(found.affine[:, i])) for i in (1, 0))
    marker = (found.pixels == phantoms.MARKER) * np.float32(1)
    fitted, placed = fit_square(marker, (rows, columns), fit, UNIT)
    affine = level_affine(found.affine, placed)
    centre = affine @ (*centre_of(fitted > 0.5), 1)
    pixel_mm = np.linalg.norm(affine[:, 0])
    assert np.abs(centre - marker_mm(spacing_mm)).max() <= pixel_mm / 2


@pytest.mark.parametrize("plane", PLANES)
def test_the_affine_of_a_cut_names_the_voxel_of_each_pixel(plane: str) -> None:
    volume = brain((0.7, 1.1, 1.6))
    found = all_cuts(volume, plane)[5]
    to_voxel = np.linalg.inv(volume.affine)
    for row, column in [(0, 0), (3, 17), (21, 2)]:
        mm = found.affine @ (column, row, 1)
        index = np.round(to_voxel @ (*mm, 1), 3)[:3].astype(int)
        assert volume.voxels[tuple(index)] == found.pixels[row, column]


@pytest.mark.parametrize("plane", PLANES)
def test_what_is_told_of_all_slices_at_once_is_true_of_each(plane: str) -> None:
    volume = brain((0.7, 1.1, 1.6))
    cuts = all_cuts(volume, plane)
    assert [c.position for c in cuts] == list(range(volume.voxels.shape[AXES[plane]]))
    assert positions_mm(volume, plane) == [c.position_mm for c in cuts]
    shares = [float((c.pixels > 50).mean()) for c in cuts]
    assert foreground_shares(volume, plane, 50) == shares
    assert 0 < max(shares) < 1


# In square levels


@pytest.mark.parametrize("plane", PLANES)
def test_a_ball_stays_round_whatever_the_spacing(plane: str) -> None:
    spacing_mm = (0.8, 1.2, 2.4)
    voxels = phantoms.ball_volume((50, 34, 17), spacing_mm, radius_mm=14)
    volume = read_volume(phantoms.nifti_bytes(voxels, spacing_mm=spacing_mm))
    slices = all_cuts(volume, plane)
    middle = slices[len(slices) // 2]
    rows, columns = (float(np.linalg.norm(middle.affine[:, i])) for i in (1, 0))
    fitted, placed = fit_square(middle.pixels, (rows, columns), "pad", (0.0, 1001.0))
    ball = fitted > 500
    height, width = ball.any(axis=1).sum(), ball.any(axis=0).sum()
    pixel_mm = np.linalg.norm(level_affine(middle.affine, placed)[:, 0])
    assert abs(height - width) <= 2
    assert width * pixel_mm == pytest.approx(28, abs=1.2)


@pytest.mark.parametrize("plane", PLANES)
def test_level_pixels_are_square_and_as_long_as_the_affine_says(plane: str) -> None:
    found = marked(brain((0.7, 1.1, 1.6)), plane)
    rows, columns = (float(np.linalg.norm(found.affine[:, i])) for i in (1, 0))
    _, placed = fit_square(found.pixels, (rows, columns), "pad", UNIT)
    affine = level_affine(found.affine, placed)
    across, down = np.linalg.norm(affine[:, 0]), np.linalg.norm(affine[:, 1])
    assert across == pytest.approx(down, rel=0.02)  # whole pixels only
