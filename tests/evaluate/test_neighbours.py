"""Nearest neighbours against brute force; the four figures against the package `prdc`."""

from __future__ import annotations

import numpy as np
import prdc
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from mri_gan.evaluate import distances as module
from mri_gan.evaluate.distances import nearest
from mri_gan.evaluate.families import Source
from mri_gan.evaluate.neighbours import (
    LEVELS,
    NAMES,
    alpha_family,
    judge_alpha,
    judge_neighbours,
    neighbour_family,
)

Vectors = NDArray[np.float32]
rng = np.random.default_rng(0)
SOURCE = Source("x", lambda *_: {})


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


def test_the_family_takes_five_neighbours() -> None:
    reals, fakes = vectors(120), vectors(100, 0.3)
    expected = prdc.compute_prdc(reals, fakes, 5)
    found = neighbour_family(SOURCE).compare({"features": reals}, {"features": fakes})
    assert found == pytest.approx({f"{name}[x]": expected[name] for name in NAMES}, abs=1e-6)


def test_fakes_drawn_again_move_what_is_told_of_fakes_and_reals_the_rest() -> None:
    """Drawing those alone that are precise, or recalled, leaves a figure of 1."""
    reals, fakes = vectors(90), vectors(70, 0.3)
    tables = {"features": reals}, {"features": fakes}
    four, alpha = judge_neighbours(reals, fakes), judge_alpha(reals, fakes)
    precise, recalled = (np.flatnonzero(four[n]) for n in ("precision", "recall"))
    (drawn,) = neighbour_family(SOURCE).redraw(*tables, [(recalled, precise)])
    assert (drawn["precision[x]"], drawn["recall[x]"]) == (1, 1)
    authentic, everybody = np.flatnonzero(alpha["authentic"]), np.arange(90)
    (drawn,) = alpha_family(SOURCE).redraw(*tables, [(everybody, authentic)])
    assert drawn["authenticity[x]"] == 1
    assert drawn["beta-recall[x]"] == alpha_family(SOURCE).compare(*tables)["beta-recall[x]"]


def plain_alpha(reals: Vectors, fakes: Vectors) -> tuple[float, float, float]:
    """Alpha-precision, beta-recall and authenticity, loop by loop as Alaa et al. define them."""
    middle, other = reals.mean(0), fakes.mean(0)
    levels = np.linspace(0, 1, LEVELS)
    far = np.linalg.norm(reals[:, None] - reals, axis=2)
    np.fill_diagonal(far, np.inf)
    across = np.linalg.norm(reals[:, None] - fakes, axis=2)
    radius = np.linalg.norm(reals - middle, axis=1)
    spread = np.linalg.norm(fakes - other, axis=1)
    precision, recall = [], []
    for level in levels:
        inside = [(radius < np.linalg.norm(f - middle)).mean() <= level for f in fakes]
        precision.append(np.mean(inside))
        covered = []
        for i in range(len(reals)):
            nearest_fake = across[i].argmin()
            within = (spread < spread[nearest_fake]).mean() <= level
            covered.append(across[i].min() <= far[i].min() and within)
        recall.append(np.mean(covered))
    authentic = [across[:, j].min() > far[across[:, j].argmin()].min() for j in range(len(fakes))]
    scores = [1 - np.abs(levels - np.array(c)).sum() / levels.sum() for c in (precision, recall)]
    return scores[0], scores[1], float(np.mean(authentic))


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.5, 1.0), (0.0, 0.5)])
def test_alpha_figures_are_those_of_the_definitions(shift: float, scale: float) -> None:
    reals, fakes = vectors(90), vectors(70, shift, scale)
    found = alpha_family(SOURCE).compare({"features": reals}, {"features": fakes})
    names = ("alpha-precision[x]", "beta-recall[x]", "authenticity[x]")
    assert [found[n] for n in names] == pytest.approx(plain_alpha(reals, fakes), abs=1e-6)


def test_copies_with_a_little_noise_are_not_authentic() -> None:
    reals = vectors(90)
    assert judge_alpha(reals, reals + np.float32(1e-3))["authentic"].mean() == 0
    assert judge_alpha(reals, vectors(90))["authentic"].mean() > 0.3
