"""The families `fd` and `kd`: Frechet and kernel distances of features.

Frechet distance of two Gaussians: Dowson and Landau 1982, used by Heusel et al. 2017 as FID when
the features are Inception's. Kernel distance: Binkowski et al. 2018, section 4 (KID).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mri_gan.evaluate.families import Family, Source, Table, Values, redraw_with
from mri_gan.evaluate.nearest import Vectors
from mri_gan.evaluate.resample import Rows

QUICK_AXES = 128
BLOCK = 2048
FEWEST_KERNEL = 50

Array = NDArray[np.float64]


def frechet(a: Vectors, b: Vectors) -> float:
    """|m - n|^2 + tr(A + B - 2 (A B)^(1/2)) of the means and covariances of two sets [N, D]."""
    (m, cov_a), (n, cov_b) = _moments(a), _moments(b)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    distance = ((m - n) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    return float(max(distance, 0.0))


def _moments(rows: Vectors) -> tuple[Array, Array]:
    mean = rows.mean(0, np.float64)
    spread = rows - mean.astype(np.float32)
    # Products in single precision are exact enough for 10,000 rows and twice as fast.
    return mean, np.asarray(spread.T @ spread, np.float64) / (len(rows) - 1)


def frechet_family(source: Source, dimensions: int) -> Family:
    """The Frechet distance on one kind of features; needs twice as many images as dimensions."""
    name = f"fd[{source.name}]"

    def compare(reals: Table, fakes: Table) -> Values:
        return {name: frechet(reals["features"], fakes["features"])}

    def redraw(
        reals: Table, fakes: Table, real_rows: Sequence[Rows], fake_rows: Sequence[Rows]
    ) -> list[Values]:
        axes = main_axes(reals["features"], fakes["features"], QUICK_AXES)
        real, fake = ({"features": table["features"] @ axes} for table in (reals, fakes))
        return redraw_with(compare)(real, fake, real_rows, fake_rows)

    return Family(name, 2 * dimensions, source, compare, redraw)


def main_axes(a: Vectors, b: Vectors, most: int) -> Vectors:
    """The directions of largest mean square difference from the common mean [D, most or D]."""
    rows = np.concatenate([a, b])
    values, vectors = np.linalg.eigh(_moments(rows)[1])
    return np.asarray(vectors[:, np.argsort(values)[::-1][:most]], np.float32)


def kernel_means(a: Vectors, b: Vectors | None = None) -> Array:
    """The mean kernel (x y / D + 1)^3 of each row of `a` with those of `b`, or with its others."""
    others = a if b is None else b
    sums = np.zeros(len(a))
    for i in range(0, len(a), BLOCK):
        for j in range(0, len(others), BLOCK):
            product = a[i : i + BLOCK] @ others[j : j + BLOCK].T / a.shape[1] + 1
            sums[i : i + BLOCK] += (product**3).sum(1, np.float64)
    if b is not None:
        return sums / len(b)
    itself = ((a.astype(np.float64) ** 2).sum(1) / a.shape[1] + 1) ** 3
    return np.asarray((sums - itself) / (len(a) - 1))


def kernel_parts(reals: Vectors, fakes: Vectors) -> tuple[float, Array, Array]:
    """The unbiased squared distance, and how much each real and each fake moves it.

    The parts are the first-order terms: twice what a row adds to the sum of kernels, less the
    mean; a draw of people changes the distance by their mean.
    """
    real, fake = kernel_means(reals), kernel_means(fakes)
    across, back = kernel_means(reals, fakes), kernel_means(fakes, reals)
    value = float(real.mean() + fake.mean() - across.mean() - back.mean())
    left, right = 2 * (real - across), 2 * (fake - back)
    return value, left - left.mean(), right - right.mean()


def kernel_family(source: Source) -> Family:
    """The kernel distance on one kind of features; may fall a little below 0."""
    name = f"kd[{source.name}]"

    def compare(reals: Table, fakes: Table) -> Values:
        return {name: kernel_parts(reals["features"], fakes["features"])[0]}

    def redraw(
        reals: Table, fakes: Table, real_rows: Sequence[Rows], fake_rows: Sequence[Rows]
    ) -> list[Values]:
        value, left, right = kernel_parts(reals["features"], fakes["features"])
        pairs = zip(real_rows, fake_rows, strict=True)
        return [{name: (value + left[a].mean() + right[b].mean())} for a, b in pairs]

    return Family(name, FEWEST_KERNEL, source, compare, redraw, least=-np.inf)
