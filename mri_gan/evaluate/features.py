"""Features that need no download: principal components, a random network, textures.

Each is fitted on real slices of the split that is compared with, so that its scale means the
same for reals and fakes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mri_gan.evaluate.families import Source, Table
from mri_gan.evaluate.images import ImageSet, Pixels, as_tensor
from mri_gan.evaluate.texture import describe_textures

Vectors = NDArray[np.float32]  # [N, D]
Extract = Callable[[Pixels], Vectors]

FIT_IMAGES = 1024
LARGEST_PX = 64  # principal components and the random network see at most this
PCA_DIMENSIONS = 50
CNN_CHANNELS = (8, 16, 24)
LEAST_SPREAD = 0.01  # a feature that is the same for all reals must not become infinitely strict


@dataclass(frozen=True)
class Features:
    """A named way to turn images into vectors of `dimensions` numbers."""

    name: str
    dimensions: int
    extract: Extract

    @property
    def source(self) -> Source:
        """The same for an evaluation."""

        def describe(pixels: Pixels, _first: int) -> Table:
            return {"features": self.extract(pixels)}

        return Source(self.name, describe)


def read_fit(reals: ImageSet) -> Pixels:
    """The real images to fit on: the first ones, which are in random order."""
    return reals.read(0, min(len(reals), FIT_IMAGES))


def shrink(images: Pixels, largest: int = LARGEST_PX) -> Pixels:
    """Means of blocks, so that images have at most so many pixels a side."""
    factor = max(1, images.shape[-1] // largest)
    return np.asarray(F.avg_pool2d(as_tensor(images), factor)[:, 0].numpy())


def fit_pca(fit: Pixels) -> Features:
    """The leading principal components of the pixels, as many as half the images allow.

    Scaled by one number, so that the reals have a mean square of 1 per component.
    """
    rows = shrink(fit).reshape(len(fit), -1)
    mean = rows.mean(0)
    count = min(PCA_DIMENSIONS, max(1, len(fit) // 2))
    _, spread, axes = np.linalg.svd(rows - mean, full_matrices=False)
    scale = np.sqrt((spread[:count] ** 2).sum() / (len(fit) * count)) or 1.0
    matrix = np.asarray(axes[:count].T / scale, np.float32)

    def extract(images: Pixels) -> Vectors:
        return np.asarray((shrink(images).reshape(len(images), -1) - mean) @ matrix)

    return Features("pca", count, extract)


def fit_cnn(fit: Pixels) -> Features:
    """Means and deviations of the layers of a convolutional network with fixed random weights.

    Weights are drawn by a fixed seed: features of nothing that was learned, but of edges and
    their combinations (as in Ulyanov et al. 2018 and Naeem et al. 2020, section 3.3). Each is
    centred and scaled by the deviation of the reals.
    """
    weights = _random_weights()
    raw = _layers(fit, weights)
    mean, spread = raw.mean(0), np.maximum(raw.std(0), LEAST_SPREAD)

    def extract(images: Pixels) -> Vectors:
        return np.asarray((_layers(images, weights) - mean) / spread)

    return Features("random-cnn", raw.shape[1], extract)


def _random_weights() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(20_181)
    weights, inputs = [], 1
    for outputs in CNN_CHANNELS:
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        weights.append(weight * (2 / (9 * inputs)) ** 0.5)
        inputs = outputs
    return weights


@torch.no_grad()
def _layers(images: Pixels, weights: list[torch.Tensor]) -> Vectors:
    x, found = as_tensor(shrink(images)) * 2 - 1, []
    for weight in weights:
        x = F.leaky_relu(F.conv2d(x, weight, padding=1, stride=2), 0.2)
        found += [x.mean((2, 3)), x.std((2, 3), correction=0)]
    return np.asarray(torch.cat(found, 1).numpy())


def fit_texture(fit: Pixels) -> Features:
    """First-order and texture features, each centred and scaled by the deviation of the reals."""
    raw = describe_textures(fit)
    mean, spread = raw.mean(0), np.maximum(raw.std(0), LEAST_SPREAD)

    def extract(images: Pixels) -> Vectors:
        return np.asarray((describe_textures(images) - mean) / spread, np.float32)

    return Features("texture", raw.shape[1], extract)


FITS: dict[str, Callable[[Pixels], Features]] = {
    "pca": fit_pca,
    "random-cnn": fit_cnn,
    "texture": fit_texture,
}
