"""Where pixels go under augmentation: exact blitting, and resampling at twice the resolution.

Karras, Aittala, Hellsten, Laine, Lehtinen and Aila 2020, "Training Generative Adversarial Networks
with Limited Data" (2020b), appendix B.  All functions are linear in the images and may be
differentiated any number of times.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Daubechies 1992, "Ten Lectures on Wavelets", table 8.1: the low-pass filter of the "least
# asymmetric" wavelet with six vanishing moments (sym6).  Its shifts by two are orthonormal, so
# that enlarging and reducing by it without a transform in between is the identity.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
CENTRE = sum(k * h for k, h in enumerate(SYM6)) / math.sqrt(2)  # of mass, in taps
MARGIN_PX = 8  # enlarged beyond the image; further out it is reflected


def mirrored(position: Tensor, size: int) -> Tensor:
    """Indices beyond 0..size - 1 reflected at the borders of the outermost pixels, any distance."""
    wrapped = position.remainder(2 * size)
    return torch.minimum(wrapped, 2 * size - 1 - wrapped)


def blit(
    images: Tensor,  # [N, C, S, S]
    mirror: Tensor,  # [N] bool: left and right exchanged
    quarter_turns: Tensor,  # [N] int, counterclockwise
    shift: Tensor,  # [N, 2] int, px to the right and down
) -> Tensor:
    """Mirror, turn and shift by whole pixels: no value is computed, each is taken from somewhere.

    Without a shift exactly invertible.  Beyond the border the image is reflected.  2020b,
    appendix B, "pixel blitting".
    """
    n, channels, size, _ = images.shape
    line = torch.arange(size, device=images.device)
    right, down = shift[:, 0, None, None], shift[:, 1, None, None]
    x = mirrored(line[None, None, :] - right, size).expand(n, size, size)
    y = mirrored(line[None, :, None] - down, size).expand(n, size, size)
    turns = quarter_turns[:, None, None].remainder(4)
    # The pixel that a counterclockwise turn brings to (x, y), one turn after the other.
    for turn in range(3):
        turned = turns > turn
        x, y = torch.where(turned, size - 1 - y, x), torch.where(turned, x, y)
    x = torch.where(mirror[:, None, None], size - 1 - x, x)
    index = (y * size + x).view(n, 1, size * size).expand(-1, channels, -1)
    return images.flatten(2).gather(2, index).view_as(images)


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Resample [N, C, S, S] by affine maps: inverse [N, 3, 3] leads from target to source, in px.

    Coordinates are (x to the right, y down, 1) from the image's centre.  The images are enlarged
    twice by sym6, sampled linearly, and reduced by the same filter; the identity gives the images.
    2020b, appendix B, "general geometric transformations".
    """
    size = images.shape[-1]
    enlarge, reduce = _matrices(size, images.device, images.dtype)
    large = enlarge @ images @ enlarge.T  # [N, C, L, L]
    length = large.shape[-1]
    target = torch.arange(reduce.shape[1], device=images.device, dtype=images.dtype)
    target = (target - CENTRE - (size - 1)) / 2  # px from the centre
    x, y = torch.meshgrid(target, target, indexing="xy")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # [T, T, 3]
    source = torch.einsum("nij,yxj->nyxi", inverse[:, :2].to(images.dtype), points)
    taps = 2 * source + (size - 1) + CENTRE + 2 * MARGIN_PX
    sampled = _sample(large, taps * (2 / (length - 1)) - 1)
    return reduce @ sampled @ reduce.T


@lru_cache(maxsize=16)
def _matrices(size: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Enlarging [L, S] (reflecting, with a margin) and reducing [S, T] along one axis."""
    taps = torch.tensor(SYM6, dtype=torch.float64)
    reach = 2 * size + len(SYM6) - 2  # taps that reducing meets
    reduce = torch.zeros(size, reach, dtype=torch.float64)
    for pixel in range(size):
        reduce[pixel, 2 * pixel : 2 * pixel + len(SYM6)] = taps / math.sqrt(2)
    row = torch.arange(-2 * MARGIN_PX, reach + 2 * MARGIN_PX)
    enlarge = torch.zeros(len(row), size, dtype=torch.float64)
    for k, tap in enumerate(taps * math.sqrt(2)):
        fits = (row - k) % 2 == 0
        pixels = mirrored((row - k) // 2, size)
        enlarge.index_put_((torch.where(fits)[0], pixels[fits]), tap, accumulate=True)
    return enlarge.to(device, dtype), reduce.to(device, dtype)


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    """Bilinear, reflecting; torch's own sampling has no second derivative."""
    sampled: Tensor = _Sample.apply(images, grid)  # type: ignore[no-untyped-call]
    return sampled


class _Sample(torch.autograd.Function):
    """Sampling as a linear map of the images; the grid is a constant."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(
            images, grid, mode="bilinear", padding_mode="reflection", align_corners=True
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Spread.apply(gradient, grid, ctx.shape), None  # type: ignore[no-untyped-call]


class _Spread(torch.autograd.Function):
    """The adjoint of sampling."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        blank = gradient.new_zeros(()).expand(shape)  # only its shape is read
        bilinear, reflection = 0, 2
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            gradient, blank, grid, bilinear, reflection, True, [True, False]
        )[0]
        return spread

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _sample(gradient, grid), None, None


def translation(x: Tensor, y: Tensor) -> Tensor:
    """Matrices [N, 3, 3] that move points by (x, y)."""
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrix([[one, zero, x], [zero, one, y], [zero, zero, one]])


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Matrices [N, 3, 3] that stretch by x and y."""
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def rotation(angle: Tensor) -> Tensor:
    """Matrices [N, 3, 3] that turn by an angle in radians, from the x axis to the y axis."""
    one, zero, cos, sin = torch.ones_like(angle), torch.zeros_like(angle), angle.cos(), angle.sin()
    return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
