"""Whether a volume of a head still has a face: an estimate from shape, for a warning only.

The largest connected part is found by runs instead of voxels. scipy's `ndimage.label` does the
same; loading it would take longer than to prepare several volumes.

Rays leave the middle of the upper head. On a whole head most of those that go up cross a dark
shell, the skull, before they meet the scalp; on a skull-stripped brain they do not. Where there is
a face, tissue reaches farther forward and down than it reaches backward; where it was removed, it
does not. What this cannot show: whether what is left of a face is enough to know somebody by, and
anything about slabs that hold a part of a head, ears, or contrasts in which the skull is not dark.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mri_gan.ingest.cut.intensity import above
from mri_gan.ingest.read.volume import Volume

# The largest connected part of a grid, by runs instead of voxels

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


# Whether a volume of a head still has a face: a guess from shape, to warn and not to decide

COARSE_MM = 3.0
STEP_MM = 2.0
REACH_MM = 160.0
RAYS = 400
SMALLEST_MM = 100.0  # of a head, along each axis
UPPER_MM = 110.0  # below the crown: the part of a head whose middle is inside the brain
GAP_MM = 6.0  # of darkness, at least
BRAIN_MM = 40.0  # gaps nearer to the middle are ventricles
SCALP_SHARE = 0.5  # of upward rays: whole heads have 0.86, stripped brains 0.2, a knee 0.3
FACE_RATIO = 1.25  # forward reach by backward reach: 1.5 with a face, 1.1 without


def shows_face(volume: Volume, threshold: float) -> bool:
    """Whether a volume looks like a head with its face; `threshold` parts air from tissue."""
    strides = np.maximum(np.round(COARSE_MM / volume.spacing), 1).astype(int)
    coarse = volume.voxels[:: strides[0], :: strides[1], :: strides[2]]
    inside = above(coarse, threshold)
    sizes_mm = volume.spacing * strides
    places = find_largest_part(inside) * sizes_mm[:, None]
    if not places.size or np.ptp(places, axis=1).min() < SMALLEST_MM:
        return False
    middle = places[:, places[2] > places[2].max() - UPPER_MM].mean(axis=1)
    rays = _directions()
    hits = _walk(inside, sizes_mm, middle, rays)  # [RAYS, steps]
    up = rays[:, 2] > 0.2
    if np.mean(_cross_gap(hits[up])) < SCALP_SHARE:
        return False
    reach_mm = STEP_MM * (hits * np.arange(hits.shape[1])).max(axis=1)
    ahead = np.abs(rays[:, 0]) < 0.5
    front = ahead & (rays[:, 1] > 0.35) & (rays[:, 2] < -0.15)
    back = ahead & (rays[:, 1] < -0.35) & (rays[:, 2] > -0.15)
    return bool(np.median(reach_mm[front]) > FACE_RATIO * np.median(reach_mm[back]))


def _directions() -> NDArray[np.float64]:
    """Unit vectors spread evenly over the sphere [RAYS, 3], by the golden angle."""
    i = np.arange(RAYS) + 0.5
    z = 1 - 2 * i / RAYS
    angle = np.pi * (1 + 5**0.5) * i
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def _walk(
    inside: NDArray[np.bool_],
    sizes_mm: NDArray[np.float64],
    middle: NDArray[np.float64],
    rays: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether there is tissue at every step of every ray; outside the volume there is none."""
    steps = np.arange(0, REACH_MM, STEP_MM)
    places = middle + rays[:, None] * steps[None, :, None]
    voxels = np.round(places / sizes_mm).astype(int)
    within = np.asarray(((voxels >= 0) & (voxels < inside.shape)).all(axis=-1))
    x, y, z = np.moveaxis(np.where(within[..., None], voxels, 0), -1, 0)
    return np.asarray(inside[x, y, z] & within)


def _cross_gap(hits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rays [N, steps] go through darkness beyond the brain and meet tissue again [N]."""
    steps = np.arange(hits.shape[1])
    lit = np.where(hits & (steps * STEP_MM > BRAIN_MM), steps, -1)
    before = np.maximum.accumulate(lit, axis=1)[:, :-1]  # the last lit step so far
    gaps = np.where((lit[:, 1:] >= 0) & (before >= 0), lit[:, 1:] - before, 0)
    return np.asarray(gaps.max(axis=1) * STEP_MM >= GAP_MM)
