"""Spectra of known waves, histograms of known greys."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from mri_gan.evaluate.distances import (
    grey_shares,
    histogram_family,
    radial_power,
    rings,
    spectrum_family,
)

rng = np.random.default_rng(0)


def test_a_wave_has_its_power_at_its_frequency() -> None:
    y, x = np.mgrid[:32, :32] / 32
    wave = 0.5 + 0.25 * np.cos(2 * np.pi * (3 * x + 4 * y))
    row = radial_power(wave[None].astype(np.float32))[0]
    assert row.shape == (17,)
    assert np.argmax(row[1:]) + 1 == 5
    strength = 10 * np.log10(2 * (0.25 / 2) ** 2 / rings(32)[1][5])
    assert row[5] == pytest.approx(strength, abs=0.1)


@pytest.mark.parametrize(("u", "v", "radius"), [(2, 2, 3), (1, 1, 1), (5, 3, 6), (12, 15, 16)])
def test_a_frequency_belongs_to_the_nearest_whole_radius(u: int, v: int, radius: int) -> None:
    """2.83, 1.41 and 5.83; what lies beyond 16 is counted with it."""
    y, x = np.mgrid[:32, :32] / 32
    wave = np.cos(2 * np.pi * (u * x + v * y))
    assert np.argmax(radial_power(wave[None].astype(np.float32))[0, 1:]) + 1 == radius


def test_brightness_alone_is_no_difference_of_spectra() -> None:
    images = rng.random((4, 32, 32), np.float32) / 2
    tables = [{"power": radial_power((images + shift).astype(np.float32))} for shift in (0, 0.5)]
    assert spectrum_family().compare(*tables)["spectrum"] == pytest.approx(0, abs=1e-3)


def test_every_frequency_is_counted_once() -> None:
    assert rings(16)[1].sum() == 256


def test_twice_the_contrast_is_6_db() -> None:
    images = rng.random((4, 32, 32), np.float32)
    tables = [{"power": radial_power(images * gain)} for gain in (0.5, 1)]
    assert spectrum_family().compare(*tables)["spectrum"] == pytest.approx(6.02, abs=0.01)


def test_shares_sum_to_1_and_the_brightest_grey_is_in_the_last_step() -> None:
    shares = grey_shares(np.stack([np.ones((8, 8)), np.zeros((8, 8))]).astype(np.float32))
    assert shares.sum(1) == pytest.approx([1, 1])
    assert (shares[0, 255], shares[1, 0]) == (1, 1)


def test_the_histogram_distance_is_scipys_in_per_cent() -> None:
    a, b = rng.integers(0, 256, (2, 5, 16, 16)) / 255
    b = b**2
    tables = [{"shares": grey_shares(x.astype(np.float32))} for x in (a, b)]
    steps = [np.floor(np.minimum(x.astype(np.float32) * 256, 255)).ravel() for x in (a, b)]
    expected = 100 * wasserstein_distance(*steps) / 256
    found = histogram_family().compare(*tables)["histogram"]
    assert found == pytest.approx(expected, rel=1e-4)
