"""Multi-scale structural similarity of pairs: how much alike the images of one set are.

Wang, Simoncelli and Bovik 2003, "Multiscale structural similarity for image quality assessment";
as a measure of diversity: Odena et al. 2017 and Karras et al. 2018, section 5.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.errors import UsageError
from mri_gan.evaluate.images import Pixels, as_tensor

WINDOW = 11  # px
SIGMA = 1.5  # px
K1, K2 = 0.01, 0.03
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first; Wang 2003, section 3.2


def scales_at(size: int) -> int:
    """How many scales hold a whole window: 5 from 176 px on, 3 at 64 px, 1 at 16 px."""
    return sum(size // 2**k >= WINDOW for k in range(len(WEIGHTS)))


def ms_ssim(a: Pixels, b: Pixels) -> NDArray[np.float64]:
    """Similarity of each pair [N, S, S] of 0..1: 1 for equal images [N].

    At small sizes only the scales that hold a window, their weights scaled to sum to 1.
    Raises UsageError below 11 px.
    """
    scales = scales_at(a.shape[-1])
    if not scales:
        raise UsageError(f"ms-ssim needs images of {WINDOW} px or more", "choose a larger --size")
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
