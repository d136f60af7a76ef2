"""Distances between two sets of feature rows, and the families built on them.

Frechet distance of two Gaussians: Dowson and Landau 1982, used by Heusel et al. 2017 as FID when
the features are Inception's. Kernel distance: Binkowski et al. 2018, section 4 (KID).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.charts import MORE_UPRIGHT
from mri_gan.evaluate.families import Family, Pairs, Source, Table, Values, compare_drawn
from mri_gan.pictures import Pixels

# Nearest neighbours by matrix products, block by block: fast, exact, flat in memory

Vectors = NDArray[np.float32]  # [N, D]
ROWS, COLUMNS = 1024, 4096  # of one block of distances: 16 MB


def distance_blocks(queries: Tensor, base: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(first query, first base row, squared distances [n, m]) of block after block.

    Each block is overwritten by the next one. One product gives |y|^2 - 2 x y, to which |x|^2 is
    added; both sets should be centred, since large norms cancel badly.
    """
    buffer = torch.empty(min(ROWS, len(queries)) * min(COLUMNS, len(base)))
    own, others = (queries**2).sum(1), (base**2).sum(1)
    for i in range(0, len(queries), ROWS):
        rows = queries[i : i + ROWS]
        for j in range(0, len(base), COLUMNS):
            columns = base[j : j + COLUMNS]
            out = buffer[: len(rows) * len(columns)].view(len(rows), len(columns))
            torch.addmm(others[j : j + COLUMNS], rows, columns.T, alpha=-2, out=out)
            out += own[i : i + ROWS, None]
            yield i, j, out.clamp_(min=0)


def centred(a: Vectors, b: Vectors) -> tuple[Tensor, Tensor]:
    """Both sets less the mean of the second."""
    middle = b.mean(0)
    return torch.from_numpy(a - middle), torch.from_numpy(b - middle)


def nearest(
    queries: Vectors,
    base: Vectors,
    count: int = 1,
    skip_self: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Distances and rows of the `count` nearest base vectors of each query, nearest first.

    [N, count] each. `skip_self` says that both are the same set, whose vectors do not count as
    their own neighbours. Found by products of float32, then measured again exactly.
    """
    x, y = centred(queries, base)
    best = torch.full((len(x), count), torch.inf)
    found = torch.zeros((len(x), count), dtype=torch.int64)
    for i, j, block in distance_blocks(x, y):
        if skip_self:
            block.diagonal(i - j).fill_(torch.inf)
        few = min(count, block.shape[1])  # a minimum is much quicker than a selection
        smallest = block.topk(few, largest=False) if few > 1 else block.min(1, keepdim=True)
        values, places = smallest
        part = slice(i, i + len(block))
        merged = torch.cat([best[part], values], 1)
        best[part], order = merged.topk(count, largest=False)
        found[part] = torch.cat([found[part], places + j], 1).gather(1, order)
    rows = found.numpy()
    exact = np.stack([np.linalg.norm(queries - base[rows[:, k]], axis=1) for k in range(count)], 1)
    return exact.astype(np.float32), rows


# The families `fd` and `kd`: Frechet and kernel distances of features

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

    def quick(reals: Table, fakes: Table, pairs: Pairs) -> list[Values]:
        axes = main_axes(reals["features"], fakes["features"], QUICK_AXES)
        real, fake = ({"features": table["features"] @ axes} for table in (reals, fakes))
        return compare_drawn(compare, real, fake, pairs)

    return Family(name, 2 * dimensions, source, compare, quick=quick)


def main_axes(a: Vectors, b: Vectors, most: int) -> Vectors:
    """The directions of largest mean square difference from the common mean [D, most or D]."""
    rows = np.concatenate([a, b])
    values, vectors = np.linalg.eigh(_moments(rows)[1])
    return np.asarray(vectors[:, np.argsort(values)[::-1][:most]], np.float32)


def kernel_sums(a: Vectors, b: Vectors) -> Array:
    """The sum of the kernels of each row of `a` with all of `b`."""
    sums = np.zeros(len(a))
    for i in range(0, len(a), BLOCK):
        for j in range(0, len(b), BLOCK):
            sums[i : i + BLOCK] += kernel(a[i : i + BLOCK], b[j : j + BLOCK]).sum(1)
    return sums


def kernel_means(rows: Vectors, groups: NDArray[np.int64]) -> Array:
    """The mean kernel of each row with those of other groups.

    Pairs of one group are left out, since slices of one person are not independent.
    """
    sums, counts = kernel_sums(rows, rows), np.full(len(rows), len(rows))
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        sums[own] -= kernel(rows[own], rows[own]).sum(1)
        counts[own] -= len(own)
    return np.asarray(sums / np.maximum(counts, 1))


def kernel(a: Vectors, b: Vectors) -> Array:
    """(x y / D + 1)^3 of all pairs of rows."""
    return np.asarray((a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3)


def kernel_parts(reals: Table, fakes: Table) -> tuple[float, Array, Array]:
    """The unbiased squared distance, and how much each real and each fake moves it.

    The parts are the first-order terms: twice what a row adds to the sum of kernels, less the
    mean; a draw of people changes the distance by their mean.
    """
    a, b = reals["features"], fakes["features"]
    real, fake = kernel_means(a, reals["group"]), kernel_means(b, fakes["group"])
    across, back = kernel_sums(a, b) / len(b), kernel_sums(b, a) / len(a)
    value = float(real.mean() + fake.mean() - across.mean() - back.mean())
    left, right = 2 * (real - across), 2 * (fake - back)
    return value, left - left.mean(), right - right.mean()


def kernel_family(source: Source) -> Family:
    """The kernel distance on one kind of features; may fall a little below 0."""
    name = f"kd[{source.name}]"

    def compare(reals: Table, fakes: Table) -> Values:
        return {name: kernel_parts(reals, fakes)[0]}

    def quick(reals: Table, fakes: Table, pairs: Pairs) -> list[Values]:
        value, left, right = kernel_parts(reals, fakes)
        return [{name: (value + left[a].mean() + right[b].mean())} for a, b in pairs]

    return Family(name, FEWEST_KERNEL, source, compare, least=-np.inf, quick=quick)


# The families `spectrum` and `histogram`: how much of each frequency, how much of each grey

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

    def compare(reals: Table, fakes: Table) -> Values:
        difference = fakes["power"].mean(0, np.float64) - reals["power"].mean(0, np.float64)
        return {"spectrum": float(np.sqrt((difference[1:] ** 2).mean()))}

    source = Source("spectrum", lambda pixels, _first: {"power": radial_power(pixels)})
    return Family("spectrum", 8, source, compare, unit="dB")


def grey_shares(images: Pixels) -> NDArray[np.float32]:
    """The share of each image's pixels in each of 256 equal steps of grey [N, 256]."""
    step = np.minimum((images.reshape(len(images), -1) * BINS).astype(np.int64), BINS - 1)
    shares = np.stack([np.bincount(row, minlength=BINS) for row in step])
    return np.asarray(shares / step.shape[1], np.float32)


def histogram_family() -> Family:
    """Wasserstein-1 distance of the mean histograms, in per cent of the range of grey."""

    def compare(reals: Table, fakes: Table) -> Values:
        difference = fakes["shares"].mean(0, np.float64) - reals["shares"].mean(0, np.float64)
        return {"histogram": float(100 * np.abs(np.cumsum(difference)).mean())}

    source = Source("histogram", lambda pixels, _first: {"shares": grey_shares(pixels)})
    return Family("histogram", 8, source, compare, unit="%")


# The family `vendi`: how many different images a set holds

VENDI_ROWS = 400  # of each set; eigenvalues of more take long


def effective_number(rows: Vectors, width: float) -> float:
    """How many different images there are among rows [N, D]: 1 for equal ones, N for unlike ones.

    exp of the entropy of the eigenvalues of a Gaussian kernel over N (Friedman and Dieng 2023, "The
    Vendi score", definition 3.1); likeness falls off over `width`.
    """
    x = rows.astype(np.float64)
    norms = (x**2).sum(1)
    squares = np.maximum(norms[:, None] + norms - 2 * x @ x.T, 0)
    values = np.linalg.eigvalsh(np.exp(-squares / (2 * width**2)) / len(x))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def vendi_family(source: Source) -> Family:
    """By how many per cent more or fewer different images the fakes hold than as many reals."""
    name = f"vendi[{source.name}]"

    def compare(reals: Table, fakes: Table) -> Values:
        count = min(len(reals["features"]), len(fakes["features"]), VENDI_ROWS)
        real, fake = (table["features"][:count] for table in (reals, fakes))
        width = float(np.sqrt(np.square(real - real.mean(0)).sum(1).mean())) or 1.0
        ratio = effective_number(fake, width) / effective_number(real, width)
        return {name: 100 * (ratio - 1)}

    return Family(name, FEWEST_KERNEL, source, compare, "zero", "%", least=-100.0)


# The families `seam` and `upright`: halves of two people, and mirrored images

AXES = {"rows": 1, "columns": 2}
STEP = np.array([-1, 5, -10, 10, -5, 1], np.float32) / 32  # a fifth difference: 0 where smooth
BESIDE = (-5, -4, -3, 3, 4, 5)  # px beside the middle, where no half ends
SMOOTH = 0.005  # of the range, added to all differences
SEAM_PX = 32  # the smallest images with room beside the middle
UPRIGHT_PX, RIDGE = 16, 1.0  # RIDGE: of the mean variance, added to all


def by_axes(name: str, measure: Callable[[Pixels, int], NDArray[np.float32]]) -> Source:
    """What is measured along the rows and along the columns."""
    return Source(name, lambda pixels, _: {n: measure(pixels, axis) for n, axis in AXES.items()})


def measure_seams(images: Pixels, axis: int) -> NDArray[np.float32]:
    """How much rougher images [N, S, S] are across their middle than beside it: a log ratio [N]."""
    lines, half = np.moveaxis(images, axis, 1), len(STEP) // 2
    middle, found = images.shape[-1] // 2, []
    for beside in (0, *BESIDE):
        first = middle + beside - half
        step = np.tensordot(STEP, lines[:, first : first + len(STEP)], (0, 1))
        found.append(np.log(np.abs(step).mean(1) + SMOOTH))
    return np.asarray(found[0] - np.mean(found[1:], 0), np.float32)


def seam_family() -> Family:
    """By how many per cent fakes are rougher across their middle than reals are.

    Halves of two people that were put together meet there.
    """

    def compare(reals: Table, fakes: Table) -> Values:
        ratios = {name: float(fakes[name].mean() - reals[name].mean()) for name in AXES}
        return {f"seam[{name}]": 100 * float(np.expm1(ratio)) for name, ratio in ratios.items()}

    return Family("seam", 16, by_axes("seam", measure_seams), compare, "zero", "%", least=-100.0)


def split_sides(images: Pixels, axis: int) -> NDArray[np.float32]:
    """How one side of images differs from the other, at 16 px [N, 128]; mirrored it is negative."""
    small = F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(images)), UPRIGHT_PX)
    lines = np.moveaxis(small.numpy(), axis, 1)
    return np.asarray((lines - lines[:, ::-1])[:, : UPRIGHT_PX // 2].reshape(len(images), -1))


def upright_family() -> Family:
    """How many per cent of the fakes lie as reals do rather than as their mirror images.

    A linear discriminant between reals and mirrored reals (Fisher 1936), which have means of
    opposite sign and one covariance, whose diagonal is raised: reals may be few.
    """

    def compare(reals: Table, fakes: Table) -> Values:
        found = {}
        for name in AXES:
            rows = reals[name].astype(np.float64)
            products = rows.T @ rows / len(rows)
            raised = RIDGE * np.trace(products) / len(products) + 1e-12
            weights = np.linalg.solve(products + raised * np.eye(len(products)), rows.mean(0))
            found[f"upright[{name}]"] = 100 * float((fakes[name] @ weights > 0).mean())
        return found

    source = by_axes("upright", split_sides)
    said = f"{MORE_UPRIGHT}: no sign of copies"
    return Family("upright", 16, source, compare, "higher", "%", most=100.0, beyond=said)
