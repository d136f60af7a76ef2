"""Made-up heads: a dark frame, an outline that all share, and folds of each person's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from mri_gan.evaluate.images import ImageSet

Images = NDArray[np.float32]
SIZE, SLICES = 64, 4


def draw_heads(count: int, seed: int) -> Images:
    """`count` people with four slices each, alike among themselves [4 * count, 64, 64]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    inside = gaussian_filter(((x / 0.6) ** 2 + (y / 0.75) ** 2 < 1).astype(float), 1)
    folds = gaussian_filter(rng.normal(size=(count, 1, SIZE, SIZE)), (0, 0, 1.5, 1.5))
    change = gaussian_filter(rng.normal(size=(count, SLICES, SIZE, SIZE)), (0, 0, 1.5, 1.5))
    texture = (folds + 0.4 * change).reshape(-1, SIZE, SIZE)
    shared = gaussian_filter(np.random.default_rng(0).normal(size=(SIZE, SIZE)), 4)
    images = inside * (0.5 + 0.15 * texture / texture.std() + 0.1 * shared / shared.std())
    return np.asarray(np.clip(images, 0, 1), np.float32)


def as_people(images: Images, first: int = 0) -> ImageSet:
    """Four slices for each person, numbered from `first`."""
    groups = first + np.arange(len(images)) // SLICES
    return ImageSet(images.shape[-1], groups, lambda a, b: images[a:b])
