"""Halves and bootstrap draws by group, so that no person stands on two sides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]  # indices of images


def halves(groups: NDArray[np.int64], seed: int = 0) -> tuple[Rows, Rows]:
    """Indices of two sets of whole groups, as equal in images as a random order allows."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    counts = np.cumsum([int((groups == name).sum()) for name in names])
    first = names[: int(np.argmin(np.abs(counts - len(groups) / 2))) + 1]
    chosen = np.isin(groups, first)
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def bootstrap(groups: NDArray[np.int64], count: int, seed: int = 0) -> Iterator[Rows]:
    """Indices of whole groups drawn with replacement, `count` times (Efron 1979)."""
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    for _ in range(count):
        yield np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])


def interval(
    value: float, draws: NDArray[np.float64], least: float = -np.inf, share: float = 0.95
) -> tuple[float, float]:
    """Percentiles of bootstrap values, moved so that their mean is the value itself.

    Drawing with replacement repeats people, which by itself makes two sets differ more; only the
    spread of the draws is information. No end is below `least`.
    """
    tail = 50 * (1 - share)
    low, high = np.percentile(draws, [tail, 100 - tail]) - draws.mean() + value
    return max(float(low), least), float(high)
