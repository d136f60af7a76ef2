"""Pictures at one working size, blurred, and reduced to one band of detail."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

WORKING_PX = 64
COARSE_PX = 32
LOW, HIGH = ((1.5, 5.0), 6.0), ((0.8, 3.0), 4.0)  # px: finest and coarsest, neighbourhood
EVENNESS = 0.15  # of a picture's own contrast, added to that of a neighbourhood


def to_working_size(images: Tensor) -> Tensor:
    """Square pictures [N, S, S] at 64 px: means of blocks, or enlarged [N, 64, 64]."""
    if images.shape[-1] == WORKING_PX:
        return images
    size = (WORKING_PX, WORKING_PX)
    if images.shape[-1] > WORKING_PX:
        return F.interpolate(images[:, None], size, mode="area")[:, 0]
    return F.interpolate(images[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def from_bytes(pictures: Tensor) -> Tensor:
    """Pictures of 8 bits as 0..1."""
    return pictures.float() / 255


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


def take_band(images: Tensor, scales: tuple[float, float]) -> Tensor:
    """The difference of two Gaussians of pictures [N, S, S], with a deviation of 1 each."""
    band = blur(images, scales[0]) - blur(images, scales[1])
    return band / band.flatten(1).std(1)[:, None, None].clamp(min=1e-5)


def equal_contrast(images: Tensor, scales: tuple[float, float], around: float) -> Tensor:
    """A band of pictures [N, S, S] with about the same contrast everywhere.

    Each point is divided by the deviation within `around` px, as in local contrast normalisation
    (Jarrett et al. 2009, "What is the best multi-stage architecture for object recognition?",
    section 2).
    """
    band = blur(images, scales[0]) - blur(images, scales[1])
    spread = blur(band * band, around).sqrt()
    overall = band.flatten(1).std(1)[:, None, None]
    return band / (spread + EVENNESS * overall + 1e-4)


def halve(images: Tensor) -> Tensor:
    """Means of 2x2 pixels."""
    return F.avg_pool2d(images[:, None], 2)[:, 0]


def half(size: int, side: int) -> Tensor:
    """1 in the upper, lower, left or right half (`side` 0 to 3) of a square, 0 elsewhere."""
    part = torch.zeros(size, size)
    part[: size // 2] = 1
    return torch.rot90(part, (0, 2, 1, 3)[side])
