"""Single parts of the training step, in the form chosen and in the other one, in turn in one run.

Every line is the median over rounds of the time of the other form divided by that of the chosen
one, so above 1 the choice was right.  Forward and backward passes are both in the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

import click
import torch
import torch.nn.functional as F
from bench_train import machine, time_call
from plain_step import plain_adam
from plain_stylegan import PlainAdaIN, PlainBlur
from torch import Tensor, nn

from mri_gan.config import TrainConfig
from mri_gan.nets.convolution import (
    downsample_mean2,
    fold_downsampling,
    fold_upsampling,
    upsample_nearest2,
)
from mri_gan.nets.layers import Blur, EqualConv2d
from mri_gan.nets.stylegan import AdaIN
from mri_gan.train.state import build_optimiser

LAYERS = [(512, 512, 8), (512, 512, 16), (512, 512, 32), (256, 512, 64), (128, 256, 128)]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Part = tuple[str, Callable[[], object], Callable[[], object]]  # name, chosen, other


@click.command()
@click.option("--batch", default=8, show_default=True, help="Images.")
@click.option("--repeats", default=7, show_default=True)
@click.option("--only", default="", help="Parts whose name contains this.")
def main(batch: int, repeats: int, only: str) -> None:
    """Measure the parts and print one line for each."""
    click.echo(f"{machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, chosen, other in parts(batch):
        if only not in name:
            continue
        pairs = [(time_call(chosen), time_call(other)) for _ in range(repeats + 1)][1:]
        ratio = median(slow / fast for fast, slow in pairs)
        fast, slow = (1e3 * median(side) for side in zip(*pairs, strict=True))
        click.echo(f"{name:<58} {fast:>8.1f} ms  other {slow:>8.1f} ms  {ratio:>5.2f}x")


def parts(batch: int) -> Iterator[Part]:
    """All comparisons; tensors are made when it is their turn."""
    for dtype in DTYPES:
        for narrow, wide, px in LAYERS:
            yield doubling(batch, narrow, wide, px, dtype)
            yield halving(batch, narrow, wide, px, dtype)
    for channels, px in ((512, 32), (256, 64), (128, 128)):
        yield blurring(batch, channels, px)
        yield styling(batch, channels, px)
        for dtype in DTYPES:
            yield layout(batch, channels, px, dtype)
    yield folding()
    yield updating()


def there_and_back(net: Callable[[Tensor], Tensor], x: Tensor, dtype: str) -> Callable[[], None]:
    """A forward pass and a backward pass, in this precision, down to the input."""
    x = x.requires_grad_()

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            out = net(x)
        torch.autograd.backward(out, torch.ones_like(out))

    return run


def doubling(batch: int, narrow: int, wide: int, px: int, dtype: str) -> Part:
    """One transposed convolution, or doubling and then a convolution, ending at `px`."""
    net = EqualConv2d(wide, narrow, 3, bias=False)

    def folded(x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, fold_upsampling(net.kernel()), stride=2, padding=1)

    x = torch.randn(batch, wide, px // 2, px // 2, dtype=DTYPES[dtype])
    return (
        f"{dtype} doubling {wide}->{narrow} to {px} px: folded, other two steps",
        there_and_back(folded, x, dtype),
        there_and_back(lambda x: net(upsample_nearest2(x)), x.detach().clone(), dtype),
    )


def halving(batch: int, narrow: int, wide: int, px: int, dtype: str) -> Part:
    """One convolution of stride 2, or a convolution and then means, starting at `px`."""
    net = EqualConv2d(narrow, wide, 3, bias=False)

    def folded(x: Tensor) -> Tensor:
        return F.conv2d(x, fold_downsampling(net.kernel()), stride=2, padding=1)

    x = torch.randn(batch, narrow, px, px, dtype=DTYPES[dtype])
    return (
        f"{dtype} halving {narrow}->{wide} from {px} px: folded, other two steps",
        there_and_back(folded, x, dtype),
        there_and_back(lambda x: downsample_mean2(net(x)), x.detach().clone(), dtype),
    )


def blurring(batch: int, channels: int, px: int) -> Part:
    """The blur and its first two derivatives, as in the penalty."""

    def twice(net: nn.Module) -> Callable[[], None]:
        x = torch.randn(batch, channels, px, px).requires_grad_()

        def run() -> None:
            out = net(x).square()
            (slope,) = torch.autograd.grad(out, x, torch.ones_like(out), create_graph=True)
            torch.autograd.backward(slope, torch.ones_like(slope))

        return run

    name = f"fp32 blur {channels} at {px} px, twice differentiated: own, other autograd's"
    return name, twice(Blur()), twice(PlainBlur())


def styling(batch: int, channels: int, px: int) -> Part:
    """AdaIN by one call of batch norm, or by instance norm, scale and shift."""
    x, w = torch.randn(batch, channels, px, px), torch.randn(batch, 512)
    ours, plain = AdaIN(channels, 512), PlainAdaIN(channels, 512)
    return (
        f"fp32 AdaIN {channels} at {px} px: batch norm, other instance norm",
        there_and_back(lambda x: ours(x, w), x, "fp32"),
        there_and_back(lambda x: plain(x, w), x.clone(), "fp32"),
    )


def layout(batch: int, channels: int, px: int, dtype: str) -> Part:
    """A 3x3 convolution with rows of pixels innermost, or with channels innermost."""

    def convolve(order: torch.memory_format) -> Callable[[], None]:
        x = torch.randn(batch, channels, px, px).to(DTYPES[dtype], memory_format=order)
        kernel = torch.randn(channels, channels, 3, 3).to(DTYPES[dtype], memory_format=order)
        kernel.requires_grad_()
        return there_and_back(lambda x: F.conv2d(x, kernel, padding=1), x, "fp32")

    name = f"{dtype} 3x3 of {channels} at {px} px: contiguous, other channels_last"
    return name, convolve(torch.contiguous_format), convolve(torch.channels_last)


def folding() -> Part:
    """A 512 x 512 kernel folded by one matrix product, or by padding and adding."""

    def pad_and_add(kernel: Tensor) -> Tensor:
        padded = F.pad(kernel, (1, 1, 1, 1))
        rows = padded[..., 1:, :] + padded[..., :-1, :]
        return (rows[..., 1:] + rows[..., :-1]) / 4

    kernel = torch.randn(512, 512, 3, 3)
    return (
        "fp32 folding 512x512: matrix product, other pad and add",
        there_and_back(fold_downsampling, kernel, "fp32"),
        there_and_back(pad_and_add, kernel.clone(), "fp32"),
    )


def updating() -> Part:
    """Adam over 26 million weights, fused or one parameter at a time."""

    def adam(build: Callable[[nn.Module], torch.optim.Optimizer]) -> Callable[[], object]:
        net = nn.ParameterList(torch.randn(512, 512, 3, 3) for _ in range(11))
        for parameter in net:
            parameter.grad = torch.randn_like(parameter)
        return build(net).step

    return (
        "fp32 Adam over 26 M weights: fused, other a loop",
        adam(lambda net: build_optimiser(net, TrainConfig())),
        adam(plain_adam),
    )


if __name__ == "__main__":
    main()
