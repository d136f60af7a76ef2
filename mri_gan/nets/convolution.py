"""Convolution as a map of two arguments, whose derivatives of any order are such maps again.

Torch's own second derivative turns a kernel gradient into a convolution with kernels as large as
the images, at less than half of the speed, and it does not know that a strided convolution and a
transposed one are adjoints.  Here the derivative by the images is the adjoint convolution, the
derivative by the kernel is one call of the kernel gradient that ordinary training uses, and the
derivatives of both are these two again: everything that a gradient penalty needs.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mri_gan.nets import filters

STRIP_ROWS = 16  # see `_gather_kernel`
PAYS_FROM = 64 * 64 * 9  # numbers in a kernel; for fewer, our own calls cost more than they save


def lay_innermost(net: nn.Module) -> None:
    """Turn every kernel so that the channels it reads are next to each other in memory.

    The order of the kernels decides that of the images after them.  A module whose `up` is true
    leads its kernel over the image as a transposed convolution, which reads the other channels.
    """
    for module in net.modules():
        for kernel in module.parameters(recurse=False):
            if kernel.dim() == 4:
                turns = getattr(module, "up", False)
                data = kernel.data.transpose(0, 1) if turns else kernel.data
                data = data.contiguous(memory_format=torch.channels_last)
                kernel.data = data.transpose(0, 1) if turns else data


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch's operations on one thread for a while."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.lru_cache(maxsize=2)
def measure_innermost(low: bool) -> float:
    """How many times as fast a convolution is with channels innermost, on this processor.

    In bfloat16 where `low`.  A few milliseconds on one thread, in turn and by processor time, the
    best of ten each: on a busy machine threads that wait for each other would decide.  With AMX it
    was 3 to 4 times as fast, without it about as fast.
    """
    kind = torch.bfloat16 if low else torch.float32
    orders = (torch.contiguous_format, torch.channels_last)
    images = [torch.ones(4, 128, 16, 16, dtype=kind).to(memory_format=order) for order in orders]
    kernels = [torch.ones(128, 128, 3, 3, dtype=kind).to(memory_format=order) for order in orders]
    seconds = [float("inf")] * len(orders)
    with torch.inference_mode(), one_thread():
        for _ in range(10):
            for i, (x, kernel) in enumerate(zip(images, kernels, strict=True)):
                start = time.thread_time()
                F.conv2d(x, kernel, padding=1)
                seconds[i] = min(seconds[i], time.thread_time() - start)
    return seconds[0] / max(seconds[1], 1e-9)


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
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    kernel, bias = kernel.to(x.dtype), None if bias is None else bias.to(x.dtype)
    shape = Shape(stride, padding, transposed)
    if kernel.numel() < PAYS_FROM:
        return _Convolve.forward(x, kernel, bias, shape)
    return filters.run(_Convolve, x, kernel, bias, shape)


def _wanted(ctx: Any, argument: int) -> bool:
    """Whether the backward pass that runs uses the gradient by this argument.

    A penalty asks for the gradient by the images alone, while kernels could have one.  Without
    torch's help the answer is yes, which costs time and nothing else.
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
        if innermost(x) and x.device.type == "cpu":
            if shape.transposed:
                return _gather_kernel(g, x, like, shape)
            return _gather_kernel(x, g, like, shape)
        return _gradient_of_kernel(x, g, like, shape)

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


def _gradient_of_kernel(x: Tensor, g: Tensor, like: Tensor, shape: Shape) -> Tensor:
    """Torch's own kernel gradient."""
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


def _gather_kernel(x: Tensor, g: Tensor, like: Tensor, shape: Shape) -> Tensor:
    """The same of a convolution, channels innermost: x the large images, g the small ones.

    The processor's kernel gradient slows down by a third on images above 32 px, and by half with
    strides.  So taps that fall on the same pixels of a strided grid are gathered on their own,
    which takes no stride, and large images as strips of a few rows.
    """
    step, rows = shape.stride, g.shape[2]
    if step == 1 and rows <= 2 * STRIP_ROWS:
        return _gradient_of_kernel(x, g, like, shape._replace(transposed=False, extra=(0, 0)))
    if rows > 2 * STRIP_ROWS and rows % STRIP_ROWS == 0:
        rows = STRIP_ROWS
    x = F.pad(x, (shape.padding,) * 4)
    strips = _strips(g, rows, rows)
    found = torch.empty_like(like)
    for i, j in product(range(step), repeat=2):
        part = like[:, :, i::step, j::step]
        height = g.shape[2] + part.shape[2] - 1
        width = g.shape[3] + part.shape[3] - 1
        grid = x[:, :, i::step, j::step][:, :, :height, :width]
        seen = _strips(grid, rows + part.shape[2] - 1, rows)
        found[:, :, i::step, j::step] = _gradient_of_kernel(seen, strips, part, Shape())
    return found


def _strips(x: Tensor, rows: int, step: int) -> Tensor:
    """Strips of this many rows, one beginning every `step`: [N, C, H, W] -> [N * S, C, rows, W]."""
    turned = x.permute(0, 2, 3, 1).unfold(1, rows, step)  # [N, S, W, C, rows]
    strips = turned.permute(0, 1, 4, 2, 3).contiguous().flatten(0, 1)
    return strips.permute(0, 3, 1, 2)
