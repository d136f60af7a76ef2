"""How like a training slice a picture may be that copies nobody, at a stated error rate."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

TRIALS, BLOCKS = 200_000, 8
STEPS, LEAST_SCALE = 8, 1e-3
MOST_PEOPLE = 100  # the factor hardly changes beyond, and drawing it for thousands takes seconds


@cache
def limit_factor(people: int, new: int, alarm: float) -> float:
    """The (1 - `alarm`) quantile of (highest of `new` further people - place) / scale.

    Place and scale are those of a Gumbel law fitted to `people` maxima. The likeness of a person is
    the highest of many comparisons, so it follows about that law (Fisher & Tippett 1928). The ratio
    (highest new one - place) / scale of estimates that move and stretch with the values does not
    depend on the two unknowns; its quantile is drawn. A prediction limit, not an estimate: with few
    people it is wide. `new` more people are one Gumbel value, moved by ln(new).
    """
    rng = np.random.default_rng(0)
    ratios = np.concatenate([_draw_ratios(rng, people, new) for _ in range(BLOCKS)])
    return float(np.quantile(ratios, 1 - alarm))


def _draw_ratios(rng: np.random.Generator, people: int, new: int) -> Values:
    place, scale = fit_gumbel(rng.gumbel(size=(TRIALS // BLOCKS, people)))
    highest = rng.gumbel(size=TRIALS // BLOCKS) + np.log(new)
    return np.asarray((highest - place) / scale)


def fit_gumbel(values: Values) -> tuple[Values, Values]:
    """The most likely place and scale of each row [..., P] of Gumbel values.

    By Newton's method on the scale (Johnson, Kotz & Balakrishnan 1995, "Continuous univariate
    distributions", volume 2, chapter 22).
    """
    mean = values.mean(-1, keepdims=True)
    scale = np.maximum(values.std(-1, ddof=1, keepdims=True) * np.sqrt(6) / np.pi, LEAST_SCALE)
    for _ in range(STEPS):
        weights = np.exp((mean - values) / scale)
        weights /= weights.sum(-1, keepdims=True)
        middle = (weights * values).sum(-1, keepdims=True)
        slope = 1 + (weights * (values - middle) ** 2).sum(-1, keepdims=True) / scale**2
        scale = np.maximum(scale - (scale - mean + middle) / slope, scale / 4)
    place = mean - scale * np.log(np.exp((mean - values) / scale).mean(-1, keepdims=True))
    return place[..., 0], scale[..., 0]


def gumbel_limit(maxima: Values, new: float, alarm: float, people: int = 0) -> float:
    """What the highest of `new` more people stays below but for a share `alarm` of the time.

    `maxima` [P] are the highest likeness that each known person has to other people; `alarm` is
    `VIEW_ALARMS` of `evaluate.audit`. With `people`, as if so many had given this place and scale.
    """
    place, scale = fit_gumbel(maxima)
    known = min(people or len(maxima), MOST_PEOPLE)
    factor = limit_factor(known, max(1, round(new)), round(alarm, 6))
    return float(place + factor * max(float(scale), LEAST_SCALE))


def most_by_chance(people: int, new: int, alarm: float) -> int:
    """How many of `new` more people are above the highest of `people`, but for a share `alarm`.

    Whatever law they follow, every order of people is equally likely: the first m of all are new
    ones with probability new / (people + new) * (new - 1) / (people + new - 1) * ...
    """
    chance = 1.0
    for above in range(new):
        chance *= (new - above) / (people + new - above)
        if chance <= alarm:
            return above
    return new


def person_maxima(values: NDArray[np.float32], groups: NDArray[np.int64]) -> Values:
    """The highest value of each person [P], in the order of their numbers."""
    return np.array([values[groups == group].max() for group in np.unique(groups)], np.float64)
