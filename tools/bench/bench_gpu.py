"""Seconds per thousand images, memory and share of the matrix peak on one GPU, 32 to 1024 px.

The variants are those of bench_train: plain float32, ours in float32 and ours in bfloat16, with
the batch sizes of `--sched` or as given.  The peak is the fastest matrix product of this GPU in
the same precision and run; work is counted as in bench_train.  `prepare_device` sets the GPU up
as a run does: float32 is float32, TF32 only beside bfloat16.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import click
import find_reference  # noqa: F401 - where the next one is found
import torch
from bench_train import GIGA, PLAIN, Step, build_steps
from count_flops import FlopCount

from mri_gan.config import PRECISIONS
from mri_gan.schedule import SCHED_BATCH
from mri_gan.train.state import prepare_device

WARM_UP = 3
MATRIX = 8192
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class Row:
    """One variant at one size."""

    size: int  # px
    batch: int
    variant: str
    s_per_kimg: float
    memory_gib: float  # the most that tensors took
    gflops_done: float  # per second
    share: float  # of the matrix peak in this precision
    ratio: float  # to plain float32


@click.command()
@click.option("--sizes", default="32,64,128,256,512,1024", show_default=True, help="Pixels.")
@click.option("--batch", default=0, help="Images  [default: as --sched has them].")
@click.option("--capacity", default=1.0, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="At least for each variant.")
@click.option("--json", "as_json", is_flag=True)
def main(sizes: str, batch: int, capacity: float, seconds: float, as_json: bool) -> None:
    """Measure training steps on a GPU; says so and stops where there is none."""
    if not torch.cuda.is_available():
        click.echo("no GPU here: nothing was measured", err=True)
        sys.exit(1)
    device = torch.device("cuda")
    peaks = {name: matrix_peak(name, device) for name in PRECISIONS}
    rows: list[Row] = []
    for size in map(int, sizes.split(",")):
        rows += bench_size(size, batch or SCHED_BATCH[size], capacity, seconds, peaks, device)
        if not as_json:
            click.echo("\n".join(describe(row) for row in rows[-3:]))
    facts: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "peak_gflops": peaks,
    }
    if as_json:
        facts |= {"rows": [dataclasses.asdict(row) for row in rows]}
    click.echo(json.dumps(facts))


def bench_size(
    size: int,
    batch: int,
    capacity: float,
    seconds: float,
    peaks: dict[str, float],
    device: torch.device,
) -> list[Row]:
    """The three variants at one size, one after the other."""
    rows: list[Row] = []
    for name, step in build_steps(size, capacity, device).items():
        precision = name.split()[-1]
        prepare_device(precision, str(device))
        torch.cuda.reset_peak_memory_stats(device)
        with FlopCount() as counter:
            step(batch)
        taken = time_step(step, batch, seconds)
        rate = counter.total / taken / GIGA
        plain = next((row.s_per_kimg for row in rows if row.variant == PLAIN), None)
        per_kimg = 1000 * taken / batch
        memory = torch.cuda.max_memory_allocated(device) / 2**30
        ratio = plain / per_kimg if plain else 1.0
        rows.append(Row(size, batch, name, per_kimg, memory, rate, rate / peaks[precision], ratio))
    return rows


def time_step(step: Step, batch: int, seconds: float) -> float:
    """Seconds of one step, the mean over at least so many seconds."""
    for _ in range(WARM_UP):
        step(batch)
    torch.cuda.synchronize()
    start, count = time.perf_counter(), 0
    while count < 3 or time.perf_counter() - start < seconds:
        step(batch)
        torch.cuda.synchronize()
        count += 1
    return (time.perf_counter() - start) / count


def matrix_peak(precision: str, device: torch.device) -> float:
    """GFLOP/s of a large matrix product, the best of ten."""
    prepare_device(precision, str(device))
    a = torch.randn(MATRIX, MATRIX, device=device, dtype=TYPES[precision])
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * MATRIX**3 / best / GIGA


def describe(row: Row) -> str:
    """One line of the table."""
    return (
        f"{row.size:>4} px  batch {row.batch:>3}  {row.variant:<10} {row.s_per_kimg:>8.2f} s/kimg"
        f"  {row.ratio:>5.2f}x plain  {row.memory_gib:>6.1f} GiB"
        f"  {row.gflops_done / 1000:>6.1f} TFLOP/s  {row.share:>4.0%} of peak"
    )


if __name__ == "__main__":
    main()
