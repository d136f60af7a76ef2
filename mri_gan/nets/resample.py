"""Doubling, halving and blurring of images, and the folding of both into 3x3 kernels.

Everything here is a pure, differentiable function without parameters.  A folded kernel depends on
the weights alone, so a caller may fold once per optimiser step instead of once per forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mri_gan.nets import tracing
from mri_gan.nets.precision import block_precision


def upsample_nearest2(x: Tensor) -> Tensor:
    """Double height and width by repeating pixels.

    [N, C, H, W] -> [N, C, 2H, 2W].  Karras et al. 2018, section 2 and figure 2 ("2x").
    """
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def downsample_mean2(x: Tensor) -> Tensor:
    """Halve height and width by the mean of each 2x2 square.

    [N, C, 2H, 2W] -> [N, C, H, W].  Karras et al. 2018, section 2 and figure 2 ("0.5x").
    """
    return F.avg_pool2d(x, kernel_size=2)


def fold_upsampling(kernel: Tensor) -> Tensor:
    """Fold nearest-neighbour doubling into the 3x3 convolution that follows it.

    [out, in, 3, 3] -> [in, out, 4, 4], the layout of `conv_transpose2d` with stride 2 and padding
    1, which then equals `conv2d(upsample_nearest2(x), kernel, padding=1)`, borders included.

    Doubling repeats each pixel twice per axis, so an input pixel meets the sum of the taps that
    land on its copies: the sum of four shifted kernels.  The transposed convolution correlates
    with the mirrored kernel, hence the flip.  Operations of Karras et al. 2018, section 2.
    """
    return _fold(kernel, _four_shifts(kernel).flip(0)).transpose(0, 1)


def fold_downsampling(kernel: Tensor) -> Tensor:
    """Fold the 2x2 mean into the 3x3 convolution that precedes it.

    [out, in, 3, 3] -> [out, in, 4, 4] for `conv2d` with stride 2 and padding 1, which then equals
    `downsample_mean2(conv2d(x, kernel, padding=1))`, borders included.

    The mean of four neighbouring outputs is one output of the mean of four shifted kernels.
    Operations of Karras et al. 2018, section 2.
    """
    return _fold(kernel, _four_shifts(kernel) / 4)


def _fold(kernel: Tensor, taps: Tensor) -> Tensor:
    """Mix the nine taps of each kernel into sixteen: [.., 3, 3], taps [9, 16] -> [.., 4, 4].

    One matrix product is four times as fast as padding and adding, there and back.  It keeps the
    precision of the weights: rounded to bfloat16, they would be rounded again by the convolution.
    """
    with block_precision(kernel, low=False):
        folded = kernel.reshape(-1, 9) @ taps
    return folded.view(*kernel.shape[:2], 4, 4)


def _four_shifts(like: Tensor) -> Tensor:
    """The map from a kernel to the sum of its copies shifted by (0, 0), (0, 1), (1, 0), (1, 1).

    -> [9, 16], in the precision and on the device of `like`.
    """
    column = torch.arange(4, device=like.device)
    shift = column - column[:3, None]  # [3, 4]
    axis = ((shift == 0) | (shift == 1)).to(like.dtype)
    return torch.kron(axis, axis)


def binomial_kernel(
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """Build the kernel [1 2 1] x [1 2 1] / 16 as [1, 1, 3, 3].

    Karras et al. 2019, section 2.1 and appendix C; after Zhang 2019.
    """
    # Counted on the device: a literal would be copied from the host and stall a GPU.
    row = 2 - torch.arange(-1, 2, dtype=dtype or torch.float32, device=device).abs()
    return torch.outer(row, row)[None, None] / 16


def blur(x: Tensor, kernel: Tensor | None = None) -> Tensor:
    """Smooth every channel by the binomial filter; the size stays.

    [N, C, H, W] -> [N, C, H, W].  Pixels outside the image count as zero, as in the convolutions
    next to it, so a constant image darkens along its border by 1/4 and in its corners by 7/16.
    `kernel` is a kept `binomial_kernel()`, a constant; without it one is built.  May be
    differentiated any number of times.

    Karras et al. 2019, section 2.1 and appendix C (bilinear sampling by a binomial low-pass).
    """
    if kernel is None:
        kernel = binomial_kernel(dtype=x.dtype, device=x.device)
    return tracing.run(_Blur, x, kernel.to(x.dtype))


class _Blur(torch.autograd.Function):
    """The blur as a symmetric linear map: with zero borders, its gradient is the blur itself.

    Autograd's own second derivative of a depthwise convolution loops over the channels to get a
    kernel gradient that nobody asked for, and keeps the input for it.
    """

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kernel,) = ctx.saved_tensors
        return blur(gradient, kernel), None
