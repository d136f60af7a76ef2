"""The largest connected part of a grid is the one that scipy finds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label

from mri_gan.ingest.cut.faces import find_largest_part


def by_scipy(inside: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """All parts of the largest size, since there may be several."""
    parts, _ = label(inside, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    return [np.argwhere(parts == number + 1) for number in np.flatnonzero(sizes == sizes.max())]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.15, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(8))
def test_random_grids(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.random(tuple(rng.integers(1, 14, 3))) < share
    inside[0, 0, 0] = True
    found = find_largest_part(inside)
    assert any(np.array_equal(found.T, part) for part in by_scipy(inside))


def test_a_spiral_is_one_part() -> None:
    inside = np.zeros((3, 21, 21), np.bool_)
    for ring in range(0, 10, 2):
        inside[1, ring, ring : 21 - ring] = inside[1, 20 - ring, ring : 21 - ring] = True
        inside[1, ring : 21 - ring, 20 - ring] = inside[1, ring + 2 : 21 - ring, ring] = True
        inside[1, ring + 2, ring + 1] = True
    assert find_largest_part(inside).shape[1] == len(by_scipy(inside)[0]) == inside.sum()


def test_ends_of_rows_do_not_touch_the_next_row() -> None:
    inside = np.zeros((2, 2, 5), np.bool_)
    inside[0, 0, 4] = inside[0, 1, 0] = inside[1, 0, 2:] = True
    assert find_largest_part(inside).shape == (3, 4)


def test_nothing_has_no_part() -> None:
    assert find_largest_part(np.zeros((4, 5, 6), np.bool_)).shape == (3, 0)
