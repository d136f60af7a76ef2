"""Lanczos resampling of stacks of slices in exact arithmetic: the same bits on every machine.

The filter has three lobes and is widened where an image shrinks (Duchon, "Lanczos filtering in one
and two dimensions", J. Appl. Meteorol. 18, 1979). Each axis is a product with a banded matrix.
Values and weights are fixed-point numbers with so few digits that every sum is exact in the
floating-point type that holds it. So a BLAS may add in any order, with any instructions, and the
bits of a store do not depend on it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOBES = 3
FINE = 8  # steps per grey level that values are rounded to, before and between the two axes
# By depth: the type of the sums, and the steps per 1 that weights are rounded to. The largest sum
# is 2.6 * FINE * 2^depth * steps (two axes at a corner), below 2^24 and 2^53.
EXACT: dict[int, tuple[type, int]] = {8: (np.float32, 1 << 11), 16: (np.float64, 1 << 20)}
# Rows of a band times the length of what they are multiplied with: small enough for the cache, and
# for a BLAS not to start threads, which would compete with the other workers.
BAND = 1 << 13
MOST_ROWS = 16


@dataclass(frozen=True)
class Band:
    """Pixels of the output that depend on nearly the same pixels of the input."""

    out: slice
    into: slice
    weights: NDArray[Any]  # [out, into]


def resample(shades: NDArray[np.float32], height: int, width: int, depth: int) -> NDArray[Any]:
    """Slices [N, H, W], 0..1, as grey levels [N, height, width] of `depth` bits.

    What the filter overshoots is clipped; grey levels are rounded half up.
    """
    top = (1 << depth) - 1
    values = np.rint(shades * np.float32(FINE * top)).astype(EXACT[depth][0], copy=False)
    if values.shape[1] != height:
        values = np.rint(_resample_rows(values, height, depth))
    if values.shape[2] != width:
        values = _resample_columns(values, width, depth)
    values *= 1 / FINE
    np.clip(values, 0, top, out=values)
    values += 0.5
    greys: NDArray[Any] = values.astype(np.uint8 if depth == 8 else np.uint16)
    return greys


def _resample_rows(values: NDArray[Any], height: int, depth: int) -> NDArray[Any]:
    count, have, width = values.shape
    result = np.empty((count, height, width), values.dtype)
    for band in find_bands(have, height, depth, _rows_beside(width)):
        np.matmul(band.weights, values[:, band.into], out=result[:, band.out])
    return result


def _resample_columns(values: NDArray[Any], width: int, depth: int) -> NDArray[Any]:
    count, height, have = values.shape
    result = np.empty((count, height, width), values.dtype)
    for band in find_bands(have, width, depth, _rows_beside(height)):
        np.matmul(values[:, :, band.into], band.weights.T, out=result[:, :, band.out])
    return result


def _rows_beside(length: int) -> int:
    return min(max(BAND // length, 1), MOST_ROWS)


@functools.lru_cache(maxsize=8)  # volumes of a data set often have one shape
def find_bands(have: int, want: int, depth: int, rows: int) -> list[Band]:
    """The matrix that brings `have` pixels to `want`, in bands of this many rows.

    Every row adds up to 1, so that even areas stay as they are.
    """
    return [
        _find_band(have, want, depth, range(start, min(start + rows, want)))
        for start in range(0, want, rows)
    ]


def _find_band(have: int, want: int, depth: int, pixels: range) -> Band:
    dtype, steps = EXACT[depth]
    scale = have / want  # pixel i of the output is at (i + 1/2) * scale - 1/2 of the input
    centres = (np.array(pixels)[:, None] + 0.5) * scale - 0.5
    reach = LOBES * max(scale, 1)
    first, last = max(int(centres[0, 0] - reach), 0), min(int(centres[-1, 0] + reach) + 1, have - 1)
    away = (np.arange(first, last + 1) - centres) / max(scale, 1)
    weights = np.sinc(away) * np.sinc(away / LOBES) * (np.abs(away) < LOBES)
    rounded = np.rint(weights * (steps / weights.sum(axis=1, keepdims=True)))
    largest = rounded.argmax(axis=1)
    rounded[np.arange(len(rounded)), largest] += steps - rounded.sum(axis=1)
    weights = (rounded / steps).astype(dtype)
    return Band(slice(pixels.start, pixels.stop), slice(first, last + 1), weights)
