"""Halves and draws keep people whole; intervals sit around the value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from mri_gan.evaluate.families import bootstrap, halves, interval, order_groups, share_interval

GROUPS = np.repeat(np.arange(9), [1, 2, 3, 4, 5, 6, 7, 8, 9])[
    np.random.default_rng(0).permutation(45)
]


@pytest.mark.parametrize("seed", range(5))
def test_halves_share_no_person_and_leave_nobody_out(seed: int) -> None:
    a, b = halves(GROUPS, seed)
    assert set(GROUPS[a]).isdisjoint(GROUPS[b])
    assert sorted([*a, *b]) == list(range(45))
    assert min(len(a), len(b)) >= 15


def test_two_people_make_two_halves() -> None:
    a, b = halves(np.array([0, 0, 0, 1]))
    assert {len(a), len(b)} == {1, 3}


def test_a_draw_takes_people_whole_and_as_many_as_there_are() -> None:
    counts = {tuple(np.bincount(GROUPS[rows], minlength=9)) for rows in bootstrap(GROUPS, 50)}
    assert len(counts) > 40
    for drawn in counts:
        times, rest = np.divmod(drawn, np.arange(1, 10))
        assert not rest.any()
        assert times.sum() == 9


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_ordered_whole(seed: int) -> None:
    rows = order_groups(GROUPS, np.random.default_rng(seed))
    assert sorted(rows) == list(range(45))
    assert np.count_nonzero(np.diff(GROUPS[rows])) == 8  # each of 9 begins once


def test_images_that_are_nobodys_are_ordered_one_by_one() -> None:
    rows = order_groups(np.arange(30), np.random.default_rng(4))
    assert rows.tolist() == np.random.default_rng(4).permutation(30).tolist()


def test_no_end_of_an_interval_is_beyond_what_the_figure_can_be() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.2, 1000)
    assert interval(0.95, draws, 0.0, 1.0)[1] == 1
    assert interval(0.05, draws, 0.0, 1.0)[0] == 0
    assert interval(0.95, draws)[1] > 1.2


@pytest.mark.parametrize(("found", "count"), [(0, 20), (20, 20), (37, 50), (1, 8)])
def test_the_interval_of_a_share_is_that_of_scipy(found: int, count: int) -> None:
    expected = binomtest(found, count).proportion_ci(0.95, "wilson")
    assert share_interval(found / count, count) == pytest.approx((expected.low, expected.high))


def test_an_interval_lies_around_the_value_whatever_the_bias_of_the_draws() -> None:
    draws = np.random.default_rng(0).normal(5, 1, 100_000)
    assert interval(2.0, draws) == pytest.approx((2 - 1.96, 2 + 1.96), abs=0.03)
