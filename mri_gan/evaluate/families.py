"""Families of figures: each describes images one by one, then compares two sets of rows.

Halves and bootstrap samples are drawn by group, so that no person is on two sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from mri_gan.evaluate.images import ImageSet
from mri_gan.pictures import Pixels

# Halves and bootstrap draws by group, so that no person stands on two sides

Rows = NDArray[np.int64]  # indices of images
Pairs = Sequence[tuple[Rows, Rows]]  # of reals and of fakes


def halves(groups: NDArray[np.int64], seed: int = 0) -> tuple[Rows, Rows]:
    """Indices of two sets of whole groups, as equal in images as a random order allows."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    counts = np.cumsum([int((groups == name).sum()) for name in names])
    first = names[: int(np.argmin(np.abs(counts - len(groups) / 2))) + 1]
    chosen = np.isin(groups, first)
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def order_groups(groups: NDArray[np.int64], rng: np.random.Generator) -> Rows:
    """All indices, one whole group after another in a random order."""
    names, numbers = np.unique(groups, return_inverse=True)
    place = np.argsort(rng.permutation(len(names)))
    return np.argsort(place[numbers], kind="stable")


def bootstrap(groups: NDArray[np.int64], count: int, seed: int = 0) -> Iterator[Rows]:
    """Indices of whole groups drawn with replacement, `count` times (Efron 1979)."""
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    for _ in range(count):
        yield np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])


def bootstrap_pairs(
    first: NDArray[np.int64], second: NDArray[np.int64], count: int, seed: int
) -> Pairs:
    """Draws of the groups of two sets, each by a seed of its own."""
    draws = bootstrap(first, count, seed), bootstrap(second, count, seed + 1)
    return list(zip(*draws, strict=True))


def interval(
    value: float, draws: NDArray[np.float64], least: float = -np.inf, most: float = np.inf
) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of bootstrap values, moved so that their mean is the value itself.

    Drawing with replacement repeats people, which by itself makes two sets differ more; only the
    spread of the draws is information. No end is below `least` or above `most`: a share that is
    moved would pass 1.
    """
    low, high = np.percentile(draws, [2.5, 97.5]) - draws.mean() + value
    return max(float(low), least), min(float(high), most)


def half_interval(values: NDArray[np.float64]) -> float:
    """Half of the 95 % interval of one value, by Student's factor."""
    return float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1))


Z = 1.959964  # standard deviations to either side that hold 95 % of a normal law


def share_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` independent things (Wilson 1927).

    For where no bootstrap draw differs: of all or of none, which would seem certain.
    """
    middle, whole = share + Z**2 / (2 * count), 1 + Z**2 / count
    half = Z * np.sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2)
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


# What is measured: each family describes images one by one, then compares two sets of rows

Table = Mapping[str, NDArray[Any]]  # what describes each image, by name: [N, ...]
Values = dict[str, float]  # figures by name
Describe = Callable[[Pixels, int], Table]  # pixels, number of the first image
Compare = Callable[[Table, Table], Values]  # reals, fakes
Redraw = Callable[[Table, Table, Pairs], list[Values]]  # reals, fakes, the rows drawn of each


@dataclass(frozen=True)
class Source:
    """One description of images, which several families may share."""

    name: str
    describe: Describe


@dataclass(frozen=True)
class Family:
    """Figures that are computed together from one description.

    `needs` is the fewest images of each set that give a sensible figure. `quick` gives values of
    the same spread as the figures for people drawn again, where those would take too long.
    """

    name: str
    needs: int
    source: Source
    compare: Compare
    better: str = "lower"  # or "higher", "zero" where both directions are bad, "told": printed only
    unit: str = ""
    least: float = 0.0  # the figures cannot be below
    most: float = np.inf  # nor above
    beyond: str = ""  # what is better than people are; without it they are nearer, as copies are
    quick: Redraw | None = None

    def redraw(self, reals: Table, fakes: Table, pairs: Pairs) -> list[Values]:
        """The figures for people drawn again, or values of the same spread."""
        return (self.quick or partial(compare_drawn, self.compare))(reals, fakes, pairs)


def compare_drawn(compare: Compare, reals: Table, fakes: Table, pairs: Pairs) -> list[Values]:
    """The figures of the drawn rows, one draw after another."""
    return [compare(take_rows(reals, a), take_rows(fakes, b)) for a, b in pairs]


def take_rows(table: Table, rows: Rows | slice) -> Table:
    """Some rows of a table."""
    return {name: values[rows] for name, values in table.items()}


@dataclass(frozen=True)
class Described:
    """All rows of a set of images, and whose each is."""

    groups: NDArray[np.int64]
    tables: Mapping[str, Table]  # by source

    def __len__(self) -> int:
        return len(self.groups)

    def table(self, source: Source) -> Table:
        """All rows of one source, with the number of each image's group as `group`."""
        return {**self.tables[source.name], "group": self.groups}


def describe_set(
    images: ImageSet, sources: Sequence[Source], tell: Callable[[int], None] = lambda _: None
) -> Described:
    """One pass over a set: pixels are read in batches and only their description is kept."""
    tables: dict[str, dict[str, NDArray[np.float32]]] = {source.name: {} for source in sources}
    for start, pixels in images.batches():
        for source in sources:
            for name, rows in source.describe(pixels, start).items():
                kept = tables[source.name].get(name)
                if kept is None:
                    kept = np.empty((len(images), *rows.shape[1:]), np.float32)
                    tables[source.name][name] = kept
                kept[start : start + len(rows)] = rows
        tell(len(pixels))
    return Described(images.groups, tables)
