"""Slices stand the right way up, keep their shape and know where in the body they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray

from mri_gan.ingest.cut.slices import (
    AXES,
    Cut,
    cut,
    fit_square,
    foreground_shares,
    level_affine,
    native_level,
    positions_mm,
    resize,
)
from mri_gan.ingest.read.volume import Volume, read_volume
from mri_gan.preparation import PLANES

UNIT = (0.0, 1.0)
BYTES = (0.0, 255.0)


def brain(spacing_mm: tuple[float, ...] = (1.0, 1.0, 1.0), radius_mm: float = 1.5) -> Volume:
    voxels = phantoms.brain_volume(spacing_mm=spacing_mm, marker_radius_mm=radius_mm)
    return read_volume(phantoms.nifti_bytes(voxels, "LPS", spacing_mm))


def marked(volume: Volume, plane: str) -> Cut:
    """The slice through the marker."""
    (found,) = cut(volume, plane, [phantoms.marker_index(phantoms.SHAPE)[AXES[plane]]])
    return found


def all_cuts(volume: Volume, plane: str) -> list[Cut]:
    return list(cut(volume, plane, range(volume.voxels.shape[AXES[plane]])))


def centre_of(bright: NDArray[np.bool]) -> tuple[float, float]:
    """The mean (column, row) of the true pixels."""
    rows, columns = np.nonzero(bright)
    return float(columns.mean()), float(rows.mean())


def marker_mm(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    index = phantoms.marker_index(phantoms.SHAPE)
    return np.asarray(np.add(phantoms.ORIGIN_MM, np.multiply(index, spacing_mm)), np.float64)


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


def test_positions_count_along_the_axis_in_millimetres() -> None:
    slices = all_cuts(brain((1.0, 1.0, 2.5)), "axial")
    assert [s.position for s in slices] == list(range(22))
    steps = phantoms.ORIGIN_MM[2] + 2.5 * np.arange(22)
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
    fitted = fit_square(
        (found.pixels == phantoms.MARKER) * np.float32(1), (rows, columns), fit, UNIT
    )
    affine = level_affine(found.affine, fitted.place)
    centre = affine @ (*centre_of(fitted.pixels > 0.5), 1)
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


# Shape and size


@pytest.mark.parametrize(
    ("side_px", "level"),
    [
        (1, 8), (8, 8), (9, 16), (28, 32), (64, 64), (71, 64), (72, 128), (208, 256),
        (256, 256), (260, 256), (284, 256), (285, 512), (300, 512), (512, 512), (1024, 1024),
        (1137, 1024), (1200, 1024), (5000, 1024),
    ],
)  # fmt: skip
def test_the_native_level_shrinks_by_a_tenth_at_most(side_px: int, level: int) -> None:
    assert native_level(side_px) == level


@pytest.mark.parametrize("plane", PLANES)
def test_a_ball_stays_round_whatever_the_spacing(plane: str) -> None:
    spacing_mm = (0.8, 1.2, 2.4)
    voxels = phantoms.ball_volume((50, 34, 17), spacing_mm, radius_mm=14)
    volume = read_volume(phantoms.nifti_bytes(voxels, spacing_mm=spacing_mm))
    slices = all_cuts(volume, plane)
    middle = slices[len(slices) // 2]
    rows, columns = (float(np.linalg.norm(middle.affine[:, i])) for i in (1, 0))
    fitted = fit_square(middle.pixels, (rows, columns), "pad", (0.0, 1001.0))
    ball = fitted.pixels > 500
    height, width = ball.any(axis=1).sum(), ball.any(axis=0).sum()
    pixel_mm = np.linalg.norm(level_affine(middle.affine, fitted.place)[:, 0])
    assert abs(height - width) <= 2
    assert width * pixel_mm == pytest.approx(28, abs=1.2)


@pytest.mark.parametrize("plane", PLANES)
def test_level_pixels_are_square_and_as_long_as_the_affine_says(plane: str) -> None:
    found = marked(brain((0.7, 1.1, 1.6)), plane)
    rows, columns = (float(np.linalg.norm(found.affine[:, i])) for i in (1, 0))
    affine = level_affine(
        found.affine, fit_square(found.pixels, (rows, columns), "pad", UNIT).place
    )
    across, down = np.linalg.norm(affine[:, 0]), np.linalg.norm(affine[:, 1])
    assert across == pytest.approx(down, rel=0.02)  # whole pixels only


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_a_slice_that_fits_is_not_touched(dtype: str, fit: str) -> None:
    pixels = phantoms.slice_pixels(64, 64).astype(dtype)
    fitted = fit_square(pixels, (1.0, 1.0), fit, BYTES)
    np.testing.assert_array_equal(fitted.pixels, pixels)
    assert (fitted.scale, fitted.padding) == ((1.0, 1.0), (0, 0, 0, 0))


def test_padding_adds_black_on_both_sides() -> None:
    pixels = np.full((64, 50), 200, np.uint8)
    fitted = fit_square(pixels, (1.0, 1.0), "pad", BYTES)
    assert fitted.padding == (0, 0, 7, 7)
    np.testing.assert_array_equal(fitted.pixels[:, 7:57], pixels)
    assert not fitted.pixels[:, :7].any()
    assert not fitted.pixels[:, 57:].any()


def test_cropping_takes_the_middle() -> None:
    pixels = np.tile(np.arange(81, dtype=np.uint8), (64, 1))
    fitted = fit_square(pixels, (1.0, 1.0), "crop", BYTES)
    assert fitted.padding == (0, 0, -9, -8)
    np.testing.assert_array_equal(fitted.pixels, pixels[:, 9:73])


@pytest.mark.parametrize("shape", [(228, 260), (1, 1), (1, 300), (300, 1), (7, 1500)])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_any_slice_fills_a_square_level(shape: tuple[int, int], fit: str) -> None:
    fitted = fit_square(np.full(shape, 9, np.uint8), (1.0, 1.0), fit, BYTES)
    height, width = fitted.pixels.shape
    assert height == width == native_level(max(shape) if fit == "pad" else min(shape))


def test_akoa_slices_are_padded_to_256() -> None:
    fitted = fit_square(phantoms.slice_pixels(260, 228), (1.0, 1.0), "pad", BYTES)
    assert fitted.pixels.shape == (256, 256)
    assert fitted.padding == (16, 16, 0, 0)
    assert fitted.scale == (224 / 228, 256 / 260)


# Resampling


@pytest.mark.parametrize(
    ("dtype", "limits"), [("uint8", BYTES), ("uint16", (0.0, 65535.0)), ("float32", UNIT)]
)
def test_ringing_stays_within_the_limits(dtype: str, limits: tuple[float, float]) -> None:
    edge: NDArray[Any] = np.zeros((40, 40), dtype)
    edge[:, 20:] = limits[1]
    resized = resize(edge, 97, 97, limits)
    assert resized.dtype == dtype
    assert (resized.min(), resized.max()) == limits
    assert resized[:, :30].max() < 0.1 * limits[1]  # no overshoot that wrapped around


def test_resizing_keeps_the_mean() -> None:
    pixels = phantoms.slice_pixels(100, 80)
    assert resize(pixels, 40, 50, BYTES).mean() == pytest.approx(pixels.mean(), rel=0.01)


def test_eight_and_sixteen_bits_are_resampled_alike() -> None:
    pixels = np.add.outer(np.arange(80), np.arange(100)).astype(np.uint8) + np.uint8(30)
    eight = resize(pixels, 60, 75, BYTES).astype(float)
    sixteen = resize(pixels.astype(np.uint16) * 257, 60, 75, (0.0, 65535.0)) / 257
    assert np.abs(eight - sixteen).max() <= 1
