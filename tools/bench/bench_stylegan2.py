"""Images per second of StyleGAN2's training beside the same networks written plainly.

Three kinds of steps are timed in turn in one run: bare, with R1 and with the path length.  Sixteen
steps of training hold one R1 and four path lengths (Karras et al. 2020, appendix B), and the rates
are of that mixture.  Work is counted, not estimated; shares are of the fastest 3x3 convolution
that the machine manages in the same run and precision.  The first step of each kind counts the
work and is not timed.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import click
import find_reference  # noqa: F401 - where the next one is found
import torch
from bench_train import CPU, GIGA, machine, raise_peaks, time_call
from count_flops import FlopCount
from plain_stylegan2_step import build_plain_state2, plain_step2

from mri_gan.config import TrainConfig, defaults_of
from mri_gan.schedule import Phase
from mri_gan.train.state import build_state
from mri_gan.train.step import train_step

Step = Callable[[bool, bool], object]  # with R1, with path length
KINDS = ((False, False), (True, False), (False, True))
PLAIN = "plain fp32"


@click.command()
@click.option("--sizes", default="32,64", show_default=True, help="Pixels.")
@click.option("--batch", default=8, show_default=True, help="Images.")
@click.option("--capacity", default=1.0, show_default=True, help="1 is configuration F.")
@click.option(
    "--repeats", default=2, show_default=True, help="Timed steps of each kind and variant."
)
@click.option("--plain/--no-plain", "with_plain", default=True, help="Measure the plain step, too.")
@click.option("--quick", is_flag=True, help="Narrow networks at 16 px: a smoke run.")
def main(
    sizes: str,
    batch: int,
    capacity: float,
    repeats: int,
    with_plain: bool,
    quick: bool,
) -> None:
    """Measure training steps of StyleGAN2; ratios are of medians measured in turn."""
    if quick:
        sizes, capacity = "16", 1 / 16
    facts = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    click.echo(json.dumps(facts))
    peaks = {"fp32": 0.0, "bf16": 0.0}
    for size in map(int, sizes.split(",")):
        raise_peaks(peaks)
        rows = bench_size(size, batch, capacity, repeats, with_plain)
        raise_peaks(peaks)
        for name, (rate, work, cpu) in rows.items():
            share = rate * work / peaks[name.split()[-1]]
            beside = ""
            if with_plain:
                slower, cpu_of_plain = rows[PLAIN][0], rows[PLAIN][2]
                beside = f"  {rate / slower:>5.2f}x plain"
                beside += f" ({cpu_of_plain / cpu:.2f}x in processor time)"
            click.echo(
                f"{size:>4} px  batch {batch}  {name:<10} {rate:>8.3f} images/s{beside}"
                f"  {work:>7.1f} GFLOP/image  {rate * work:>5.0f} GFLOP/s  {share:>4.0%} of peak"
            )
    click.echo(f"convolution peak: fp32 {peaks['fp32']:.0f}, bf16 {peaks['bf16']:.0f} GFLOP/s")


def bench_size(
    size: int, batch: int, capacity: float, repeats: int, with_plain: bool
) -> dict[str, tuple[float, float, float]]:
    """Images per second, GFLOP and processor seconds per image, over the mixture of steps."""
    steps = build_steps(size, batch, capacity)
    if not with_plain:
        del steps[PLAIN]
    seconds: dict[tuple[str, int], list[float]] = {}
    cpu: dict[tuple[str, int], list[float]] = {}
    work: dict[tuple[str, int], float] = {}
    for _ in range(repeats + 1):
        for kind, (r1, path) in enumerate(KINDS):
            for name, step in steps.items():
                key = (name, kind)
                if key not in work:  # counting costs time, and memory is fetched for the first time
                    with FlopCount() as counter:
                        step(r1, path)
                    work[key] = counter.total / GIGA
                    continue
                start = time.process_time()
                taken = time_call(lambda s=step, r=r1, p=path: s(r, p))  # type: ignore[misc]
                seconds.setdefault(key, []).append(taken)
                cpu.setdefault(key, []).append(time.process_time() - start)
    typical = {key: median(values) for key, values in seconds.items()}
    spent = {key: median(values) for key, values in cpu.items()}
    return {
        name: (
            batch / mixture(typical, name),
            mixture(work, name) / batch,
            mixture(spent, name) / batch,
        )
        for name in steps
    }


def mixture(of_kinds: dict[tuple[str, int], float], name: str) -> float:
    """The mean over sixteen steps: all bare, one with R1, four with the path length."""
    bare, r1, path = (of_kinds[name, kind] for kind in range(3))
    return bare + (r1 - bare) / 16 + (path - bare) / 4


def build_steps(size: int, batch: int, capacity: float) -> dict[str, Step]:
    """The plain step, and ours in both precisions."""
    choices: dict[str, Any] = {**defaults_of("stylegan2"), "batch": batch, "penalty_every": 2}
    config = TrainConfig(arch="stylegan2", max_size=size, capacity=capacity, **choices)
    plain = build_plain_state2(config)
    real = torch.rand(batch, 1, size, size) * 2 - 1
    images = torch.randint(0, 256, (batch, 1, size, size), dtype=torch.uint8)
    phase = Phase(size, 1.0, batch, choices["lr"])

    def ours(precision: str) -> Step:
        own = dataclasses.replace(config, precision=precision)
        state = build_state(own, CPU)

        def step(r1: bool, path: bool) -> object:
            state.nimg = 0 if r1 else batch  # of two steps, the first pays for R1
            weight = 2.0 if path else 0.0
            chosen = dataclasses.replace(own, path_weight=weight, path_every=1)
            return train_step(state, chosen, phase, images)

        return step

    return {
        PLAIN: lambda r1, path: plain_step2(plain, real, r1=r1, path=path),
        "ours fp32": ours("fp32"),
        "ours bf16": ours("bf16"),
    }


if __name__ == "__main__":
    main()
