"""What a sample of a volume says is what the volume says, in whatever type it is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from mri_gan.errors import DataError
from mri_gan.ingest.cut import intensity
from mri_gan.ingest.cut.intensity import above, find_otsu, percentiles, split, take_sample

BRAIN = np.floor(phantoms.brain_volume())
TYPES = ["int16", "uint16", "int32", "float32"]


def test_a_small_volume_is_its_own_sample() -> None:
    np.testing.assert_array_equal(take_sample(BRAIN), np.sort(BRAIN.ravel()))


@pytest.mark.parametrize("shape", [(40, 50, 60), (3, 3, 9000), (1, 1, 70000), (300, 300, 1)])
def test_large_volumes_are_thinned_out_evenly(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(intensity, "MAX_SAMPLES", 5000)
    voxels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    sample = take_sample(voxels)
    assert 5000 / intensity.THIN <= len(sample) <= 5000
    assert (np.diff(sample) > 0).all()
    assert sample.mean() == pytest.approx(voxels.mean(), rel=0.05)


def test_the_sample_of_a_turned_volume_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intensity, "MAX_SAMPLES", 1000)
    stored = np.asfortranarray(BRAIN[::-1])[::-1]
    np.testing.assert_array_equal(take_sample(stored), take_sample(BRAIN))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("threshold", [-0.5, 0.0, 99.0, 99.5, 1e6])
def test_a_threshold_splits_a_sample_and_voxels_alike(dtype: str, threshold: float) -> None:
    voxels = BRAIN.astype(dtype)
    if dtype != "float32" and threshold > BRAIN.max():
        threshold = float(BRAIN.max())
    if dtype == "uint16":
        threshold = max(threshold, 0.0)
    dark, bright = split(take_sample(voxels), threshold)
    np.testing.assert_array_equal(dark, np.sort(BRAIN[threshold >= BRAIN]))
    np.testing.assert_array_equal(bright, np.sort(BRAIN[threshold < BRAIN]))
    np.testing.assert_array_equal(above(voxels, threshold), threshold < BRAIN)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shares", [(0, 100), (0.5, 99.5), (50, 33.3)])
def test_percentiles_are_those_of_numpy(dtype: str, shares: tuple[float, float]) -> None:
    sample = take_sample(BRAIN.astype(dtype))
    np.testing.assert_allclose(percentiles(sample, shares), np.percentile(BRAIN, shares), rtol=1e-6)


def test_percentiles_between_two_voxels_are_linear() -> None:
    sample = np.array([1, 5, 20], np.uint8)
    assert percentiles(sample, (10, 25, 60)) == pytest.approx(np.percentile(sample, (10, 25, 60)))


def scans() -> list[NDArray[Any]]:
    rng = np.random.default_rng(3)
    two = np.concatenate([rng.normal(20, 5, 4000), rng.normal(200, 40, 2000)]).clip(0)
    return [BRAIN, two, rng.gamma(2, 30, 5000), np.repeat([0.0, 3.0], [900, 100])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", range(4))
def test_otsu_is_that_of_scikit_image(number: int, dtype: str) -> None:
    voxels = scans()[number].astype(dtype)
    wide = float(np.ptp(voxels)) / intensity.BINS
    assert find_otsu(take_sample(voxels)) == pytest.approx(threshold_otsu(voxels), abs=1.01 * wide)


@pytest.mark.parametrize("number", range(4))
def test_otsu_is_the_same_for_whole_numbers_in_any_type(number: int) -> None:
    voxels = np.floor(scans()[number])
    found = {find_otsu(take_sample(voxels.astype(dtype))) for dtype in TYPES}
    assert len(found) == 1


def test_values_that_differ_by_rounding_have_no_threshold() -> None:
    near = np.array([1.5, np.nextafter(np.float32(1.5), np.float32(2))], np.float32)
    with pytest.raises(DataError, match="no contrast"):
        find_otsu(near)
