"""The families `spectrum` and `histogram`: how much of each frequency, how much of each grey."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from mri_gan.evaluate.families import Family, Source, Table, Values, redraw_with
from mri_gan.evaluate.images import Pixels

BINS = 256
LOWEST_POWER = 1e-7  # about that of rounding to 8 bits: below it there is only rounding


@functools.lru_cache(maxsize=8)
def rings(size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The radius of every frequency, rounded, [S * S]; and how many each radius has [S / 2 + 1].

    Corners beyond the Nyquist frequency of the axes are counted with the last ring.
    """
    along = np.fft.fftfreq(size) * size
    radius = np.minimum(np.rint(np.hypot(along[:, None], along)), size // 2).astype(np.int64)
    return radius.reshape(-1), np.bincount(radius.reshape(-1)).astype(np.float64)


def radial_power(images: Pixels) -> NDArray[np.float32]:
    """Mean power at each radius in decibels [N, S / 2 + 1], of one image's mean square in all.

    Azimuthal average as in Durall et al. 2020, "Watch your up-convolution", section 2.
    """
    size = images.shape[-1]
    power = np.abs(np.fft.fft2(images.astype(np.float64))) ** 2 / size**4
    radius, counts = rings(size)
    rows = power.reshape(len(images), -1)
    sums = np.stack([np.bincount(radius, row, len(counts)) for row in rows])
    return np.asarray(10 * np.log10(sums / counts + LOWEST_POWER / size**2), np.float32)


def spectrum_family() -> Family:
    """Root mean square difference of the mean spectra in decibels, over all radii but 0."""

    def describe(pixels: Pixels, _first: int) -> Table:
        return {"power": radial_power(pixels)}

    def compare(reals: Table, fakes: Table) -> Values:
        difference = fakes["power"].mean(0, np.float64) - reals["power"].mean(0, np.float64)
        return {"spectrum": float(np.sqrt((difference[1:] ** 2).mean()))}

    source = Source("spectrum", describe)
    return Family("spectrum", 8, source, compare, redraw_with(compare), unit="dB")


def grey_shares(images: Pixels) -> NDArray[np.float32]:
    """The share of each image's pixels in each of 256 equal steps of grey [N, 256]."""
    step = np.minimum((images.reshape(len(images), -1) * BINS).astype(np.int64), BINS - 1)
    shares = np.stack([np.bincount(row, minlength=BINS) for row in step])
    return np.asarray(shares / step.shape[1], np.float32)


def histogram_family() -> Family:
    """Wasserstein-1 distance of the mean histograms, in per cent of the range of grey."""

    def describe(pixels: Pixels, _first: int) -> Table:
        return {"shares": grey_shares(pixels)}

    def compare(reals: Table, fakes: Table) -> Values:
        difference = fakes["shares"].mean(0, np.float64) - reals["shares"].mean(0, np.float64)
        return {"histogram": float(100 * np.abs(np.cumsum(difference)).mean())}

    source = Source("histogram", describe)
    return Family("histogram", 8, source, compare, redraw_with(compare), unit="%")
