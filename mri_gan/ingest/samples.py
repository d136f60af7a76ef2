"""What is asked of all voxels of a volume is asked of a sample, which is sorted once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mri_gan.errors import DataError

MAX_SAMPLES = 1_000_000
THIN = 3  # odd: an even step could meet only every second row of an interlaced slice
BINS = 256

Sample = NDArray[Any]  # some voxels of a volume in rising order [N], in the volume's own type


def take_sample(voxels: NDArray[Any]) -> Sample:
    """A million voxels at most, from a grid over the volume; the same however it lies in memory."""
    steps, counts = [1] * voxels.ndim, list(voxels.shape)
    while math.prod(counts) > MAX_SAMPLES:
        longest = counts.index(max(counts))
        steps[longest] *= THIN
        counts[longest] = math.ceil(voxels.shape[longest] / steps[longest])
    grid = voxels[tuple(slice(None, None, step) for step in steps)]
    return np.sort(grid.ravel("K"))


def above(voxels: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Where voxels lie above a threshold, compared in their own type."""
    return np.asarray(voxels > _in_type_of(voxels, threshold))


def split(sample: Sample, threshold: float) -> tuple[Sample, Sample]:
    """What is not above the threshold, and what is."""
    at = np.searchsorted(sample, _in_type_of(sample, threshold), "right")
    return sample[:at], sample[at:]


def _in_type_of(voxels: NDArray[Any], threshold: float) -> Any:
    return voxels.dtype.type(math.floor(threshold) if voxels.dtype.kind in "ui" else threshold)


def percentiles(sample: Sample, shares: ArrayLike) -> NDArray[np.float64]:
    """The values below which so many per cent of a sample lie, linear between its members."""
    places = np.asarray(shares, np.float64) / 100 * (len(sample) - 1)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, len(sample) - 1)
    at_low, at_high = sample[low].astype(np.float64), sample[high].astype(np.float64)
    return np.asarray(at_low + (places - low) * (at_high - at_low))


def find_otsu(sample: Sample) -> float:
    """The threshold between two classes by N. Otsu (IEEE Trans. SMC 9, 1979), among 256 bins.

    Raises DataError where the values are too close together for so many.
    """
    edges = np.linspace(float(sample[0]), float(sample[-1]), BINS + 1)
    whole = sample.dtype.kind in "ui"
    typed = edges if whole else edges.astype(sample.dtype)
    if not (np.diff(typed) > 0).all():
        raise DataError("no contrast between air and tissue")
    inner = (np.ceil(edges) if whole else edges)[1:-1].astype(sample.dtype)
    counts = np.diff(np.searchsorted(sample, inner), prepend=0, append=len(sample))
    centres = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * centres)
    # Both classes hold something, since the first bin and the last one do.
    between = (sums[:-1] * len(sample) - sums[-1] * below) ** 2 / (below * (len(sample) - below))
    return float(centres[between.argmax()])
