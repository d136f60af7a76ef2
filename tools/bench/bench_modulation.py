"""The two forms of modulated convolution beside each other, by batch, width and size.

Forward and backward of one layer: "scaled" around one shared convolution, "grouped" with a kernel
for each image.  `mri_gan.nets.modulation.choose_form` follows what this prints.
"""

from __future__ import annotations

import click
import torch
from bench_train import time_call

from mri_gan.nets.modulation import FORMS, demodulation, modulated_conv2d
from mri_gan.train.state import prepare_device

SHAPES = ((512, 16), (512, 64), (256, 128), (128, 256))  # channels, px: configuration F


@click.command()
@click.option("--batches", default="1,2,8", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--repeats", default=3, show_default=True, help="The fastest counts.")
@click.option("--innermost/--outermost", default=True, help="Where channels lie in memory.")
def main(batches: str, device: str, repeats: int, innermost: bool) -> None:
    """Print the time of grouped over that of scaled, above 1 where scaled is faster."""
    prepare_device("fp32", device)
    for precision in (torch.float32, torch.bfloat16):
        for up in (False, True):
            for n in map(int, batches.split(",")):
                ratios = [
                    ratio(n, *shape, up, precision, device, repeats, innermost) for shape in SHAPES
                ]
                cells = [
                    f"{channels} x {px} px {value:.2f}"
                    for (channels, px), value in zip(SHAPES, ratios, strict=True)
                ]
                kind = f"{str(precision).removeprefix('torch.')}{', up' if up else ''}"
                click.echo(f"{kind:<14} batch {n}: {'  '.join(cells)}")


def ratio(
    n: int,
    channels: int,
    px: int,
    up: bool,
    precision: torch.dtype,
    device: str,
    repeats: int,
    innermost: bool,
) -> float:
    """Grouped over scaled, seconds."""
    x = torch.randn(n, channels, px, px, device=device, dtype=precision)
    kernel = torch.randn(channels, channels, 3, 3, device=device)
    if innermost:
        x = x.contiguous(memory_format=torch.channels_last)
        kernel = kernel.contiguous(memory_format=torch.channels_last)
    x, kernel = x.requires_grad_(), kernel.requires_grad_()
    style = torch.randn(n, channels, device=device).requires_grad_()

    def step(form: str) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision == torch.bfloat16):
            factor = demodulation(kernel, style)
            out = modulated_conv2d(x, kernel, style, factor, up=up, form=form)
        out.float().sum().backward()  # type: ignore[no-untyped-call]
        if device != "cpu":
            torch.cuda.synchronize()

    best = dict.fromkeys(FORMS, float("inf"))
    for _ in range(repeats + 1):  # in turn; the first warms up and seldom is the fastest
        for form in FORMS:
            best[form] = min(best[form], time_call(lambda f=form: step(f)))  # type: ignore[misc]
    return best["grouped"] / best["scaled"]


if __name__ == "__main__":
    main()
