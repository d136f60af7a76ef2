"""Images per second of a training step beside the same network, loss and batch written plainly.

One run holds three variants of each size, measured in turn: plain float32, ours in float32 (the
same mathematics) and ours in bfloat16.  A ratio is the median over rounds of two steps measured
one after the other, so that a machine that others use as well disturbs it little; it is given in
processor time too, which others disturb still less.  Work is counted, not estimated: FLOP of the
convolutions and dense layers of one step, two for a multiply-add.  The rates charge every variant
with the plain network's work; "done" is what a variant really computes.  Shares are of the fastest
3x3 convolution that this machine manages in the same run and precision.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import find_reference  # noqa: F401 - where the next one is found
import torch
import torch.nn.functional as F
from count_flops import FlopCount
from plain_step import build_plain_state, plain_train_step

from mri_gan.config import TrainConfig
from mri_gan.schedule import Phase
from mri_gan.train.state import build_state, prepare_device
from mri_gan.train.step import train_step

CPU = torch.device("cpu")
PEAK_SHAPES = [(256, 64), (512, 32), (512, 16)]  # channels, px
PEAK_BATCH = 8
GIGA = 1e9
PLAIN = "plain fp32"

Step = Callable[[int], object]  # runs one training step on a batch of so many images


@dataclass
class Row:
    """One variant at one size."""

    size: int  # px
    batch: int  # images
    variant: str
    images_per_s: float
    ratio: float  # to plain float32, the median of the rounds
    cpu_ratio: float  # the same in processor time
    gflops: float  # per second, charged with the plain network's work
    gflops_done: float  # per second, of the work that the variant does
    gflop_per_image: float  # that work

    def share(self, peaks: dict[str, float]) -> float:
        """The work done as a share of the convolution peak in this precision."""
        return self.gflops_done / peaks[self.variant.split()[-1]]


@click.command()
@click.option("--sizes", default="32,64,128", show_default=True, help="Pixels.")
@click.option("--batch", default=8, show_default=True, help="Images.")
@click.option("--capacity", default=1.0, show_default=True, help="1 is the paper's width.")
@click.option("--repeats", default=3, show_default=True, help="Steps of each variant and size.")
@click.option("--quick", is_flag=True, help="Narrow networks at 8 and 16 px: a smoke run.")
@click.option("--json", "as_json", is_flag=True)
def main(sizes: str, batch: int, capacity: float, repeats: int, quick: bool, as_json: bool) -> None:
    """Measure training steps; every ratio is of medians measured in turn in this run."""
    shapes = PEAK_SHAPES
    if quick:
        sizes, capacity, shapes = "8,16", 1 / 16, [(64, 16)]
    facts = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if not as_json:
        click.echo(json.dumps(facts))
    prepare_device("fp32", "cpu")  # for all of them
    rows: list[Row] = []
    peaks = {"fp32": 0.0, "bf16": 0.0}
    for size in map(int, sizes.split(",")):
        raise_peaks(peaks, shapes)
        rows += bench_size(size, batch, capacity, repeats)
        raise_peaks(peaks, shapes)
        if not as_json:  # as they come: the whole run takes ten minutes
            click.echo("\n".join(describe(row, peaks) for row in rows[-3:]))
    if as_json:
        listed = [dataclasses.asdict(row) | {"share": row.share(peaks)} for row in rows]
        click.echo(json.dumps({**facts, "peak_gflops": peaks, "rows": listed}, indent=2))
    else:
        click.echo(f"convolution peak: fp32 {peaks['fp32']:.0f}, bf16 {peaks['bf16']:.0f} GFLOP/s")


def machine() -> str:
    """The processor's name, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


def bench_size(size: int, batch: int, capacity: float, repeats: int) -> list[Row]:
    """Time the three variants in turn, `repeats` times."""
    steps = build_steps(size, capacity)
    work: dict[str, float] = {}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            # The first round counts as well, which is cheap beside convolutions, and warms up.
            with nullcontext() if name in work else FlopCount() as counter:
                start = time.process_time()
                seconds[name].append(time_call(lambda step=step: step(batch)))  # type: ignore[misc]
                cpu[name].append(time.process_time() - start)
            if counter is not None:
                work[name] = counter.total / GIGA / batch
    return [summarise(name, size, batch, seconds, cpu, work) for name in steps]


def summarise(
    name: str,
    size: int,
    batch: int,
    seconds: dict[str, list[float]],
    cpu: dict[str, list[float]],
    work: dict[str, float],
) -> Row:
    """The medians of one variant."""
    typical = median(seconds[name])
    return Row(
        size=size,
        batch=batch,
        variant=name,
        images_per_s=batch / typical,
        ratio=median_ratio(seconds[PLAIN], seconds[name]),
        cpu_ratio=median_ratio(cpu[PLAIN], cpu[name]),
        gflops=work[PLAIN] * batch / typical,
        gflops_done=work[name] * batch / typical,
        gflop_per_image=work[name],
    )


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """The median over rounds of one variant's time divided by another's."""
    return median(a / b for a, b in zip(slow, fast, strict=True))


def build_steps(size: int, capacity: float, device: torch.device = CPU) -> dict[str, Step]:
    """The variants, each with its own weights, equal at the start."""
    config = TrainConfig(max_size=size, capacity=capacity)
    low = dataclasses.replace(config, precision="bf16")
    ours, rough = build_state(config, device), build_state(low, device)
    plain = build_plain_state(config, ours)

    def inputs(batch: int) -> tuple[Phase, torch.Tensor]:
        images = torch.randint(0, 256, (batch, 1, size, size), dtype=torch.uint8, device=device)
        return Phase(size, 1.0, batch, 1e-3), images

    return {
        PLAIN: lambda batch: plain_train_step(plain, config, *inputs(batch)),
        "ours fp32": lambda batch: train_step(ours, config, *inputs(batch)),
        "ours bf16": lambda batch: train_step(rough, low, *inputs(batch)),
    }


def raise_peaks(peaks: dict[str, float], shapes: list[tuple[int, int]] = PEAK_SHAPES) -> None:
    """Measure GFLOP/s of 3x3 convolutions, all shapes in two layouts; keep the best so far."""
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        for channels, px in shapes:
            for layout in (torch.contiguous_format, torch.channels_last):
                peaks[name] = max(peaks[name], convolution_rate(channels, px, dtype, layout))


def convolution_rate(
    channels: int, px: int, dtype: torch.dtype, layout: torch.memory_format
) -> float:
    """GFLOP/s of one convolution, the best of five runs."""
    x = torch.randn(PEAK_BATCH, channels, px, px).to(dtype=dtype, memory_format=layout)
    kernel = torch.randn(channels, channels, 3, 3).to(dtype=dtype, memory_format=layout)
    with torch.inference_mode():
        fastest = min(time_call(lambda: F.conv2d(x, kernel, padding=1)) for _ in range(5))
    return 2 * 9 * channels**2 * px**2 * PEAK_BATCH / fastest / GIGA


def time_call(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def describe(row: Row, peaks: dict[str, float]) -> str:
    """One line of the table."""
    return (
        f"{row.size:>4} px  batch {row.batch}  {row.variant:<10} {row.images_per_s:>8.3f} images/s"
        f"  {row.ratio:>5.2f}x plain ({row.cpu_ratio:.2f}x in processor time)"
        f"  {row.gflops:>5.0f} GFLOP/s of plain work"
        f"  {row.gflops_done:>5.0f} done ({row.gflop_per_image:.1f} GFLOP/image)"
        f"  {row.share(peaks):>4.0%} of peak"
    )


if __name__ == "__main__":
    main()
