"""Nearest neighbours against brute force; the four figures against the package `prdc`."""

from __future__ import annotations

import numpy as np
import prdc
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from mri_gan.evaluate import distances as module
from mri_gan.evaluate.distances import nearest
from mri_gan.evaluate.neighbours import NAMES, judge_neighbours

Vectors = NDArray[np.float32]
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that every test crosses the borders of blocks."""
    monkeypatch.setattr(module, "ROWS", 37)
    monkeypatch.setattr(module, "COLUMNS", 53)


def vectors(count: int, shift: float = 0.0, scale: float = 1.0) -> Vectors:
    return np.asarray(rng.normal(shift, scale, (count, 16)), np.float32)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("skip_self", [False, True])
def test_neighbours_are_those_of_scikit_learn(count: int, skip_self: bool) -> None:
    base = vectors(200, shift=100)
    queries = base if skip_self else vectors(120, shift=100)
    found = NearestNeighbors(n_neighbors=count).fit(base)
    expected = found.kneighbors(None if skip_self else queries)
    distances, rows = nearest(queries, base, count, skip_self)
    assert distances == pytest.approx(expected[0], abs=1e-4)
    assert np.array_equal(rows, expected[1])


def test_a_copy_is_at_distance_0_however_large_the_numbers() -> None:
    base = vectors(200, shift=1000)
    distances, rows = nearest(base[[7, 150]], base)
    assert distances.ravel().tolist() == [0, 0]
    assert rows.ravel().tolist() == [7, 150]


@pytest.mark.parametrize(
    ("shift", "scale", "k"), [(0.0, 1.0, 5), (0.5, 1.0, 3), (0.0, 0.6, 5), (0.2, 1.5, 4)]
)
def test_the_four_figures_are_those_of_the_package(shift: float, scale: float, k: int) -> None:
    reals, fakes = vectors(180), vectors(140, shift, scale)
    expected = prdc.compute_prdc(reals, fakes, k)
    found = judge_neighbours(reals, fakes, k)
    assert {n: found[n].mean() for n in NAMES} == pytest.approx(expected, abs=1e-6)
