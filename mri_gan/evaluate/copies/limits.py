"""How like a training slice a picture may be that copies nobody, at a stated error rate."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

TRIALS, BLOCKS = 200_000, 8
MOST_PEOPLE = 100  # the factor hardly changes beyond, and drawing it for thousands takes seconds


@cache
def limit_factor(people: int, new: int, alarm: float) -> float:
    """How many deviations above the mean of `people` maxima the highest of `new` more is.

    It is exceeded with probability `alarm`. The likeness of a person is the highest of many
    comparisons, so maxima of people follow about a Gumbel law (Fisher & Tippett 1928). For laws of
    location and scale the ratio (highest new one - mean) / deviation does not depend on the two
    unknowns; its quantile is drawn. A prediction limit, not an estimate: with few people it is
    wide. `new` more people are one Gumbel value, moved by ln(new).
    """
    rng = np.random.default_rng(0)
    ratios = np.concatenate([_draw_ratios(rng, people, new) for _ in range(BLOCKS)])
    return float(np.quantile(ratios, 1 - alarm))


def _draw_ratios(rng: np.random.Generator, people: int, new: int) -> NDArray[np.float64]:
    known = rng.gumbel(size=(TRIALS // BLOCKS, people))
    highest = rng.gumbel(size=TRIALS // BLOCKS) + np.log(new)
    return np.asarray((highest - known.mean(1)) / known.std(1, ddof=1))


def gumbel_limit(maxima: NDArray[np.float64], new: float, alarm: float) -> float:
    """What the highest of `new` more people stays below but for a share `alarm` of the time.

    `maxima` [P] are the highest likeness that each known person has to other people; `alarm` is
    `FALSE_ALARMS` of `evaluate.audit`, shared among its views.
    """
    spread = float(np.std(maxima, ddof=1))
    factor = limit_factor(min(len(maxima), MOST_PEOPLE), max(1, round(new)), round(alarm, 6))
    return float(np.mean(maxima) + factor * max(spread, 1e-3))


def person_maxima(values: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """The highest value of each person [P], in the order of their numbers."""
    return np.array([values[groups == group].max() for group in np.unique(groups)], np.float64)
