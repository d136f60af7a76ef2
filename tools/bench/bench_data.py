"""Share of a training step that is spent waiting for data, at every level from 8 to 1024 px.

The hardest case is the quickest step, so the networks are the narrowest that a preset or the demo
uses (capacity 1/16).  Beside it stands what the reading side alone supplies, and how many times
that is what the step takes.  The loop is that of `mri_gan.train.loop`: the clock runs from the end
of a step to the next batch in hand.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from bench_train import machine
from make_slices import write_slices

from mri_gan.config import LEVELS, TrainConfig
from mri_gan.files import StopSignal
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.run.prepare import write_store
from mri_gan.schedule import phase_at
from mri_gan.train.data import Batches
from mri_gan.train.state import build_state, to_device
from mri_gan.train.step import train_step

SUPPLY_BATCHES = 30
WARM_UP = 2  # steps before the clock counts


@dataclass
class Row:
    """One level."""

    size: int  # px
    steps: int
    step_ms: float
    wait: float  # share of the time
    longest_wait_ms: float
    supply: float  # images/s that the reading side gives alone
    demand: float  # images/s that the step takes


@click.command()
@click.option("--store", type=click.Path(path_type=Path), default=None, help="Or one is made.")
@click.option("--slices", default=512, show_default=True, help="Of a store that is made, 256 px.")
@click.option("--sizes", default=",".join(map(str, LEVELS)), show_default=True, help="Pixels.")
@click.option("--batch", default=8, show_default=True)
@click.option("--capacity", default=1 / 16, show_default=True)
@click.option("--seconds", default=8.0, show_default=True, help="At least for each size.")
@click.option("--json", "as_json", is_flag=True)
def main(
    store: Path | None,
    slices: int,
    sizes: str,
    batch: int,
    capacity: float,
    seconds: float,
    as_json: bool,
) -> None:
    """Measure the wait for data beside the training step."""
    facts = {"machine": machine(), "threads": torch.get_num_threads(), "batch": batch,
             "capacity": capacity}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        store = store or make_store(Path(folder), slices)
        rows = []
        for size in map(int, sizes.split(",")):
            config = TrainConfig(
                init_size=size, max_size=size, batch=batch, capacity=capacity, phase=10**9
            )
            rows.append(bench_level(store, config, seconds))
            if not as_json:
                click.echo(describe(rows[-1]))
    if as_json:
        click.echo(json.dumps({**facts, "rows": [dataclasses.asdict(row) for row in rows]}))
    else:
        worst = max(row.wait for row in rows)
        click.echo(f"{json.dumps(facts)}\nlongest wait: {worst:.2%} of the time")


def make_store(folder: Path, slices: int) -> Path:
    """A store of generated slices of 256 px, larger levels computed on read as by default."""
    write_slices(folder / "slices.zip", slices)
    config = PrepareConfig()
    out = folder / "store"
    out.mkdir()
    write_store(build_plan((folder / "slices.zip",), config), config, out, 0, StopSignal())
    return out


def bench_level(store: Path, config: TrainConfig, seconds: float) -> Row:
    """Train at one level for some seconds and count the wait."""
    supply = bench_supply(store, config)
    state = build_state(config, torch.device("cpu"))
    waits: list[float] = []
    start = time.perf_counter()
    with Batches(store, config, 0) as batches:
        reading = iter(batches)
        for step in itertools.count():
            if step == WARM_UP:
                start = time.perf_counter()
                waits.clear()
            if step > WARM_UP + 2 and time.perf_counter() - start > seconds:
                break
            asked = time.perf_counter()
            batch = next(reading)
            waits.append(time.perf_counter() - asked)
            train_step(state, config, batch.phase, to_device(batch.images, "cpu"))
    taken = time.perf_counter() - start
    return Row(
        size=config.max_size,
        steps=len(waits),
        step_ms=1e3 * taken / len(waits),
        wait=sum(waits) / taken,
        longest_wait_ms=1e3 * max(waits),
        supply=supply,
        demand=len(waits) * phase_at(config, 0).batch / taken,
    )


def bench_supply(store: Path, config: TrainConfig) -> float:
    """Images per second when nobody trains."""
    with Batches(store, config, 0) as batches:
        reading = iter(batches)
        next(reading)
        start = time.perf_counter()
        for _ in range(SUPPLY_BATCHES):
            next(reading)
        return SUPPLY_BATCHES * phase_at(config, 0).batch / (time.perf_counter() - start)


def describe(row: Row) -> str:
    """One line of the table."""
    return (
        f"{row.size:>4} px  step {row.step_ms:>9.1f} ms  waiting {row.wait:>7.3%}"
        f"  longest {row.longest_wait_ms:>6.2f} ms  supply {row.supply:>9.0f} images/s"
        f"  = {row.supply / row.demand:>6.0f} x demand  ({row.steps} steps)"
    )


if __name__ == "__main__":
    main()
