"""What the order of axes in memory gives each architecture on this processor.

Prints whether the processor has AMX, the convolution peak of the same run in both precisions, how
many times as fast a bare convolution is with channels innermost (what a run decides by), and for
every architecture, order and precision images per second and the share of the peak.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import click
import torch
from bench_train import CPU, GIGA, machine, raise_peaks, time_call
from count_flops import FlopCount

from mri_gan.config import ARCHS, PRECISIONS, TrainConfig, defaults_of
from mri_gan.schedule import Phase
from mri_gan.train import state as state_module
from mri_gan.train.state import build_state, measure_innermost
from mri_gan.train.step import train_step

ORDERS = ("channels first", "channels innermost")


@click.command()
@click.option("--archs", default=",".join(ARCHS), show_default=True)
@click.option("--size", default=32, show_default=True, help="Pixels.")
@click.option("--batch", default=8, show_default=True, help="Images.")
@click.option("--capacity", default=1.0, show_default=True, help="1 is the paper's width.")
@click.option("--repeats", default=3, show_default=True, help="Timed steps of each variant.")
@click.option("--quick", is_flag=True, help="Narrow networks at 16 px: a smoke run.")
def main(archs: str, size: int, batch: int, capacity: float, repeats: int, quick: bool) -> None:
    """Measure training steps in both orders of axes."""
    shapes = [(256, 64), (512, 32), (512, 16)]
    if quick:
        size, capacity, repeats, shapes = 16, 1 / 16, 1, [(64, 16)]
    facts = {"machine": machine(), "amx": has_amx(), "threads": torch.get_num_threads()}
    click.echo(json.dumps(facts | {"torch": torch.__version__}))
    ratios = ", ".join(f"{p} {measure_innermost(p == 'bf16'):.2f}x" for p in PRECISIONS)
    click.echo(f"bare convolution with channels innermost: {ratios}")
    peaks = dict.fromkeys(PRECISIONS, 0.0)
    found = []
    for arch in archs.split(","):
        raise_peaks(peaks, shapes)
        for precision in PRECISIONS:
            for order in ORDERS:
                config = build_config(arch, size, capacity, precision)
                rate, work = measure(config, order == ORDERS[1], batch, repeats)
                found.append((arch, precision, order, rate, rate * work))
    raise_peaks(peaks, shapes)
    for arch, precision, order, rate, gflops in found:
        share = gflops / peaks[precision]
        click.echo(
            f"{arch:<10} {precision}  {order:<19} {rate:>8.2f} images/s  {gflops:>6.0f} GFLOP/s"
            f"  {share:>4.0%} of peak"
        )
    click.echo(f"convolution peak: fp32 {peaks['fp32']:.0f}, bf16 {peaks['bf16']:.0f} GFLOP/s")


def has_amx() -> bool:
    """Whether Linux says that the processor multiplies tiles of bfloat16."""
    info = Path("/proc/cpuinfo")
    return info.exists() and "amx_bf16" in info.read_text(encoding="utf-8")


def build_config(arch: str, size: int, capacity: float, precision: str) -> TrainConfig:
    """An architecture with its own critic, as its paper trains it."""
    defaults = defaults_of(arch, None, "own")
    chosen: dict[str, Any] = {
        "arch": arch,
        "max_size": size,
        "capacity": capacity,
        "precision": precision,
        "critic": "own",
        "share_fakes": False,
        "augment": "none",
        "path_weight": 0.0,
    }
    return TrainConfig(**{**defaults, **chosen})


def measure(config: TrainConfig, innermost: bool, batch: int, repeats: int) -> tuple[float, float]:
    """Images per second, the median over steps, and GFLOP of an image."""
    with mock.patch.object(state_module, "channels_innermost", return_value=innermost):
        state = build_state(config, CPU)
    phase = Phase(config.max_size, 1.0, batch, 1e-3)
    shape = (batch, config.channels, config.max_size, config.max_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)

    def step() -> None:
        state.nimg = 0  # every step is of one kind
        train_step(state, config, phase, images)

    with FlopCount() as counter:
        step()
    seconds = median(time_call(step) for _ in range(repeats))
    return batch / seconds, counter.total / GIGA / batch


if __name__ == "__main__":
    main()
