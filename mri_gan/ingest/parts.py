"""The largest connected part of a grid, by runs instead of voxels.

scipy's `ndimage.label` does the same; loading it would take longer than to prepare several volumes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# To the rows that come later and touch a row: voxels touch by faces, edges and corners.
TOUCHING_ROWS = ((0, 1), (1, -1), (1, 0), (1, 1))


def find_largest_part(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The indices [3, N] of the largest connected part of a grid, in order."""
    padded = np.pad(inside, ((0, 0), (1, 1), (1, 1)))  # so that no row touches one it does not
    rows, length = padded.shape[1], padded.shape[2]
    flat = np.flatnonzero(padded)
    if not len(flat):
        return np.empty((3, 0), np.int64)
    begins = np.flatnonzero(np.diff(flat, prepend=-2) > 1)
    sizes = np.diff(begins, append=len(flat))
    first, last = flat[begins], flat[begins + sizes - 1]
    steps = [(plane * rows + row) * length for plane, row in TOUCHING_ROWS]
    pairs = np.concatenate([_find_touching(first, last, step) for step in steps], axis=1)
    part = _join(len(first), pairs)
    largest = np.bincount(part, weights=sizes).argmax()
    chosen = flat[np.repeat(part == largest, sizes)]
    plane, row, column = np.unravel_index(chosen, padded.shape)
    return np.stack([plane, row - 1, column - 1])


def _find_touching(
    first: NDArray[np.int64], last: NDArray[np.int64], step: int
) -> NDArray[np.int64]:
    """Pairs of runs [2, N] of which the second touches the first in the row `step` later."""
    low = np.searchsorted(last, first + step - 1)
    high = np.searchsorted(first, last + step + 1, "right")
    counts = np.maximum(high - low, 0)
    ones = np.repeat(np.arange(len(first)), counts)
    within = np.arange(len(ones)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([ones, low[ones] + within])


def _join(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of `count` things the smallest that it is connected to by pairs."""
    part = np.arange(count)
    while True:
        lowest = np.minimum(part[pairs[0]], part[pairs[1]])
        before = part.copy()
        for ends in pairs:
            np.minimum.at(part, before[ends], lowest)
            np.minimum.at(part, ends, lowest)
        part = part[part]
        if np.array_equal(part, before):
            return part
