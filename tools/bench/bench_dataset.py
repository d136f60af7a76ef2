"""Images per second of `SliceDataset` in a DataLoader, beside the bare reader and an ImageFolder.

One run measures all, on the same slices and in batches of 64: the bare reader; the same PNGs as
torchvision's ImageFolder with Grayscale and ToTensor reads them; a DataLoader that puts batches
together from items; and `data.loader()`, as float32 and as integers. Workers are started by fork,
spawn and forkserver. For each: seconds to the first batch (workers start), images per second after
it, microseconds of processor time for an image (all processes), and how often as fast as the
PNGs with the same number of workers, by the clock and by processor time. On a busy machine only
the latter says much.

Example: python tools/bench/bench_dataset.py --level 64 --level 256
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import mri_gan as mg
from mri_gan.store.reader import StoreReader

BATCH = 64
METHODS = ("fork", "spawn", "forkserver")
KINDS = ("PNGs", "items", "float32", "integers")
TICKS = os.sysconf("SC_CLK_TCK")


class PictureFolder(Dataset[Tensor]):
    """PNG files as torchvision's ImageFolder, Grayscale and ToTensor read them: float32 in 0..1."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.rglob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with self.paths[index].open("rb") as stream:
            picture = Image.open(stream).convert("RGB").convert("L")
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))[None]
        return pixels.contiguous().to(torch.float32).div(255)


@dataclass(frozen=True)
class Speed:
    """What one way of loading takes."""

    start_s: float  # to the first batch
    rate: float  # images/s of the fastest later epoch
    cpu_us: float  # processor time for an image of later epochs, all processes


def make_pictures(folder: Path, count: int, size: int) -> None:
    """Smooth noisy pictures: about as many bytes as slices of heads have."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    for number in range(count):
        head = np.clip(1.2 - rows**2 * rng.uniform(1, 2) - columns**2, 0, 1)
        picture = 160 * head + rng.normal(0, 6, (size, size)) * (head > 0)
        path = folder / f"sub{number // 40:03d}" / f"slice_{number % 40:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)


def processor_time() -> float:
    """Seconds that this process and its workers have computed."""
    fields = [
        Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        for child in multiprocessing.active_children()
    ]
    return time.process_time() + sum(int(f[11]) + int(f[12]) for f in fields) / TICKS


def measure(batches: Iterable[Any], seconds: float) -> Speed:
    """The first epoch starts the workers; later ones are repeated for some processor seconds."""
    start = time.perf_counter()
    epoch = iter(batches)
    next(epoch)
    start_s = time.perf_counter() - start
    for _ in epoch:
        pass
    best, seen, began = 0.0, 0, processor_time()
    while processor_time() - began < seconds:
        start = time.perf_counter()
        count = sum(len(batch) for batch in batches)
        best, seen = max(best, count / (time.perf_counter() - start)), seen + count
    return Speed(start_s, best, (processor_time() - began) / seen * 1e6)


class BareReads:
    """Batches of `StoreReader.read` alone: integers, no tensors."""

    def __init__(self, store: StoreReader, level: int) -> None:
        self.store, self.level, self.indices = store, level, store.indices()

    def __iter__(self) -> Any:
        for start in range(0, len(self.indices), BATCH):
            yield self.store.read(self.level, self.indices[start : start + BATCH])


def batches_of(kind: str, folder: Path, level: int, workers: int, method: str | None) -> Any:
    """A DataLoader with workers that persist."""
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    options["multiprocessing_context"] = method
    if kind == "PNGs":
        return DataLoader(PictureFolder(folder / "in"), BATCH, **options)
    scale: Literal["raw", "signed"] = "raw" if kind == "integers" else "signed"
    data = mg.SliceDataset(folder / "store", None, level, scale=scale)
    return DataLoader(data, BATCH, **options) if kind == "items" else data.loader(BATCH, **options)


def compare(folder: Path, level: int, workers: Sequence[int], seconds: float) -> None:
    """Print a table of one level."""
    with mg.open_store(folder / "store") as store:
        bare = measure(BareReads(store, level), seconds)
    click.echo(f"  {'bare reader':28} {'':7} {bare.rate:>9,.0f}/s {bare.cpu_us:>7.1f} us")
    pngs: dict[int, Speed] = {}
    for kind in KINDS:
        for number, method in cases(workers, KINDS.index(kind) < 2):
            speed = measure(batches_of(kind, folder, level, number, method), seconds)
            beside = pngs.setdefault(number, speed)
            click.echo(
                f"  {kind:8} {number} workers {method or '':10} {speed.start_s:>5.2f} s "
                f"{speed.rate:>9,.0f}/s {speed.cpu_us:>7.1f} us   {speed.rate / beside.rate:>6.1f}x"
                f" {beside.cpu_us / speed.cpu_us:>6.1f}x"
            )


def cases(workers: Sequence[int], fork_only: bool) -> list[tuple[int, str | None]]:
    """(workers, start method); the method matters only where there are some."""
    methods = METHODS[:1] if fork_only else METHODS
    return [(number, method) for number in workers for method in (methods if number else (None,))]


@click.command()
@click.option("--level", "levels", multiple=True, type=int, default=(64, 256), show_default=True)
@click.option("--count", default=2000, show_default=True, help="Pictures.")
@click.option("--workers", multiple=True, type=int, default=(0, 2, 4), show_default=True)
@click.option("--seconds", default=1.0, show_default=True, help="Processor time for each figure.")
def main(levels: Sequence[int], count: int, workers: Sequence[int], seconds: float) -> None:
    """Measure and print a table for each level."""
    torch.set_num_threads(1)
    for level in levels:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_pictures(folder / "in", count, level)
            mg.prepare(folder / "in", folder / "store", workers=0)
            click.echo(f"{level} px, {count} slices, batches of {BATCH}: first batch, images/s,")
            click.echo("processor time; times the PNGs by the clock, by processor time")
            compare(folder, level, workers, seconds)


if __name__ == "__main__":
    main()
