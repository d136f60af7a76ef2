"""First-order statistics and textures of images, as in radiomics, by scikit-image.

Co-occurrence: Haralick et al. 1973; local binary patterns: Ojala et al. 2002. Names follow the
image biomarker standard (Zwanenburg et al. 2020) where the two agree, but nothing here was checked
against its phantoms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mri_gan.evaluate.images import Pixels

GREYS = 16  # of the co-occurrence matrix
DISTANCES = (1, 2)  # px
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PROPERTIES = ("contrast", "homogeneity", "energy", "correlation")
POINTS, RADIUS = 8, 1  # of the local binary patterns
FIRST_ORDER = ("mean", "deviation", "skewness", "kurtosis", "entropy", "p10", "p50", "p90")
NAMES = (
    *FIRST_ORDER,
    *(f"{name}-{distance}px" for name in PROPERTIES for distance in DISTANCES),
    *(f"lbp-{k}" for k in range(POINTS + 2)),
)


def describe_textures(images: Pixels) -> NDArray[np.float32]:
    """All features of each image [N, D], in the order of NAMES."""
    return np.stack([describe_one(image) for image in images])


def describe_one(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """All features of one image [S, S] of 0..1."""
    grey = np.asarray(image * 255 + 0.5, np.uint8)
    return np.concatenate([first_order(image), cooccurrence(grey), patterns(grey)]).astype(
        np.float32
    )


def first_order(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Statistics of the grey levels, wherever they lie."""
    values = image.astype(np.float64).reshape(-1)
    mean, deviation = values.mean(), values.std()
    z = (values - mean) / (deviation or 1.0)
    shares = np.bincount((values * 63.999).astype(np.int64), minlength=64) / len(values)
    entropy = -(shares[shares > 0] * np.log2(shares[shares > 0])).sum()
    percentiles = np.percentile(values, [10, 50, 90])
    return np.array([mean, deviation, (z**3).mean(), (z**4).mean(), entropy, *percentiles])


def cooccurrence(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Properties of the symmetric co-occurrence matrix at each distance, mean of 4 angles."""
    from skimage.feature import graycomatrix, graycoprops

    matrix = graycomatrix(
        grey // (256 // GREYS), DISTANCES, ANGLES, levels=GREYS, symmetric=True, normed=True
    )
    return np.concatenate([graycoprops(matrix, name).mean(1) for name in PROPERTIES])


def patterns(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of the rotation-invariant uniform local binary patterns."""
    from skimage.feature import local_binary_pattern

    codes = local_binary_pattern(grey, POINTS, RADIUS, "uniform").astype(np.int64)
    return np.asarray(np.bincount(codes.reshape(-1), minlength=POINTS + 2) / codes.size)
