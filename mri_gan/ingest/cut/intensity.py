"""From scanner units to grey levels: one curve per volume, so that its slices stay comparable.

Percentiles and thresholds come from a sample of the voxels, which is sorted once.

`nyul` follows Nyul, Udupa and Zhang, "New variants of a method of MRI scale standardization", IEEE
TMI 19 (2000): landmarks of every histogram are moved to common places, linearly in between. Black
and white are the ends of the window, as in the other modes; the deciles of the foreground are the
landmarks between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mri_gan.errors import DataError
from mri_gan.ingest.options import PrepareConfig

# What is asked of all voxels of a volume is asked of a sample, which is sorted once

MAX_SAMPLES = 1_000_000
THIN = 3  # odd: an even step could meet only every second row of an interlaced slice
BINS = 256

Sample = NDArray[Any]  # some voxels of a volume in rising order [N], in the volume's own type


def take_sample(voxels: NDArray[Any]) -> Sample:
    """A million voxels at most, from a grid over the volume; the same however it is in memory."""
    steps, counts = [1] * voxels.ndim, list(voxels.shape)
    while math.prod(counts) > MAX_SAMPLES:
        longest = counts.index(max(counts))
        steps[longest] *= THIN
        counts[longest] = math.ceil(voxels.shape[longest] / steps[longest])
    grid = voxels[tuple(slice(None, None, step) for step in steps)]
    return np.sort(grid.ravel("K"))


def above(voxels: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Where voxels are above a threshold, compared in their own type."""
    return np.asarray(voxels > _in_type_of(voxels, threshold))


def split(sample: Sample, threshold: float) -> tuple[Sample, Sample]:
    """What is not above the threshold, and what is."""
    at = np.searchsorted(sample, _in_type_of(sample, threshold), "right")
    return sample[:at], sample[at:]


def _in_type_of(voxels: NDArray[Any], threshold: float) -> Any:
    return voxels.dtype.type(math.floor(threshold) if voxels.dtype.kind in "ui" else threshold)


def percentiles(sample: Sample, shares: ArrayLike) -> NDArray[np.float64]:
    """The values below which this many per cent of a sample are, linear between its members."""
    places = np.asarray(shares, np.float64) / 100 * (len(sample) - 1)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, len(sample) - 1)
    at_low, at_high = sample[low].astype(np.float64), sample[high].astype(np.float64)
    return np.asarray(at_low + (places - low) * (at_high - at_low))


def find_otsu(sample: Sample) -> float:
    """The threshold between two classes by N. Otsu (IEEE Trans. SMC 9, 1979), among 256 bins.

    Raises DataError where the values are too close together for that many.
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


# From scanner units to grey levels: one curve per volume, so that its slices stay comparable

DECILES = tuple(range(10, 100, 10))  # of the foreground: the inner landmarks
Z_RANGE = 3.0  # standard deviations of the foreground from its mean to black and to white


@dataclass(frozen=True)
class Curve:
    """Where scanner values go: `points` to `greys` (0..1), straight in between, clipped beyond."""

    points: tuple[float, ...]
    greys: tuple[float, ...] = (0.0, 1.0)

    @property
    def window(self) -> tuple[float, float]:
        """The scanner values of black and white."""
        return self.points[0], self.points[-1]

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Scanner values to 0..1."""
        if len(self.points) == 2:
            return apply_window(values, self.window)
        return np.asarray(np.interp(values, self.points, self.greys), np.float32)


def find_curve(
    voxels: NDArray[Any],
    sample: Sample,
    threshold: float,
    config: PrepareConfig,
    standard: tuple[float, ...] = (),
) -> Curve:
    """The curve of one volume; `standard` are the common places of landmarks for `nyul`.

    Raises DataError where the volume has no contrast, or does not fit `keep`.
    """
    if config.intensity == "minmax":
        return Curve((float(voxels.min()), float(voxels.max())))
    if config.intensity == "zscore":
        return Curve(_z_window(sample, threshold))
    if config.intensity == "keep":
        return Curve(_kept(voxels, config.depth))
    if config.intensity == "nyul":
        return Curve(find_landmarks(sample, threshold, config.window), standard)
    return Curve(percentile_window(sample, threshold, config.window))


def _z_window(sample: Sample, threshold: float) -> tuple[float, float]:
    tissue = split(sample, threshold)[1].astype(np.float64)
    mean, deviation = float(tissue.mean()), float(tissue.std())
    if not deviation > 0:
        raise DataError("no contrast within the tissue")
    return mean - Z_RANGE * deviation, mean + Z_RANGE * deviation


def _kept(voxels: NDArray[Any], depth: int) -> tuple[float, float]:
    top = (1 << depth) - 1
    broken = voxels.dtype.kind == "f" and (voxels != np.round(voxels)).any()
    if broken or voxels.min() < 0 or voxels.max() > top:
        raise DataError(f"--intensity keep takes whole numbers from 0 to {top} only")
    return 0.0, float(top)


def find_landmarks(
    sample: Sample, threshold: float, shares: tuple[float, float]
) -> tuple[float, ...]:
    """Scanner values of black, of the deciles of the foreground, and of white, in rising order."""
    low, high = percentile_window(sample, threshold, shares)
    inner = percentiles(split(sample, threshold)[1], DECILES)
    rising = np.maximum.accumulate(np.clip([low, *inner, high], low, high))
    return tuple(float(value) for value in rising)


def standard_scale(landmarks: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The common places (0..1) of landmarks: the mean of those of many volumes."""
    rows = np.asarray(landmarks, np.float64)
    scaled = (rows - rows[:, :1]) / (rows[:, -1:] - rows[:, :1])
    return tuple(round(float(value), 6) for value in scaled.mean(axis=0))


def foreground_threshold(sample: Sample) -> float:
    """The value above which a voxel is tissue and not air: Otsu's threshold of the volume.

    Raises DataError when all voxels are equal.
    """
    if sample[0] == sample[-1]:
        raise DataError("all voxels are equal")
    threshold = find_otsu(sample)
    # Any value in the gap between air and tissue separates them as well; the middle is farthest
    # from the noise of both.
    dark, bright = split(sample, threshold)
    return (float(dark[-1]) + float(bright[0])) / 2


def percentile_window(
    sample: Sample, threshold: float, shares: tuple[float, float]
) -> tuple[float, float]:
    """The scanner values that become black and white.

    Black is a low percentile of all voxels (air, so that dark tissue keeps its shades); white
    is a high percentile of the foreground only, so that it does not depend on how much air
    surrounds the head.
    """
    low = float(percentiles(sample, shares[0]))
    high = float(percentiles(split(sample, threshold)[1], shares[1]))
    if not high > low:
        raise DataError("no contrast between air and tissue")
    return low, high


def apply_window(values: NDArray[Any], window: tuple[float, float]) -> NDArray[np.float32]:
    """Scanner values to 0..1, clipped."""
    low, high = window
    scaled = values.astype(np.float32, copy=False) - np.float32(low)
    with np.errstate(over="ignore"):  # what is far outside becomes infinite, and is clipped
        scaled *= np.float32(1 / (high - low))
    return np.clip(scaled, 0, 1, out=scaled)


def quantise(values: NDArray[np.float32], depth: int) -> NDArray[Any]:
    """0..1 to 8- or 16-bit grey levels, rounded half up."""
    top = (1 << depth) - 1
    grey = np.clip(values, 0, 1) * np.float32(top)
    grey += np.float32(0.5)
    return grey.astype(np.uint8 if depth == 8 else np.uint16)


def to_depth(pixels: NDArray[Any], depth: int) -> NDArray[Any]:
    """Grey levels of 8 or 16 bits to `depth` bits; equal depths are untouched."""
    have = 16 if pixels.dtype == np.uint16 else 8
    if have == depth:
        return pixels
    if depth == 16:
        return pixels.astype(np.uint16) * np.uint16(257)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
