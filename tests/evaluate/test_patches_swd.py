"""Sliced Wasserstein distance: the pyramid, the normalisation, and scipy's own distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from scipy.stats import wasserstein_distance

from mri_gan.evaluate import patches

rng = np.random.default_rng(0)
IMAGES = rng.random((6, 32, 32), np.float32)


def sizes(px: int) -> list[int]:
    return [level.shape[-1] for level in patches.laplacian_pyramid(torch.zeros(1, 1, px, px))]


def test_levels_end_at_16_px() -> None:
    assert sizes(128) == [128, 64, 32, 16]
    assert sizes(16) == [16]
    assert sizes(8) == [8]


def test_the_pyramid_sums_back_to_the_image() -> None:
    images = torch.from_numpy(IMAGES).unsqueeze(1)
    fine, coarse = patches.laplacian_pyramid(images)
    assert (fine.shape[-1], coarse.shape[-1]) == (32, 16)
    assert torch.allclose(fine + patches._enlarge(coarse), images, atol=1e-6)


def test_the_low_pass_is_the_binomial_filter_of_burt_and_adelson() -> None:
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    smooth = IMAGES.astype(float)
    for axis in (1, 2):
        smooth = convolve1d(smooth, kernel, axis=axis, mode="mirror")
    coarse = patches.laplacian_pyramid(torch.from_numpy(IMAGES).unsqueeze(1))[1]
    assert np.allclose(coarse[:, 0], smooth[:, ::2, ::2], atol=1e-6)


def test_a_flat_image_has_nothing_above_the_low_pass() -> None:
    fine, coarse = patches.laplacian_pyramid(torch.full((1, 1, 32, 32), 0.7))
    assert torch.allclose(fine, torch.zeros(()), atol=1e-6)
    assert torch.allclose(coarse, torch.tensor(0.7))


def test_patches_are_cut_whole_from_the_level_at_places_given_by_seed_and_number() -> None:
    found = patches.describe_patches(IMAGES, 5, first=40, seed=3)
    fine = patches.laplacian_pyramid(torch.from_numpy(IMAGES).unsqueeze(1))[0][2, 0].numpy()
    y, x = np.random.default_rng((3, 42, 32)).integers(0, 26, (2, 5))
    for k in range(5):
        assert np.array_equal(found[32][2, k], fine[y[k] : y[k] + 7, x[k] : x[k] + 7].reshape(-1))
    alone = patches.describe_patches(IMAGES[2:3], 5, first=42, seed=3)
    assert np.allclose(alone[32][0], found[32][2], atol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (60, 180)])
def test_the_distance_is_the_mean_of_scipys_over_the_directions(n: int, m: int) -> None:
    a = rng.normal(2, 3, (n, 4, 49)).astype(np.float32)
    b = rng.gamma(2, 1, (m, 4, 49)).astype(np.float32)
    directions = patches.draw_directions(40)
    left, right = ((x.reshape(-1, 49) - x.mean()) / x.std() for x in (a, b))
    expected = np.mean([wasserstein_distance(left @ d, right @ d) for d in directions])
    assert patches.sliced_distance(a, b, directions) == pytest.approx(1000 * expected, rel=1e-4)


def test_counts_that_do_not_divide_come_near_the_exact_distance() -> None:
    a, b = (rng.normal(size=(n, 4, 49)).astype(np.float32) ** 3 for n in (70, 101))
    directions = patches.draw_directions(20)
    left, right = (patches.normalise(x) for x in (a, b))
    expected = np.mean([wasserstein_distance(left @ d, right @ d) for d in directions])
    assert patches.sliced_distance(a, b, directions) == pytest.approx(1000 * expected, rel=0.02)


def test_equal_sets_are_at_distance_0_and_contrast_alone_does_not_show() -> None:
    a = patches.describe_patches(IMAGES, 20)[32]
    directions = patches.draw_directions(16)
    assert patches.sliced_distance(a, a, directions) == 0
    assert patches.sliced_distance(a, 0.5 * a + 0.1, directions) == pytest.approx(0, abs=1e-2)
    assert patches.sliced_distance(a, a**2, directions) > 10


def test_directions_have_length_1_and_follow_the_seed() -> None:
    directions = patches.draw_directions(100, seed=5)
    assert np.allclose(np.linalg.norm(directions, axis=1), 1)
    assert np.array_equal(directions, patches.draw_directions(100, seed=5))
    assert not np.array_equal(directions, patches.draw_directions(100, seed=6))


@pytest.mark.parametrize(("count", "expected"), [(1, 128), (1024, 128), (2048, 64), (10**6, 1)])
def test_the_number_of_patches_in_all_is_bounded(count: int, expected: int) -> None:
    assert patches.patches_per_image(count) == expected
