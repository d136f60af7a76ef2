"""A limit that the highest of new people crosses as often as is stated, however few are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import comb
from scipy.stats import gumbel_r

from mri_gan.evaluate.copies.limits import (
    fit_gumbel,
    gumbel_limit,
    limit_factor,
    most_by_chance,
    person_maxima,
)


@pytest.mark.parametrize(("known", "new"), [(4, 1), (8, 4), (22, 30), (400, 30)])
def test_new_people_cross_the_limit_as_often_as_stated(known: int, new: int) -> None:
    rng = np.random.default_rng(1)
    crossed = np.mean(
        [
            rng.gumbel(0.7, 0.05, new).max() > gumbel_limit(rng.gumbel(0.7, 0.05, known), new, 0.01)
            for _ in range(5_000)
        ]
    )
    assert 0.005 < crossed < 0.015


def test_four_people_are_crossed_in_a_tenth_of_all_cases_where_a_tenth_is_stated() -> None:
    rng = np.random.default_rng(2)
    known, new = rng.gumbel(0.7, 0.05, (10_000, 4)), rng.gumbel(0.7, 0.05, 10_000)
    limits = [gumbel_limit(maxima, 1, 0.1) for maxima in known]
    assert np.mean(new > limits) == pytest.approx(0.1, abs=0.01)


def test_people_of_a_normal_law_cross_it_less_often() -> None:
    rng = np.random.default_rng(2)
    crossed = [rng.normal() > gumbel_limit(rng.normal(size=13), 1, 0.01) for _ in range(5_000)]
    assert np.mean(crossed) < 0.01


def test_the_law_of_people_is_the_one_that_scipy_fits() -> None:
    rows = np.random.default_rng(3).gumbel(0.3, 0.02, (5, 17))
    expected = np.array([gumbel_r.fit(row) for row in rows]).T
    assert np.array(fit_gumbel(rows)) == pytest.approx(expected, rel=1e-4)


def test_fewer_people_need_a_higher_limit() -> None:
    factors = [limit_factor(people, 30, 0.005) for people in (4, 8, 13, 22, 60)]
    assert factors == sorted(factors, reverse=True)


@pytest.mark.parametrize(("people", "new"), [(17, 62), (17, 16), (4, 4), (100, 30)])
def test_so_many_new_people_are_above_all_known_ones_as_seldom_as_stated(
    people: int, new: int
) -> None:
    """At least m of `new` are: the m highest of all are new, so the known ones are below them."""
    most = most_by_chance(people, new, 0.01)
    chances = [
        comb(people + new - m, people) / comb(people + new, people) for m in (most, most + 1)
    ]
    assert chances[1] <= 0.01 < chances[0]


def test_where_few_people_prove_nothing_all_may_be_above() -> None:
    assert most_by_chance(2, 1, 0.01) == 1  # one of three is the highest in a third of all cases


def test_the_maxima_are_those_of_each_person() -> None:
    values = np.array([1, 5, 2, 7, 3], np.float32)
    assert person_maxima(values, np.array([4, 4, 2, 2, 9])).tolist() == [7, 5, 3]
