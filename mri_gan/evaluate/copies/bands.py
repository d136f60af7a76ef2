"""Pictures at one working size, blurred, and reduced to one band of detail."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

WORKING_PX = 64
COARSE_PX = 32
BANDS = {"low": (1.5, 5.0, 6.0), "high": (0.8, 3.0, 4.0)}  # px: finest, coarsest, neighbourhood
EVENNESS = 0.15  # of a picture's own contrast, added to that of a neighbourhood


def to_working_size(images: Tensor) -> Tensor:
    """Square pictures [N, S, S] at 64 px: means of blocks, or enlarged [N, 64, 64]."""
    if images.shape[-1] == WORKING_PX:
        return images
    size = (WORKING_PX, WORKING_PX)
    if images.shape[-1] > WORKING_PX:
        return F.interpolate(images[:, None], size, mode="area")[:, 0]
    return F.interpolate(images[:, None], size, mode="bilinear", align_corners=False)[:, 0]


@cache
def blur_matrix(size: int, sigma: float) -> Tensor:
    """The matrix [size, size] that blurs a row by a Gaussian of this many px, edges repeated."""
    reach = max(1, round(3 * sigma + 0.5))
    steps = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    matrix = torch.zeros(size, size)
    for step, weight in zip(steps.tolist(), (kernel / kernel.sum()).tolist(), strict=True):
        rows = torch.arange(size)
        matrix.index_put_(
            (rows, (rows + step).clamp(0, size - 1)), torch.tensor(weight), accumulate=True
        )
    return matrix


def blur(images: Tensor, sigma: float) -> Tensor:
    """Pictures [N, S, S] blurred by a Gaussian of `sigma` px, edges repeated."""
    matrix = blur_matrix(images.shape[-1], sigma)
    return matrix @ images @ matrix.T


def take_band(images: Tensor, fine: float, coarse: float) -> Tensor:
    """The difference of two Gaussians of pictures [N, S, S], with a deviation of 1 each."""
    band = blur(images, fine) - blur(images, coarse)
    return band / band.flatten(1).std(1)[:, None, None].clamp(min=1e-5)


def equal_contrast(images: Tensor, name: str) -> Tensor:
    """A band of pictures [N, S, S] with about the same contrast everywhere.

    Each point is divided by the deviation around it (Jarrett et al. 2009, "What is the best
    multi-stage architecture for object recognition?", section 2, local contrast normalisation).
    """
    fine, coarse, around = BANDS[name]
    band = blur(images, fine) - blur(images, coarse)
    spread = blur(band * band, around).sqrt()
    overall = band.flatten(1).std(1)[:, None, None]
    return band / (spread + EVENNESS * overall + 1e-4)


GRAIN_PX = 0.7  # noise is measured in what this blur removes
TISSUE = 0.15  # of the range: brighter surroundings are measured, since a black frame is cut at 0
DEVIATION = 0.6745  # the median of the absolute value of a normal variable of deviation 1


def remove_noise(images: Tensor) -> Tensor:
    """Pictures [N, S, S] drawn towards the mean around each point where only noise differs from it.

    The weight of the difference is the share of its variance that is more than noise (Lee 1980,
    "Digital image enhancement and noise filtering by use of local statistics", section III).
    """
    mean = blur(images, 1.0)
    variance = (blur(images * images, 1.0) - mean * mean).clamp(min=1e-6)
    noise = measure_noise(images)[:, None, None] ** 2
    return mean + ((variance - noise) / variance).clamp(min=0) * (images - mean)


def measure_noise(images: Tensor) -> Tensor:
    """The deviation [N] of the noise of pictures [N, S, S], by the median of their finest grain.

    Median absolute value as in Donoho and Johnstone 1994, "Ideal spatial adaptation by wavelet
    shrinkage", section 4.2. Fine texture of tissue counts as noise.
    """
    row = blur_matrix(images.shape[-1], GRAIN_PX)[images.shape[-1] // 2]
    middle, total = row.max() ** 2, (row**2).sum() ** 2
    grain = (images - blur(images, GRAIN_PX)).abs() / (1 - 2 * middle + total).sqrt()
    outside = blur(images, 2.0) <= TISSUE
    median = grain.masked_fill(outside, torch.nan).flatten(1).nanmedian(1).values
    return median.nan_to_num(0.0) / DEVIATION


def halve(images: Tensor) -> Tensor:
    """Means of 2x2 pixels."""
    return F.avg_pool2d(images[:, None], 2)[:, 0]


def half(size: int, side: int) -> Tensor:
    """1 in the upper, lower, left or right half (`side` 0 to 3) of a square, 0 elsewhere."""
    part = torch.zeros(size, size)
    part[: size // 2] = 1
    return torch.rot90(part, (0, 2, 1, 3)[side])
