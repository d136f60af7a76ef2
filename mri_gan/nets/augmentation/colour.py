"""What becomes of values under augmentation: colour, frequency bands, noise and cutout.

Karras et al. 2020b, appendix B.  Images are [N, C, S, S], about -1..1; everything but the random
numbers is linear or affine in them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from mri_gan.nets.augmentation.geometry import mirrored

# Daubechies 1992, table 6.1: the low-pass filter with two vanishing moments.
DAUBECHIES2 = tuple(
    (a + b * math.sqrt(3)) / (4 * math.sqrt(2)) for a, b in ((1, 1), (3, 1), (3, -1), (1, -1))
)
BANDS = 4  # octaves below: 0..1/8, 1/8..1/4, 1/4..1/2, 1/2..1 of the highest frequency
BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural images: 2020b, appendix B
CUTOUT = 0.5  # of the width


def recolour(images: Tensor, matrix: Tensor) -> Tensor:
    """Map the channels of each pixel by matrix [N, C, C + 1], its last column added."""
    linear, offset = matrix[:, :, :-1].to(images.dtype), matrix[:, :, -1:].to(images.dtype)
    mapped = torch.baddbmm(offset.expand(-1, -1, images[0, 0].numel()), linear, images.flatten(2))
    return mapped.view_as(images)


def colour_matrix(
    channels: int,
    *,
    brightness: Tensor,  # [N], added to all channels
    contrast: Tensor,  # [N], a factor
    invert_luma: Tensor,  # [N] bool: light and dark exchanged
    hue: Tensor,  # [N] radians, about the grey axis; three channels only
    saturation: Tensor,  # [N], a factor for what is not grey
) -> Tensor:
    """The five colour transforms as one matrix [N, C, C + 1], for any number of channels.

    The grey axis is (1, .., 1) / sqrt(C).  With one channel there is no hue and no saturation.
    2020b, appendix B, "color transformations".
    """
    n, device, dtype = len(brightness), brightness.device, brightness.dtype
    eye = torch.eye(channels, device=device, dtype=dtype)
    grey = torch.full((channels, channels), 1 / channels, device=device, dtype=dtype)
    matrix = torch.cat([eye, torch.zeros(channels, 1, device=device, dtype=dtype)], dim=1)
    matrix = matrix.expand(n, -1, -1).clone()
    matrix[:, :, -1] += brightness[:, None]
    matrix = matrix * contrast[:, None, None]
    mirror = torch.where(invert_luma[:, None, None], eye - 2 * grey, eye)
    matrix = mirror @ matrix
    if channels == 3:
        matrix = _about_grey(hue, eye, grey) @ matrix
    return (grey + (eye - grey) * saturation[:, None, None]) @ matrix


def _about_grey(angle: Tensor, eye: Tensor, grey: Tensor) -> Tensor:
    """Rotations about the grey axis [N, 3, 3], by Rodrigues' formula."""
    line = torch.arange(3, device=eye.device)
    step = (line[:, None] - line[None, :]).remainder(3)  # 0 on the diagonal, 1 below it
    cross = ((step == 1).to(eye.dtype) - (step == 2).to(eye.dtype)) / math.sqrt(3)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cos * eye + sin * cross + (1 - cos) * grey


def filter_bands(images: Tensor, gains: Tensor) -> Tensor:
    """Amplify the four octaves of each image by gains [N, 4], along both axes.

    Gains of one give the images.  2020b, appendix B, "image-space filtering".
    """
    bands = _band_matrices(images.shape[-1], images.device, images.dtype)  # [4, S, S]
    matrix = torch.einsum("nb,bij->nij", gains.to(images.dtype), bands)[:, None]  # [N, 1, S, S]
    return matrix @ images @ matrix.transpose(2, 3)


def band_gains(factors: Tensor) -> Tensor:
    """From factors [N, 4], one for each octave, to gains that keep the expected power.

    2020b, appendix B: each factor in turn, normalised by the power of natural images.
    """
    power = _band_power(factors.device, factors.dtype)
    gains = torch.ones_like(factors)
    for band in range(BANDS):
        step = torch.ones_like(factors)
        step[:, band] = factors[:, band]
        gains = gains * step / (power * step.square()).sum(dim=1, keepdim=True).sqrt()
    return gains


@lru_cache(maxsize=16)
def _band_power(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Kept where it is used: a copy to the GPU in every step would make the host wait."""
    return torch.tensor(BAND_POWER, dtype=dtype, device=device)


@lru_cache(maxsize=16)
def _band_matrices(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The four bands as matrices [4, S, S] along one axis, reflecting at the borders.

    Half-band filters without phase (the autocorrelation of a wavelet's filter), each octave with
    the filter spread twice as far; what a filter leaves out is the band above.  They sum to the
    identity.
    """
    taps = torch.tensor(DAUBECHIES2, dtype=torch.float64)
    half_band = (
        torch.nn.functional.conv1d(taps[None, None], taps[None, None], padding=len(taps) - 1)[0, 0]
        / 2
    )  # symmetric, sums to 1
    identity = torch.eye(size, dtype=torch.float64)
    low, bands = identity, []
    for octave in range(BANDS - 1):
        lower = _reflecting_filter(half_band, 2**octave, size) @ low
        bands.append(low - lower)
        low = lower
    return torch.stack([low, *bands[::-1]]).to(device, dtype)


def _reflecting_filter(kernel: Tensor, spacing: int, size: int) -> Tensor:
    """A symmetric filter with its taps this many pixels apart, as a matrix [S, S]."""
    matrix = torch.zeros(size, size, dtype=kernel.dtype)
    line = torch.arange(size)
    for k, tap in enumerate(kernel):
        source = mirrored(line + spacing * (k - len(kernel) // 2), size)
        matrix.index_put_((line, source), tap, accumulate=True)
    return matrix


def cut_out(images: Tensor, centre: Tensor, active: Tensor) -> Tensor:
    """Set a square of half the width to 0: centre [N, 2] (x, y) in 0..1, active [N] bool.

    2020b, appendix B, "cutout"; DeVries and Taylor 2017.
    """
    size = images.shape[-1]
    line = (torch.arange(size, device=images.device) + 0.5) / size
    x = (line[None, :] - centre[:, 0, None]).abs() < CUTOUT / 2  # [N, S]
    y = (line[None, :] - centre[:, 1, None]).abs() < CUTOUT / 2
    inside = x[:, None, None, :] & y[:, None, :, None] & active[:, None, None, None]
    return images.masked_fill(inside, 0.0)
