"""Frechet and kernel distances against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from sklearn.metrics.pairwise import polynomial_kernel

from mri_gan.evaluate.distances import (
    frechet,
    frechet_family,
    kernel_family,
    kernel_parts,
    main_axes,
)
from mri_gan.evaluate.families import Source, Table, bootstrap, bootstrap_pairs, take_rows

rng = np.random.default_rng(0)
A = rng.normal(0, 1, (300, 12)).astype(np.float32)
B = (rng.normal(0.3, 1.4, (260, 12)) @ rng.normal(0, 0.4, (12, 12))).astype(np.float32)


def reference_frechet(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    overlap = np.trace(sqrtm(cov_a @ cov_b)).real
    return float(
        ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    )


def reference_kernel(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The unbiased squared distance by scikit-learn's kernel (x y / D + 1)^3."""
    xx, yy, xy = (polynomial_kernel(x, y) for x, y in ((a, a), (b, b), (a, b)))
    n, m = len(a), len(b)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def test_frechet_is_that_of_scipys_matrix_root() -> None:
    assert frechet(A, B) == pytest.approx(reference_frechet(A, B), rel=1e-4)
    assert frechet(A, A) == pytest.approx(0, abs=1e-4)


def test_frechet_of_a_shift_is_its_square() -> None:
    assert frechet(A, A + 3) == pytest.approx(9 * 12, rel=1e-4)


def table(rows: NDArray[np.float32], groups: NDArray[np.int64] | None = None) -> Table:
    return {"features": rows, "group": np.arange(len(rows)) if groups is None else groups}


def test_kernel_distance_is_that_of_scikit_learn() -> None:
    found = kernel_parts(table(A), table(B))[0]
    assert found == pytest.approx(reference_kernel(A, B), rel=1e-4)


def test_kernel_distance_of_halves_of_one_set_lies_around_0() -> None:
    shuffled = (rng.permutation(A) for _ in range(40))
    values = [kernel_parts(table(x[:150]), table(x[150:]))[0] for x in shuffled]
    assert min(values) < 0 < max(values)


def test_pairs_of_one_person_do_not_count() -> None:
    """Slices of one person are alike: counted as independent, new people would seem far away."""
    groups = np.arange(300) // 20
    people = np.repeat(rng.normal(0, 1, (15, 12)), 20, 0).astype(np.float32)
    xx, yy = polynomial_kernel(people, people), polynomial_kernel(B, B)
    apart = groups[:, None] != groups
    expected = xx[apart].mean() + (yy.sum() - np.trace(yy)) / (len(B) * (len(B) - 1))
    expected -= 2 * polynomial_kernel(people, B).mean()
    found = kernel_parts(table(people, groups), table(B))[0]
    assert found == pytest.approx(expected, rel=1e-4)


def test_new_people_lie_around_0_when_pairs_of_one_person_do_not_count() -> None:
    groups, values = np.arange(300) // 20, []
    for _ in range(40):
        people = np.repeat(rng.normal(0, 1, (30, 12)), 20, 0).astype(np.float32)
        values.append(kernel_parts(table(people[:300], groups), table(people[300:], groups))[0])
    assert abs(np.mean(values)) < 2 * np.std(values) / np.sqrt(len(values)) + 0.05


def test_first_order_parts_spread_like_drawing_again() -> None:
    groups = np.arange(300), np.arange(260)
    pairs = bootstrap_pairs(*groups, 200, 0)
    family = kernel_family(Source("x", lambda *_: {}))
    quick = [v["kd[x]"] for v in family.redraw(table(A), table(B), pairs)]
    full = [kernel_parts(table(A[a], a), table(B[b], b))[0] for a, b in pairs]
    assert np.std(quick) == pytest.approx(np.std(full), rel=0.2)
    assert np.corrcoef(quick, full)[0, 1] > 0.9


@pytest.mark.parametrize("side", [0, 1])
def test_either_side_drawn_again_moves_the_distance_as_comparing_does(side: int) -> None:
    sets, family = [A, B], kernel_family(Source("x", lambda *_: {}))
    draws = [[np.arange(len(rows))] * 60 for rows in sets]
    draws[side] = list(bootstrap(draws[side][0], 60, 0))
    pairs = list(zip(*draws, strict=True))
    quick = [v["kd[x]"] for v in family.redraw(table(A), table(B), pairs)]
    full = [kernel_parts(table(A[a], a), table(B[b], b))[0] for a, b in pairs]
    assert np.corrcoef(quick, full)[0, 1] > 0.9


def test_a_frechet_distance_needs_twice_as_many_images_as_dimensions() -> None:
    assert frechet_family(Source("x", lambda *_: {}), 12).needs == 24


def test_main_axes_hold_the_difference() -> None:
    far = np.zeros((100, 12), np.float32)
    far[:, 7] = 50
    axes = main_axes(A, far, 2)
    assert axes.shape == (12, 2)
    assert abs(axes[7, 0]) > 0.99


def test_redrawn_frechet_distances_spread_around_the_value() -> None:
    family = frechet_family(Source("x", lambda *_: {}), 12)
    pairs = bootstrap_pairs(np.arange(len(A)), np.arange(len(B)), 50, 0)
    values = [v["fd[x]"] for v in family.redraw({"features": A}, {"features": B}, pairs)]
    assert np.mean(values) == pytest.approx(frechet(A, B), rel=0.1)
    assert len(take_rows({"features": A}, pairs[0][0])["features"]) == 300
