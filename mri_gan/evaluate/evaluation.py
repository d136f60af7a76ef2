"""One evaluation: every figure beside its noise floor and the interval that people give it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mri_gan.errors import DataError
from mri_gan.evaluate.families import Described, Family, Values, describe_set, take
from mri_gan.evaluate.images import ImageSet
from mri_gan.evaluate.resample import Rows, bootstrap, halves, interval

HALVINGS = 3
FEWEST_PEOPLE = 4  # two in each half


@dataclass(frozen=True)
class Figure:
    """One number and what it takes to read it.

    `floor` is the same distance between two halves of the real people, `at_floor` that between
    fakes and one half at the same counts: compare these two with each other.
    """

    name: str
    value: float
    low: float  # 95 % interval, over people and fakes drawn again
    high: float
    floor: float
    at_floor: float
    better: str
    unit: str


@dataclass(frozen=True)
class Left:
    """A family that was left out, and why."""

    family: str
    needs: int
    has: int


@dataclass
class Evaluation:
    """All figures of one evaluation, and the counts behind them."""

    reals: int
    fakes: int
    people: int
    half: tuple[int, int]  # images in the halves of the noise floor
    figures: list[Figure] = field(default_factory=list)
    left_out: list[Left] = field(default_factory=list)
    real_s: float = 0.0  # seconds for reading and describing
    fake_s: float = 0.0  # drawing too
    compare_s: float = 0.0

    @property
    def images_per_s(self) -> float:
        """Images of both sets for each second of the whole."""
        seconds = self.real_s + self.fake_s + self.compare_s
        return (self.reals + self.fakes) / max(seconds, 1e-9)


def evaluate(
    reals: ImageSet,
    fakes: ImageSet,
    families: Sequence[Family],
    resamples: int = 100,
    seed: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Describe both sets in one pass each, then compare them family by family.

    Raises DataError when there are too few real people for a noise floor, or too few images for
    any family.
    """
    people = len(np.unique(reals.groups))
    if people < FEWEST_PEOPLE:
        raise DataError(
            f"{people} people in the real images: a noise floor needs {FEWEST_PEOPLE}",
            "choose a --split with more people",
        )
    split = [halves(reals.groups, seed + i) for i in range(HALVINGS)]
    chosen, left = choose(families, min(len(fakes), min(len(b) for _, b in split)))
    sources = list({family.source.name: family.source for family in chosen}.values())
    started = time.perf_counter()
    real = describe_set(reals, sources, tell)
    between = time.perf_counter()
    fake = describe_set(fakes, sources, tell)
    result = Evaluation(len(reals), len(fakes), people, (len(split[0][0]), len(split[0][1])))
    result.real_s, result.fake_s = between - started, time.perf_counter() - between
    started = time.perf_counter()
    for family in chosen:
        result.figures += compare(family, real, fake, split, resamples, seed)
    result.left_out, result.compare_s = left, time.perf_counter() - started
    return result


def choose(families: Sequence[Family], count: int) -> tuple[list[Family], list[Left]]:
    """The families that `count` images of each set are enough for, and the others.

    Raises DataError when nothing remains.
    """
    chosen = [family for family in families if family.needs <= count]
    left = [Left(family.name, family.needs, count) for family in families if family.needs > count]
    if not chosen:
        fewest = min(families, key=lambda family: family.needs)
        raise DataError(
            f"too few images: {fewest.name} needs {fewest.needs} fakes and {fewest.needs} reals "
            f"in each half of the people, there are {count}",
            "give more images",
        )
    return chosen, left


def compare(
    family: Family,
    real: Described,
    fake: Described,
    split: Sequence[tuple[Rows, Rows]],
    resamples: int,
    seed: int,
) -> list[Figure]:
    """The figures of one family."""
    reals, fakes = real.table(family.source), fake.table(family.source)
    values = family.compare(reals, fakes)
    floors, matched = [], []
    for i, (first, second) in enumerate(split):
        side = take(reals, first)
        count = min(len(second), len(fake))
        some = np.random.default_rng((seed, i)).permutation
        floors.append(family.compare(side, take(reals, some(second)[:count])))
        matched.append(family.compare(side, take(fakes, some(len(fake))[:count])))
    draws = family.redraw(
        reals,
        fakes,
        list(bootstrap(real.groups, resamples, seed)),
        list(bootstrap(fake.groups, resamples, seed + 1)),
    )
    return [
        Figure(
            name,
            value,
            *interval(value, _column(draws, name), family.least),
            _mean(floors, name, family.better),
            _mean(matched, name, family.better),
            family.better,
            family.unit,
        )
        for name, value in values.items()
    ]


def _column(rows: Sequence[Values], name: str) -> Any:
    return np.array([row[name] for row in rows])


def _mean(rows: Sequence[Values], name: str, better: str) -> float:
    """Mean over the halvings; of the size alone where the sign of a floor is chance."""
    column = _column(rows, name)
    return float(np.abs(column).mean() if better == "zero" else column.mean())


def to_json(result: Evaluation) -> dict[str, Any]:
    """The part of the JSON file that the figures give; see docs/evaluation.md."""
    return {
        "counts": {
            "reals": result.reals,
            "fakes": result.fakes,
            "people": result.people,
            "floor_halves": list(result.half),
        },
        "figures": [_rounded(vars(figure)) for figure in result.figures],
        "left_out": [vars(left) for left in result.left_out],
        "seconds": {
            "reals": round(result.real_s, 3),
            "fakes": round(result.fake_s, 3),
            "compare": round(result.compare_s, 3),
        },
        "images_per_s": round(result.images_per_s, 1),
    }


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (None if not np.isfinite(v) else float(f"{v:.6g}")) if isinstance(v, float) else v
        for name, v in values.items()
    }
