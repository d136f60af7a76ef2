"""One window per volume turns scanner units into grey levels; bit depths convert exactly."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.ingest.cut import intensity as sampling
from mri_gan.ingest.cut.intensity import (
    MAX_SAMPLES,
    apply_window,
    find_curve,
    foreground_threshold,
    percentile_window,
    quantise,
    take_sample,
    to_depth,
)
from mri_gan.ingest.options import INTENSITIES, PrepareConfig

BRAIN = phantoms.brain_volume().astype(np.float32)


def threshold_of(voxels: NDArray[Any]) -> float:
    return foreground_threshold(take_sample(voxels))


def window_of(
    voxels: NDArray[Any], threshold: float, shares: tuple[float, float]
) -> tuple[float, float]:
    return percentile_window(take_sample(voxels), threshold, shares)


# The foreground


def test_the_threshold_parts_air_from_tissue() -> None:
    assert 20 < threshold_of(BRAIN) < 400


def test_the_threshold_is_in_the_middle_of_the_gap_between_air_and_tissue() -> None:
    assert threshold_of(np.repeat([0, 7, 10, 100, 101], 50).astype(np.int16)) == 55


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_threshold_follows_the_scanner_scale(scale: float) -> None:
    scaled = threshold_of(BRAIN * np.float32(scale))
    assert scaled == pytest.approx(threshold_of(BRAIN) * scale, rel=1e-3)


def test_equal_voxels_are_refused() -> None:
    with pytest.raises(DataError, match="all voxels are equal"):
        threshold_of(np.full((9, 9, 9), 1.5, np.float32))


def test_voxels_that_differ_by_rounding_only_are_refused() -> None:
    voxels = np.full((9, 9, 9), 1.5, np.float32)
    voxels[4:] = np.nextafter(np.float32(1.5), np.float32(2))
    with pytest.raises(DataError, match="no contrast"):
        threshold_of(voxels)


# The window


def test_the_window_is_air_to_bright_tissue() -> None:
    low, high = window_of(BRAIN, threshold_of(BRAIN), (0.5, 98.0))
    assert 0 <= low < 20
    assert 550 < high < phantoms.MARKER


@pytest.mark.parametrize("shares", [(0.5, 98.0), (5.0, 99.5), (20.0, 60.0)])
def test_black_is_a_percentile_of_all_voxels_and_white_one_of_the_tissue(
    shares: tuple[float, float],
) -> None:
    expected = np.percentile(BRAIN, shares[0]), np.percentile(BRAIN[BRAIN > 200], shares[1])
    assert window_of(BRAIN, 200.0, shares) == pytest.approx(expected, rel=1e-6)


def test_white_does_not_depend_on_how_much_air_surrounds_the_head() -> None:
    air = np.random.default_rng(1).uniform(0, 20, (20, 26, 200)).astype(np.float32)
    padded = np.concatenate([BRAIN, air], axis=2)
    white = [window_of(v, 200.0, (0.5, 99.0))[1] for v in (BRAIN, padded)]
    assert white[1] == pytest.approx(white[0], rel=1e-6)


def test_percentiles_0_and_100_are_the_extremes() -> None:
    assert window_of(BRAIN, 200.0, (0, 100)) == (BRAIN.min(), BRAIN.max())


def test_no_contrast_is_refused() -> None:
    voxels = np.zeros((9, 9, 9), np.float32)
    voxels[0, 0, 0] = 1
    with pytest.raises(DataError, match="no contrast"):
        window_of(voxels, -1.0, (50, 50.1))


def test_large_volumes_are_sampled_across_all_their_slices() -> None:
    """The step is odd: an even one would meet only every second row of a 256 px slice."""
    voxels = np.zeros((4, 1024, 1024), np.float32)
    voxels[..., ::2] = 1000.5
    assert voxels.size > MAX_SAMPLES
    low, high = window_of(voxels, threshold_of(voxels), (1, 99))
    assert (low, high) == (0.0, 1000.5)


def test_the_window_maps_to_0_and_1_and_clips() -> None:
    values = np.array([-5.0, 10.0, 15.0, 20.0, 99.0], np.float32)
    np.testing.assert_allclose(apply_window(values, (10, 20)), [0, 0, 0.5, 1, 1], atol=1e-6)


def test_a_value_that_float32_cannot_hold_after_scaling_is_clipped_without_a_warning() -> None:
    values = np.array([-1e28, 0, 1e-20, 1e28], np.float32)
    assert apply_window(values, (0.0, 2e-20)).tolist() == pytest.approx([0, 0, 0.5, 1])


# Grey levels


@pytest.mark.parametrize(("depth", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_quantising_fills_the_range_and_rounds_half_up(depth: int, dtype: type) -> None:
    top = (1 << depth) - 1
    values = np.array([-1, 0, 0.5 / top, 1.4 / top, 1, 2], np.float32)
    grey = quantise(values, depth)
    assert grey.dtype == dtype
    np.testing.assert_array_equal(grey, [0, 0, 1, 1, top, top])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_same_depth_is_untouched(dtype: str) -> None:
    pixels: NDArray[Any] = np.arange(200).astype(dtype)
    assert to_depth(pixels, 8 * pixels.itemsize) is pixels


def test_eight_bits_survive_the_way_to_sixteen_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8)
    wide = to_depth(pixels, 16)
    assert (wide[0], wide[255]) == (0, 65535)
    np.testing.assert_array_equal(to_depth(wide, 8), pixels)


def test_sixteen_bits_go_to_the_nearest_of_eight() -> None:
    pixels = np.arange(65536).astype(np.uint16)
    exact = np.arange(65536) / 257
    assert np.abs(to_depth(pixels, 8) - exact).max() <= 0.5


@pytest.mark.parametrize("mode", INTENSITIES)
@pytest.mark.parametrize("samples", [MAX_SAMPLES, 1000])
def test_the_curve_does_not_depend_on_how_voxels_lie_in_memory(
    monkeypatch: pytest.MonkeyPatch, samples: int, mode: str
) -> None:
    monkeypatch.setattr(sampling, "MAX_SAMPLES", samples)
    rng = np.random.default_rng(1)
    voxels = np.floor(rng.gamma(2, 30, (31, 17, 23))).clip(0, 255).astype(np.float32)
    threshold, curves = threshold_of(voxels), []
    for order in itertools.permutations(range(3)):
        back = np.argsort(order)
        laid = np.ascontiguousarray(voxels.transpose(order)).transpose(back)
        turned = np.ascontiguousarray(laid[::-1])[::-1]  # negative strides
        for same in (laid, turned):
            assert threshold_of(same) == threshold
            config = PrepareConfig(intensity=mode)
            curves.append(
                find_curve(same, take_sample(same), threshold, config, tuple(np.linspace(0, 1, 11)))
            )
    assert len(curves) == 12
    assert len(set(curves)) == 1
