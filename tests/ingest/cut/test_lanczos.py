"""Stacks of slices are resampled by Lanczos, exactly, whoever multiplies the matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import phantoms
import pytest
from numpy.typing import NDArray

from mri_gan.ingest.cut.lanczos import EXACT, FINE, find_bands, resample

SIZES = [(1, 8), (5, 8), (7, 512), (40, 97), (176, 217), (208, 256), (260, 256), (1138, 1024)]


def shades(count: int = 3, height: int = 52, width: int = 44) -> NDArray[np.float32]:
    slices = [phantoms.slice_pixels(width, height, seed=k) for k in range(count)]
    return np.asarray(np.stack(slices) / 255, np.float32)


def matrix(have: int, want: int, depth: int, rows: int = 16) -> NDArray[np.float64]:
    """The bands as one dense matrix [want, have]."""
    dense = np.zeros((want, have))
    for band in find_bands(have, want, depth, rows):
        dense[band.out, band.into] += band.weights
    return dense


def lanczos(have: int, want: int) -> NDArray[np.float64]:
    """The definition, without rounding and written pixel by pixel."""
    shrink = max(have / want, 1.0)
    dense = np.zeros((want, have))
    for i in range(want):
        away = (np.arange(have) - ((i + 0.5) * have / want - 0.5)) / shrink
        dense[i] = np.where(abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)
    return np.asarray(dense / dense.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("have", "want"), SIZES)
def test_the_weights_are_those_of_lanczos(have: int, want: int, depth: int) -> None:
    step = 1 / EXACT[depth][1]
    found = matrix(have, want, depth)
    # The largest weight of a row takes what rounding left over.
    taps = np.count_nonzero(found, axis=1).max()
    assert np.abs(found - lanczos(have, want)).max() <= step / 2 * (taps + 1)
    np.testing.assert_array_equal(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found / step, np.rint(found / step))


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_bands_of_any_height_are_the_same_matrix(rows: int) -> None:
    np.testing.assert_array_equal(matrix(52, 64, 8, rows), matrix(52, 64, 8, 64))


@pytest.mark.parametrize("depth", [8, 16])
def test_no_sum_has_more_digits_than_its_type_holds(depth: int) -> None:
    dtype, steps = EXACT[depth]
    longest = max(np.abs(matrix(*size, depth)).sum(axis=1).max() for size in SIZES)
    overshot = (1 + longest) / 2  # of what runs over the first axis, the second sums up to
    assert FINE * (1 << depth) * steps * overshot * longest < 2 ** (np.finfo(dtype).nmant + 1)


@pytest.mark.parametrize("depth", [8, 16])
def test_it_is_the_same_in_whole_numbers(depth: int) -> None:
    top, steps = (1 << depth) - 1, EXACT[depth][1]
    rows, columns = (
        np.rint(matrix(have, want, depth) * steps).astype(np.int64)
        for have, want in ((52, 64), (44, 54))
    )
    values = np.rint(shades() * np.float32(FINE * top)).astype(np.int64)
    upright = np.rint((rows @ values) / steps).astype(np.int64)
    exact = (upright @ columns.T) / (steps * FINE)
    expected = np.floor(np.clip(exact, 0, top) + 0.5)
    np.testing.assert_array_equal(resample(shades(), 64, 54, depth), expected)


def test_the_order_of_sums_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = resample(shades(), 64, 54, 8)

    def multiply_backwards(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
        out[:] = np.einsum("...ij,...jk->...ik", a[..., ::-1], b[..., ::-1, :])

    monkeypatch.setattr("mri_gan.ingest.cut.lanczos.np.matmul", multiply_backwards)
    np.testing.assert_array_equal(resample(shades(), 64, 54, 8), expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_it_is_within_a_grey_level_of_real_numbers(depth: int) -> None:
    top = (1 << depth) - 1
    exact = np.clip(lanczos(52, 64) @ shades() @ lanczos(44, 54).T, 0, 1) * top
    found = resample(shades(), 64, 54, depth)
    assert found.dtype == (np.uint8 if depth == 8 else np.uint16)
    assert np.abs(found - exact).max() < 0.75
    assert (found != np.floor(exact + 0.5)).mean() < 0.05


def test_even_slices_stay_even_and_edges_do_not_overshoot() -> None:
    even = np.full((2, 20, 30), 0.4, np.float32)
    np.testing.assert_array_equal(resample(even, 31, 47, 8), np.full((2, 31, 47), 102, np.uint8))
    edge = np.zeros((1, 40, 40), np.float32)
    edge[:, :, 20:] = 1
    found = resample(edge, 97, 97, 8)
    assert (found.min(), found.max()) == (0, 255)
    assert found[:, :, :30].max() < 25  # no overshoot that wrapped around


def test_every_slice_of_a_stack_is_resampled_for_itself() -> None:
    together = resample(shades(5), 64, 54, 8)
    alone = [resample(one[None], 64, 54, 8)[0] for one in shades(5)]
    np.testing.assert_array_equal(together, alone)
