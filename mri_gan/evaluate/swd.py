"""Sliced Wasserstein distance between local patches, level by level of a Laplacian pyramid.

Karras et al. 2018, "Progressive Growing of GANs", section 5 and appendix; the pyramid is that of
Burt and Adelson 1983; random projections follow Rabin et al. 2011.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.evaluate.images import Pixels, as_tensor

PATCH = 7  # px
PATCHES = 128  # per level and image
COARSEST_PX = 16
DIRECTIONS = 512
BLOCK = 32  # directions at once, so that memory stays flat
# Patches of one image resemble each other: with many images, fewer of each tell as much.
MOST_PATCHES = 1 << 17  # per level and set of images

Descriptors = NDArray[np.float32]  # [N, P, PATCH * PATCH]


def levels_of(size: int) -> list[int]:
    """The sizes of the pyramid's levels in px, finest first."""
    levels = [size]
    while levels[-1] // 2 >= COARSEST_PX:
        levels.append(levels[-1] // 2)
    return levels


def patches_per_image(count: int) -> int:
    """How many patches to take of each of `count` images."""
    return max(1, min(PATCHES, MOST_PATCHES // max(count, 1)))


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Band-pass levels [N, 1, S, S], [N, 1, S/2, S/2], ...; the last is the low-pass itself."""
    levels = []
    for _ in levels_of(images.shape[-1])[1:]:
        small = _smooth(images)[..., ::2, ::2]
        levels.append(images - _enlarge(small))
        images = small
    return [*levels, images]


def _kernel(gain: float) -> Tensor:
    """The binomial filter [1, 5]."""
    return torch.tensor([[1.0, 4.0, 6.0, 4.0, 1.0]]) * (gain / 16)


def _smooth(images: Tensor, gain: float = 1.0) -> Tensor:
    """Filter both axes with the binomial kernel, edges mirrored."""
    row = _kernel(gain)[None]  # [1, 1, 5]
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
    """The rows stretched to at least so many quantiles; exact where the lengths divide."""
    count = rows.shape[1]
    if at_least <= count:
        return rows
    picked = ((np.arange(at_least) + 0.5) * count / at_least).astype(np.int64)
    return rows[:, picked]
