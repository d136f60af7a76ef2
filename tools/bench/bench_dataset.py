"""Images per second of `SliceDataset` in a DataLoader, beside the bare reader and a folder of PNGs.

One run measures all, on the same slices: the bare reader, `SliceDataset` with 0, 2 and 4 workers
started by fork, spawn and forkserver (workers are started before the clock), with batches put
together from items (`DataLoader(data)`) and read whole (`data.loader()`), and the same PNGs as
torchvision's ImageFolder reads them (open, convert to grey, to a float tensor).

Example: python tools/bench/bench_dataset.py --level 64 --level 256
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import mri_gan as mg

BATCH = 64
METHODS = ("fork", "spawn", "forkserver")


class PictureFolder(Dataset[Tensor]):
    """PNG files as torchvision's ImageFolder with ToTensor reads grey ones: float32 in 0..1."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.rglob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with self.paths[index].open("rb") as stream:
            picture = Image.open(stream).convert("L")
        pixels = torch.from_numpy(np.array(picture, np.uint8))[None]
        return pixels.to(torch.float32).div(255)


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


def rate(batches: Callable[[], Any], count: int, repeats: int) -> float:
    """Images per second of the fastest of some passes."""
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        seen = sum(len(batch) for batch in batches())
        assert seen == count
        best = max(best, count / (time.perf_counter() - start))
    return best


def loader_rate(
    data: Dataset[Any], workers: int, method: str | None, repeats: int, *, whole: bool
) -> float:
    """Images per second of whole epochs; workers persist, and start before the clock does.

    Batches are read `whole` by SliceDataset's own loader, or put together from items.
    """
    options: dict[str, Any] = {
        "num_workers": workers,
        "multiprocessing_context": method,
        "persistent_workers": workers > 0,
    }
    if whole and isinstance(data, mg.SliceDataset):
        loader = data.loader(BATCH, **options)
    else:
        loader = DataLoader(data, BATCH, **options)
    for _ in loader:
        pass
    count = len(data)  # type: ignore[arg-type]
    return rate(lambda: loader, count, repeats)


def reader_rate(store: Path, level: int, repeats: int) -> float:
    """Images per second of `StoreReader.read` alone: integers, no tensors."""
    with mg.open_store(store) as opened:
        indices = opened.indices()
        every = [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]
        return rate(lambda: (opened.read(level, part) for part in every), len(opened), repeats)


@click.command()
@click.option("--level", "levels", multiple=True, type=int, default=(64, 256), show_default=True)
@click.option("--count", default=4000, show_default=True, help="Pictures.")
@click.option("--workers", multiple=True, type=int, default=(0, 2, 4), show_default=True)
@click.option("--repeats", default=3, show_default=True)
def main(levels: Sequence[int], count: int, workers: Sequence[int], repeats: int) -> None:
    """Measure and print a table for each level."""
    torch.set_num_threads(1)
    for level in levels:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_pictures(folder / "in", count, level)
            mg.prepare(folder / "in", folder / "store", workers=0)
            click.echo(f"{level} px, {count} slices, batches of {BATCH}; images/s")
            bare = reader_rate(folder / "store", level, repeats)
            click.echo(f"  {'bare reader':27} {bare:>12,.0f}")
            for scale, whole in (("signed", False), ("signed", True), ("raw", True)):
                data = mg.SliceDataset(folder / "store", None, level, scale=scale)
                kind = f"{scale} {'whole' if whole else 'items'}"
                for number, method in cases(workers):
                    speed = loader_rate(data, number, method, repeats, whole=whole)
                    click.echo(f"  {kind:12} {number} {method or '':12} {speed:>12,.0f}")
            for number in workers:
                pictures = PictureFolder(folder / "in")
                speed = loader_rate(
                    pictures, number, "fork" if number else None, repeats, whole=False
                )
                kind = f"{number} {'fork' if number else ''}"
                click.echo(f"  PNGs         {kind:14} {speed:>12,.0f}")


def cases(workers: Sequence[int]) -> list[tuple[int, str | None]]:
    """(workers, start method); the method matters only where there are some."""
    return [(number, method) for number in workers for method in (METHODS if number else (None,))]


if __name__ == "__main__":
    main()
