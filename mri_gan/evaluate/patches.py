"""The families `swd` and `ms-ssim`: local detail, and how similar the images of one set are.

Sliced Wasserstein distance between local patches, level by level of a Laplacian pyramid: Karras et
al. 2018, "Progressive Growing of GANs", section 5 and appendix; the pyramid is that of Burt and
Adelson 1983; random projections follow Rabin et al. 2011.

Multi-scale structural similarity of pairs: Wang, Simoncelli and Bovik 2003, "Multiscale structural
similarity for image quality assessment"; as a measure of diversity: Odena et al. 2017 and Karras et
al. 2018, section 5.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.evaluate.families import Family, Source, Table, Values, compare_drawn
from mri_gan.evaluate.images import as_tensor
from mri_gan.pictures import Pixels

# Multi-scale structural similarity of pairs: how much alike the images of one set are

WINDOW = 11  # px
SIGMA = 1.5  # px
K1, K2 = 0.01, 0.03
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first; Wang 2003, section 3.2


def scales_at(size: int) -> int:
    """How many scales hold a whole window: 5 from 176 px on, 3 at 64 px, 1 at 16 px."""
    return sum(size // 2**k >= WINDOW for k in range(len(WEIGHTS)))


def ms_ssim(a: Pixels, b: Pixels) -> NDArray[np.float64]:
    """Similarity of each pair [N, S, S] of 0..1: 1 for equal images [N].

    At small sizes only the scales that hold a window, their weights scaled to sum to 1; below
    11 px there are none.
    """
    scales = scales_at(a.shape[-1])
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    left, right = as_tensor(a).double(), as_tensor(b).double()
    product = np.ones(len(a))
    for k, weight in enumerate(weights):
        luminance, structure = ssim_parts(left, right)
        value = structure if k < scales - 1 else luminance * structure
        product *= value.mean((1, 2, 3)).clamp(min=0).numpy() ** weight
        left, right = F.avg_pool2d(left, 2), F.avg_pool2d(right, 2)
    return product


def ssim_parts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, at every place that holds a whole window.

    [N, 1, S, S] of 0..1; Wang 2003, equations 1 to 6; weighted by a Gaussian.
    """
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (var_a + var_b + c2)


def _blur(images: Tensor) -> Tensor:
    """Gaussian mean over each window, separable, without padding."""
    offsets = torch.arange(WINDOW, dtype=images.dtype) - WINDOW // 2
    row = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    row = row / math.fsum(row.tolist())
    return F.conv2d(F.conv2d(images, row.view(1, 1, 1, -1)), row.view(1, 1, -1, 1))


# Sliced Wasserstein distance between local patches, level by level of a Laplacian pyramid

PATCH = 7  # px
PATCHES = 128  # per level and image
COARSEST_PX = 16
DIRECTIONS = 512
BLOCK = 32  # directions at once, so that memory stays flat
# Patches of one image resemble each other: with many images, fewer of each are enough.
MOST_PATCHES = 1 << 17  # per level and set of images

Descriptors = NDArray[np.float32]  # [N, P, PATCH * PATCH]


def patches_per_image(count: int) -> int:
    """How many patches to take of each of `count` images."""
    return max(1, min(PATCHES, MOST_PATCHES // max(count, 1)))


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Band-pass levels [N, 1, S, S], [N, 1, S/2, S/2], ...; the last is the low-pass itself."""
    levels = []
    while images.shape[-1] // 2 >= COARSEST_PX:
        small = _smooth(images)[..., ::2, ::2]
        levels.append(images - _enlarge(small))
        images = small
    return [*levels, images]


def _smooth(images: Tensor, gain: float = 1.0) -> Tensor:
    """Filter both axes with the binomial kernel, edges mirrored."""
    row = torch.tensor([[[1.0, 4.0, 6.0, 4.0, 1.0]]]) * (gain / 16)  # binomial: [1, 1, 5]
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(F.conv2d(padded, row[:, :, None]), row[..., None])


def _enlarge(images: Tensor) -> Tensor:
    """Twice the size: zeros in between, then smoothed; a gain of 2 per axis makes up for them."""
    n, c, height, width = images.shape
    spread = images.new_zeros(n, c, 2 * height, 2 * width)
    spread[..., ::2, ::2] = images
    return _smooth(spread, gain=2.0)


def describe_patches(
    images: Pixels, patches: int, first: int = 0, seed: int = 0
) -> dict[int, Descriptors]:
    """Random patches of every level: {level in px: [N, patches, 49]}.

    Places depend on `seed` and the number of the image, which starts at `first`.
    """
    found = {}
    for level in laplacian_pyramid(as_tensor(images)):
        size = level.shape[-1]
        windows = np.lib.stride_tricks.sliding_window_view(
            level[:, 0].numpy(), (PATCH, PATCH), (1, 2)
        )
        rows = np.empty((len(images), patches, PATCH * PATCH), np.float32)
        for i in range(len(images)):
            rng = np.random.default_rng((seed, first + i, size))
            y, x = rng.integers(0, size - PATCH + 1, (2, patches))
            rows[i] = windows[i, y, x].reshape(patches, -1)
        found[size] = rows
    return found


def draw_directions(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors [count, 49], uniform on the sphere."""
    vectors = np.random.default_rng(seed).standard_normal((count, PATCH * PATCH))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def normalise(descriptors: Descriptors) -> NDArray[np.float32]:
    """Rows [N * P, 49] of zero mean and unit deviation, over all of one channel together."""
    rows = descriptors.reshape(-1, descriptors.shape[-1])
    spread = float(rows.std())
    return np.asarray((rows - rows.mean()) / (spread or 1.0), np.float32)


def sliced_distance(a: Descriptors, b: Descriptors, directions: NDArray[np.float32]) -> float:
    """1000 times the mean Wasserstein-1 distance of the projections; each set normalised alone.

    Because each set is normalised by its own mean and deviation, a change of contrast or
    brightness alone does not show here.
    """
    left, right = normalise(a), normalise(b)
    total = 0.0
    for i in range(0, len(directions), BLOCK):
        block = directions[i : i + BLOCK]
        total += float(_wasserstein(block @ left.T, block @ right.T).sum())
    return 1000 * total / len(directions)


def _wasserstein(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Wasserstein-1 of each pair of rows [D, n], [D, m]: mean distance of their quantiles."""
    a.sort(axis=1)
    b.sort(axis=1)
    return np.asarray(np.abs(_quantiles(a, b.shape[1]) - _quantiles(b, a.shape[1])).mean(1))


def _quantiles(rows: NDArray[np.float32], at_least: int) -> NDArray[np.float32]:
    """The rows stretched to at least this many quantiles; exact where the lengths divide."""
    count = rows.shape[1]
    if at_least <= count:
        return rows
    picked = ((np.arange(at_least) + 0.5) * count / at_least).astype(np.int64)
    return rows[:, picked]


# The families `swd` and `ms-ssim`: local detail, and how much images of one set are alike

QUICK_DIRECTIONS = 32
QUICK_DESCRIPTORS = 1 << 13


def swd_family(size: int, count: int, seed: int = 0) -> Family:
    """Sliced Wasserstein distance, times 1000, per level and on average.

    `count` is the number of images of the larger set.
    """
    patches = patches_per_image(count)
    directions = draw_directions(DIRECTIONS, seed)

    def describe(pixels: Pixels, first: int) -> Table:
        found = describe_patches(pixels, patches, first, seed)
        return {str(level): rows for level, rows in found.items()}

    def compare(reals: Table, fakes: Table, along: NDArray[np.float32] = directions) -> Values:
        found = {
            f"swd[{level}px]": sliced_distance(reals[level], fakes[level], along)
            for level in reals
            if level.isdigit()  # the rest is no level
        }
        return {**found, "swd[mean]": float(np.mean(list(found.values())))}

    def compare_few(reals: Table, fakes: Table) -> Values:
        return compare(_fewer(reals), _fewer(fakes), directions[:QUICK_DIRECTIONS])

    source, quick = Source("swd", describe), partial(compare_drawn, compare_few)
    return Family("swd", 16, source, compare, quick=quick)


def _fewer(table: Table) -> Table:
    """As many patches of every image as keep the whole small."""
    most = max(1, QUICK_DESCRIPTORS // len(table["group"]))
    return {name: rows[:, :most] for name, rows in table.items() if name.isdigit()}


def ssim_families() -> list[Family]:
    """Mean MS-SSIM of pairs of fakes, of pairs of reals of different people, and the difference.

    A difference above 0 says that the fakes are more alike than people are: the sign of a mode that
    was dropped.
    """

    def compare(reals: Table, fakes: Table) -> Values:
        return {"ms-ssim[fake-real]": _mean_pair(fakes) - _mean_pair(reals)}

    def tell(reals: Table, fakes: Table) -> Values:
        return {"ms-ssim[fake]": _mean_pair(fakes), "ms-ssim[real]": _mean_pair(reals)}

    source = Source("ms-ssim", _describe_pairs)
    difference = Family("ms-ssim", 16, source, compare, "zero", least=-2.0)
    told = Family("ms-ssim", 16, source, tell, "told", least=-1.0, most=1.0)
    return [told, difference]


def _describe_pairs(pixels: Pixels, first: int) -> Table:
    """Each image's similarity to the next one of its batch, and the numbers of the two."""
    partner = np.roll(np.arange(len(pixels)), -1)
    own = np.arange(first, first + len(pixels))
    values = ms_ssim(pixels, pixels[partner])
    return {"pairs": np.stack([values, own, own[partner]], 1).astype(np.float32)}


def _mean_pair(table: Table) -> float:
    """Mean similarity of the pairs whose two images are in the set, but not of one person."""
    pairs, groups = table["pairs"], table["group"]
    order = np.argsort(pairs[:, 1], kind="stable")
    place = np.searchsorted(pairs[order, 1], pairs[:, 2]).clip(max=len(pairs) - 1)
    partner = order[place]
    valid = (pairs[partner, 1] == pairs[:, 2]) & (groups[partner] != groups)
    return float(pairs[valid, 0].mean()) if valid.any() else float("nan")
