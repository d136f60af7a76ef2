"""From scanner units to grey levels: one window per volume, so that slices stay comparable."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import DataError

MAX_SAMPLES = 1_000_000


def foreground_threshold(voxels: NDArray[np.float32]) -> float:
    """The value above which a voxel is tissue and not air: Otsu's threshold of the volume.

    Raises DataError when all voxels are equal.
    """
    from skimage.filters import threshold_otsu  # slow to import, and image files need none of it

    sample = _sample(voxels)
    if sample.min() == sample.max():
        raise DataError("all voxels are equal; nothing to see")
    try:
        threshold = threshold_otsu(sample)
    except ValueError as error:  # the values are too close together for a histogram
        raise DataError("no contrast between air and tissue") from error
    # Any value in the gap between air and tissue separates them as well; the middle is farthest
    # from the noise of both.
    dark, bright = sample[sample <= threshold], sample[sample > threshold]
    if not len(dark) or not len(bright):
        return float(threshold)
    return (float(dark.max()) + float(bright.min())) / 2


def percentile_window(
    voxels: NDArray[np.float32],
    threshold: float,
    percentiles: tuple[float, float],
) -> tuple[float, float]:
    """The scanner values that become black and white.

    Black is a low percentile of all voxels (air, so that dark tissue keeps its shades); white
    is a high percentile of the foreground only, so that it does not depend on how much air
    surrounds the head.
    """
    sample = _sample(voxels)
    low = float(np.percentile(sample, percentiles[0]))
    high = float(np.percentile(sample[sample > threshold], percentiles[1]))
    if not high > low:
        raise DataError("no contrast between air and tissue")
    return low, high


def _sample(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every n-th voxel, n odd so that it does not walk along one grid line."""
    step = voxels.size // MAX_SAMPLES | 1
    return voxels.ravel()[::step]


def apply_window(values: NDArray[Any], window: tuple[float, float]) -> NDArray[np.float32]:
    """Scanner values to 0..1, clipped."""
    low, high = window
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(1 / (high - low))
    return np.asarray(np.clip(scaled, 0, 1))


def quantise(values: NDArray[np.float32], depth: int) -> NDArray[Any]:
    """0..1 to 8- or 16-bit grey levels, rounded half up."""
    top = (1 << depth) - 1
    grey = np.floor(np.clip(values, 0, 1) * np.float32(top) + np.float32(0.5))
    return np.asarray(grey, np.uint8 if depth == 8 else np.uint16)


def to_depth(pixels: NDArray[Any], depth: int) -> NDArray[Any]:
    """Grey levels of 8 or 16 bits to `depth` bits; equal depths are untouched."""
    have = 16 if pixels.dtype == np.uint16 else 8
    if have == depth:
        return pixels
    if depth == 16:
        return pixels.astype(np.uint16) * np.uint16(257)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
