"""Slices fill square levels, keep their shape, and are resampled without ringing."""

from __future__ import annotations

from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray

from mri_gan.ingest.cut.levels import fit_square, native_level, place_slice, resize

UNIT = (0.0, 1.0)
BYTES = (0.0, 255.0)


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


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_a_slice_that_fits_is_not_touched(dtype: str, fit: str) -> None:
    pixels = phantoms.slice_pixels(64, 64).astype(dtype)
    fitted, placed = fit_square(pixels, (1.0, 1.0), fit, BYTES)
    np.testing.assert_array_equal(fitted, pixels)
    assert (placed.scale, placed.padding) == ((1.0, 1.0), (0, 0, 0, 0))


def test_padding_adds_black_on_both_sides() -> None:
    pixels = np.full((64, 50), 200, np.uint8)
    fitted, placed = fit_square(pixels, (1.0, 1.0), "pad", BYTES)
    assert placed.padding == (0, 0, 7, 7)
    np.testing.assert_array_equal(fitted[:, 7:57], pixels)
    assert not fitted[:, :7].any()
    assert not fitted[:, 57:].any()


def test_cropping_takes_the_middle() -> None:
    pixels = np.tile(np.arange(81, dtype=np.uint8), (64, 1))
    fitted, placed = fit_square(pixels, (1.0, 1.0), "crop", BYTES)
    assert placed.padding == (0, 0, -9, -8)
    np.testing.assert_array_equal(fitted, pixels[:, 9:73])


@pytest.mark.parametrize("shape", [(228, 260), (1, 1), (1, 300), (300, 1), (7, 1500)])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_any_slice_fills_a_square_level(shape: tuple[int, int], fit: str) -> None:
    fitted, _ = fit_square(np.full(shape, 9, np.uint8), (1.0, 1.0), fit, BYTES)
    height, width = fitted.shape
    assert height == width == native_level(max(shape) if fit == "pad" else min(shape))


@pytest.mark.parametrize(
    ("shape", "spacing", "fit", "level", "size"),
    [
        ((64, 64), (1.0, 0.67), "pad", 128, (128, 86)),  # 42.88 mm of 64 mm: 85.76 px
        ((64, 64), (0.67, 1.0), "crop", 64, (64, 96)),  # 42.88 mm fill 64 px: 95.52
        ((50, 64), (1.292, 1.0), "keep", 128, (65, 64)),  # 64.6 px do not fit into 64
        ((50, 64), (1.284, 1.0), "keep", 64, (64, 64)),  # 64.2 px do
    ],
)
def test_a_slice_takes_the_nearest_whole_pixels(
    shape: tuple[int, int],
    spacing: tuple[float, float],
    fit: str,
    level: int,
    size: tuple[int, int],
) -> None:
    placed = place_slice(shape, spacing, fit)
    assert (placed.level, placed.size) == (level, size)


def test_the_ground_is_what_a_slice_is_padded_with() -> None:
    pixels = np.ones((64, 50), np.float32)
    fitted, _ = fit_square(pixels, (1.0, 1.0), "pad", UNIT, ground=0.25)
    assert (fitted[:, :7] == 0.25).all()
    assert (fitted[:, 57:] == 0.25).all()


def test_akoa_slices_are_padded_to_256() -> None:
    fitted, placed = fit_square(phantoms.slice_pixels(260, 228), (1.0, 1.0), "pad", BYTES)
    assert fitted.shape == (256, 256)
    assert placed.padding == (16, 16, 0, 0)
    assert placed.scale == (224 / 228, 256 / 260)


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


def test_sizes_are_as_the_documents_say() -> None:
    """Enlarged to the next level, or shrunk by at most a tenth."""
    sizes = {(90, 72): (128, 102), (260, 228): (256, 224), (150, 150): (256, 256)}
    for shape, size in sizes.items():
        assert place_slice(shape, (1.0, 1.0), "pad").size == size
