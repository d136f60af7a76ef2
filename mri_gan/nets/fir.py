"""Doubling, halving and smoothing by the filter [1 3 3 1], as StyleGAN2 resamples.

Zeros are never inserted: halving computes only the pixels that stay (a depthwise convolution of
stride 2), doubling only the four taps that meet a pixel (its adjoint).  All three are linear maps
of one another, and are told so to autograd: any derivative of any order is again one of them,
where torch's own second derivative of a depthwise convolution loops over the channels.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B (filters
after Zhang 2019).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets import tracing

TAPS = 4


def fir_kernel(*, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Tensor:
    """Build the kernel [1 3 3 1] x [1 3 3 1] / 64 as [1, 1, 4, 4]; its sum is 1."""
    # Counted on the device: a literal would be copied from the host and stall a GPU.
    position = torch.arange(TAPS, dtype=dtype or torch.float32, device=device)  # 0 1 2 3
    row = 1 + position * (3 - position)  # 1 3 3 1
    return torch.outer(row, row)[None, None] / 64


def smooth(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Filter every channel between zeros: [N, C, H, W] -> [N, C, H + 2 * padding - 3, ..]."""
    return tracing.run(_Smooth, x, kernel, padding)


def double(x: Tensor, kernel: Tensor) -> Tensor:
    """Double height and width, keeping the mean: [N, C, H, W] -> [N, C, 2H, 2W].

    Karras et al. 2020, figure 7b ("up").
    """
    return tracing.run(_Double, x, 4 * kernel)


def halve(x: Tensor, kernel: Tensor) -> Tensor:
    """Halve height and width, both even: [N, C, 2H, 2W] -> [N, C, H, W].

    Karras et al. 2020, figure 7c ("down").
    """
    return tracing.run(_Halve, x, kernel)


def _depthwise(x: Tensor, kernel: Tensor) -> Tensor:
    """The kernel once for each channel of x, in its precision."""
    return kernel.to(x.dtype).expand(x.shape[1], 1, TAPS, TAPS)


class _Smooth(torch.autograd.Function):
    """Stride 1; the kernel is symmetric, so the adjoint is the same with the other padding."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
        return F.conv2d(x, _depthwise(x, kernel), padding=padding, groups=x.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.padding = inputs[2]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (kernel,) = ctx.saved_tensors
        return smooth(gradient, kernel, TAPS - 1 - ctx.padding), None, None


class _Halve(torch.autograd.Function):
    """Stride 2 and padding 1."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(x, _depthwise(x, kernel), stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kernel,) = ctx.saved_tensors
        return _Double.apply(gradient, kernel), None  # type: ignore[no-untyped-call]


class _Double(torch.autograd.Function):
    """The adjoint of `_Halve`."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16 and x.device.type == "cpu":  # ten times as slow there
            return _Double.forward(x.float(), kernel).to(x.dtype)
        kernels = _depthwise(x, kernel).contiguous()
        return F.conv_transpose2d(x, kernels, stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kernel,) = ctx.saved_tensors
        return _Halve.apply(gradient, kernel), None  # type: ignore[no-untyped-call]


class FirKernel(nn.Module):
    """The kernel, kept on the device and not in checkpoints."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(), persistent=False)


class Double(FirKernel):
    """`double` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return double(x, self.kernel)


class Halve(FirKernel):
    """`halve` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return halve(x, self.kernel)


class Smooth(FirKernel):
    """`smooth` as a layer with its padding and a gain."""

    def __init__(self, padding: int, gain: float = 1.0) -> None:
        super().__init__()
        self.padding, self.gain = padding, gain

    def forward(self, x: Tensor) -> Tensor:
        return smooth(x, self.gain * self.kernel, self.padding)
