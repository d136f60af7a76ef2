"""Halving is the 2x2 mean, doubling is linear interpolation, both rounded half up, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from mri_gan.store.pyramid import double, enlarge, halve, levels_below, nearest_indices

DTYPES = ("uint8", "uint16")


def random_image(dtype: str, size: int = 32, channels: int = 2) -> NDArray[Any]:
    rng = np.random.default_rng(size)
    return rng.integers(0, np.iinfo(dtype).max, (channels, size, size), dtype, endpoint=True)


def round_half_up(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.floor(values + 0.5), np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_halving_is_the_mean_of_four_rounded_half_up(dtype: str) -> None:
    image = random_image(dtype)
    mean = image.reshape(2, 16, 2, 16, 2).astype(np.float64).mean(axis=(2, 4))
    np.testing.assert_array_equal(halve(image), round_half_up(mean))


def test_halves_are_rounded_up() -> None:
    image = np.array([[[0, 1], [0, 1]]], np.uint8)
    assert halve(image).item() == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_doubling_is_linear_interpolation_with_repeated_edges(dtype: str) -> None:
    image = random_image(dtype)
    # Output pixel i is centred at input coordinate (i + 1/2) / 2 - 1/2.
    at = (np.arange(64) + 0.5) / 2 - 0.5
    rows, columns = np.meshgrid(at, at, indexing="ij")
    for channel, doubled in zip(image.astype(np.float64), double(image), strict=True):
        exact = ndimage.map_coordinates(channel, (rows, columns), order=1, mode="nearest")
        np.testing.assert_array_equal(doubled, round_half_up(np.round(exact, 6)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("change", [halve, double])
def test_type_and_extremes_are_kept(change: Any, dtype: str) -> None:
    for value in (0, np.iinfo(dtype).max):
        changed = change(np.full((1, 8, 8), value, dtype))
        assert changed.dtype == dtype
        assert (changed == value).all()


def test_the_input_is_left_alone() -> None:
    image = random_image("uint8")
    before = image.copy()
    halve(image)
    double(image)
    np.testing.assert_array_equal(image, before)


def test_doubling_then_halving_keeps_a_smooth_image_within_one_level() -> None:
    ramp = np.broadcast_to(np.arange(0, 128, 4, dtype=np.uint8), (1, 32, 32))
    back = halve(double(ramp)).astype(int)
    assert np.abs(back - ramp).max() <= 1


def test_enlarging_is_doubling_again_and_again() -> None:
    image = random_image("uint8", 8)
    np.testing.assert_array_equal(enlarge(image, 32), double(double(image)))


def test_enlarging_to_its_own_level_changes_nothing() -> None:
    image = random_image("uint8", 8)
    assert enlarge(image, 8) is image


def test_levels_below_are_successive_halvings_down_to_8() -> None:
    image = random_image("uint8", 64)
    levels = levels_below(image)
    assert sorted(levels) == [8, 16, 32, 64]
    np.testing.assert_array_equal(levels[64], image)
    np.testing.assert_array_equal(levels[8], halve(halve(halve(image))))


@pytest.mark.parametrize(("have", "want"), [(8, 4), (4, 8), (6, 4), (5, 7), (256, 64)])
def test_labels_take_the_pixel_that_covers_their_centre(have: int, want: int) -> None:
    """As torch's `nearest-exact` does, from whose point of view pixels are squares."""
    pixels = torch.arange(have, dtype=torch.float32)[None, None]
    expected = torch.nn.functional.interpolate(pixels, size=want, mode="nearest-exact")
    assert nearest_indices(have, want).tolist() == expected.flatten().tolist()
