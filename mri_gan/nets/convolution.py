"""Convolution and resampling, in the precision of the caller, with derivatives of any order.

Functions with derivatives of their own: torch's second derivatives of what is here are slow.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Functions with derivatives of their own, and programs that are traced for others


def is_traced() -> bool:
    """Whether a program for others is being made of what is called now.

    Such a program is for any number of images and has no gradients.
    """
    return bool(torch.jit.is_tracing() or torch.compiler.is_compiling())  # type: ignore[attr-defined, no-untyped-call]


def apply_function(function: type[torch.autograd.Function], *arguments: object) -> Tensor:
    """The function of these arguments, its derivatives with it.

    A traced program cannot hold functions of ours: it gets what they do.
    """
    if is_traced():
        out: Tensor = function.forward(*arguments)
    else:
        out = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return out


def widen(x: Tensor) -> Tensor:
    """Half precision as float32, all else as it is; any shape."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


# Half precision where it pays: in the blocks of the largest resolutions, under autocast

LOW_PRECISION_BLOCKS = 4  # the largest resolutions
LOW_PRECISION_CLAMP = 256.0  # of activations there


def autocasting(device_type: str) -> bool:
    """Whether the caller requested half precision."""
    # What older versions of torch cannot trace is not called for the usual devices.
    known = device_type in ("cpu", "cuda") or torch.amp.is_autocast_available(device_type)
    return known and torch.is_autocast_enabled(device_type)


def block_precision(x: Tensor, *, low: bool) -> AbstractContextManager[object]:
    """Autocast as the caller set it in low-precision blocks, float32 in the others."""
    casting = autocasting(x.device.type)
    return torch.autocast(x.device.type, enabled=False) if casting and not low else nullcontext()


def enter(x: Tensor, *, low: bool) -> Tensor:
    """Features in the precision of the block that they enter; x is unchanged outside autocast."""
    return x.to(torch.get_autocast_dtype(x.device.type)) if low else widen(x)


# Doubling, halving and blurring of images, and the folding of both into 3x3 kernels


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
    return smooth(x, kernel.to(x.dtype), 1)


# Doubling, halving and smoothing by the filter [1 3 3 1], as StyleGAN2 resamples

TAPS = 4


def fir_kernel(*, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Tensor:
    """Build the kernel [1 3 3 1] x [1 3 3 1] / 64 as [1, 1, 4, 4]; its sum is 1."""
    # Counted on the device: a literal would be copied from the host and stall a GPU.
    position = torch.arange(TAPS, dtype=dtype or torch.float32, device=device)  # 0 1 2 3
    row = 1 + position * (3 - position)  # 1 3 3 1
    return torch.outer(row, row)[None, None] / 64


def smooth(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Filter every channel between zeros: height and width grow by 2 * padding + 1 - taps."""
    return apply_function(_Smooth, x, kernel, padding)


def double(x: Tensor, kernel: Tensor) -> Tensor:
    """Double height and width, keeping the mean: [N, C, H, W] -> [N, C, 2H, 2W].

    Karras et al. 2020, figure 7b ("up").
    """
    return apply_function(_Double, x, 4 * kernel)


def halve(x: Tensor, kernel: Tensor) -> Tensor:
    """Halve height and width, both even: [N, C, 2H, 2W] -> [N, C, H, W].

    Karras et al. 2020, figure 7c ("down").
    """
    return apply_function(_Halve, x, kernel)


def _depthwise(x: Tensor, kernel: Tensor) -> Tensor:
    """The kernel once for each channel of x, in its precision."""
    return kernel.to(x.dtype).expand(x.shape[1], 1, -1, -1)


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
        return smooth(gradient, kernel, kernel.shape[-1] - 1 - ctx.padding), None, None


class _ByKernel(torch.autograd.Function):
    """A linear map whose backward pass needs the kernel alone."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])


class _Halve(_ByKernel):
    """Stride 2 and padding 1."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(x, _depthwise(x, kernel), stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kernel,) = ctx.saved_tensors
        return _Double.apply(gradient, kernel), None  # type: ignore[no-untyped-call]


class _Double(_ByKernel):
    """The adjoint of `_Halve`."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16 and x.device.type == "cpu":  # ten times as slow there
            return _Double.forward(x.float(), kernel).to(x.dtype)
        kernels = _depthwise(x, kernel).contiguous()
        return F.conv_transpose2d(x, kernels, stride=2, padding=1, groups=x.shape[1])

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


# Convolution as a map of two arguments, whose derivatives of any order are such maps again
#
# Torch's own second derivative turns a kernel gradient into a convolution with kernels as large as
# the images, at less than half of the speed, and it does not know that a strided convolution and a
# transposed one are adjoints.  Here the derivative by the images is the adjoint convolution, the
# derivative by the kernel is one call of the kernel gradient that ordinary training uses, and the
# derivatives of both are these two again: everything that a gradient penalty needs.

PAYS_FROM = 64 * 64 * 9  # numbers in a kernel; for fewer, our own calls cost more than they save


def innermost(x: Tensor) -> bool:
    """Whether the channels of images or kernels are next to each other in memory."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class Shape(NamedTuple):
    """How a kernel is led over an image."""

    stride: int = 1
    padding: int = 0
    transposed: bool = False
    extra: tuple[int, int] = (0, 0)  # rows and columns that a transposed convolution adds

    def adjoint(self, x: Tensor, out: Tensor, kernel: Tensor) -> Shape:
        """The way back, from images like `out` to images like `x`."""
        if self.transposed:
            return self._replace(transposed=False, extra=(0, 0))
        least = [
            (out.shape[i] - 1) * self.stride - 2 * self.padding + kernel.shape[i] for i in (2, 3)
        ]
        return self._replace(transposed=True, extra=(x.shape[2] - least[0], x.shape[3] - least[1]))


def convolve(
    x: Tensor,  # [N, C, H, W]
    kernel: Tensor,  # [D, C, k, k], or transposed [C, D, k, k]; cast to the precision of x
    bias: Tensor | None = None,  # [D]
    *,
    stride: int = 1,
    padding: int = 0,
    transposed: bool = False,
) -> Tensor:
    """`conv2d`, or `conv_transpose2d`: -> [N, D, H', W'].

    May be differentiated any number of times.  Under autocast all is cast to its precision.
    """
    device = x.device.type
    if autocasting(device):
        x = x.to(torch.get_autocast_dtype(device))
    kernel, bias = kernel.to(x.dtype), None if bias is None else bias.to(x.dtype)
    shape = Shape(stride, padding, transposed)
    if kernel.numel() < PAYS_FROM:
        return _Convolve.forward(x, kernel, bias, shape)
    return apply_function(_Convolve, x, kernel, bias, shape)


def _wanted(ctx: Any, argument: int) -> bool:
    """Whether the backward pass that runs uses the gradient by this argument.

    A penalty needs the gradient by the images alone, while kernels could have one.  Where torch
    does not say, it is yes, which costs time and nothing else.
    """
    if not ctx.needs_input_grad[argument]:
        return False
    ask = getattr(torch._C, "_will_engine_execute_node", None)
    node = ctx.next_functions[argument][0]
    if ask is None or node is None:
        return True
    try:
        return bool(ask(node))
    except RuntimeError:  # a leaf requested by name
        return True


class _Convolve(torch.autograd.Function):
    """Images by kernel."""

    @staticmethod
    def forward(x: Tensor, kernel: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
        stride, padding = (shape.stride,) * 2, (shape.padding,) * 2
        return torch.convolution(
            x, kernel, bias, stride, padding, (1, 1), shape.transposed, shape.extra, 1
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.shape = inputs[3]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, kernel = ctx.saved_tensors
        shape: Shape = ctx.shape
        by_x = by_kernel = by_bias = None
        if _wanted(ctx, 0):
            by_x = _Convolve.apply(g, kernel, None, shape.adjoint(x, g, kernel))  # type: ignore[no-untyped-call]
        if _wanted(ctx, 1):
            by_kernel = _KernelGradient.apply(x, g, kernel.detach(), shape)  # type: ignore[no-untyped-call]
        if _wanted(ctx, 2):
            by_bias = g.sum(dim=(0, 2, 3))
        return by_x, by_kernel, by_bias, None


class _KernelGradient(torch.autograd.Function):
    """Images by gradients of images, at every offset of the kernel: the size of the kernel."""

    @staticmethod
    def forward(x: Tensor, g: Tensor, like: Tensor, shape: Shape) -> Tensor:
        stride, padding = (shape.stride,) * 2, (shape.padding,) * 2
        _, found, _ = torch.ops.aten.convolution_backward(
            g,
            x,
            like,
            None,
            stride,
            padding,
            (1, 1),
            shape.transposed,
            shape.extra,
            1,
            (False, True, False),
        )
        return torch.as_tensor(found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.shape = inputs[3]

    @staticmethod
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, g = ctx.saved_tensors
        shape: Shape = ctx.shape
        by_x = by_g = None
        if _wanted(ctx, 0):
            by_x = _Convolve.apply(g, change, None, shape.adjoint(x, g, change))  # type: ignore[no-untyped-call]
        if _wanted(ctx, 1):
            by_g = _Convolve.apply(x, change, None, shape)  # type: ignore[no-untyped-call]
        return by_x, by_g, None, None
