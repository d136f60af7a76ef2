"""Make a zip of grey PNG slices with the noise and shapes of real scans, for benchmarks."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--count", default=2000, show_default=True)
@click.option("--size", default=256, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(path: Path, count: int, size: int, seed: int) -> None:
    """Write COUNT grey slices of 20 subjects into the zip PATH."""
    write_slices(path, count, size, seed)
    click.echo(f"{path}: {count} slices, {path.stat().st_size / 1e6:.1f} MB")


def write_slices(path: Path, count: int, size: int = 256, seed: int = 0) -> None:
    """A zip of `count` PNGs named by 20 subjects; the same arguments give the same pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i in range(count):
            rng = np.random.default_rng((seed, i))
            stream = io.BytesIO()
            Image.fromarray(draw_slice(rng, size)).save(stream, "PNG")
            archive.writestr(f"slices/sub{i % 20:02d}_{i // 20:04d}.png", stream.getvalue())


def repeat_slices(path: Path, times: int) -> None:
    """Add the zip's slices again and again under new names, until it holds `times` as many."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        before = [(name, archive.read(name)) for name in archive.namelist()]
        for i in range(1, times):
            for name, data in before:
                archive.writestr(name.replace("sub", f"more{i}-"), data)


def draw_slice(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """An ellipse of textured tissue in faintly noisy air: it compresses about as a real head."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    a, b = rng.uniform(0.6, 0.8), rng.uniform(0.7, 0.9)
    inside = (x / a) ** 2 + (y / b) ** 2 < 1
    waves = sum(
        np.cos(rng.normal(0, 12) * x + rng.normal(0, 12) * y + rng.uniform(0, 6)) for _ in range(4)
    )
    tissue = 120 + 18 * waves + rng.normal(0, 2, (size, size))
    air = np.abs(rng.normal(0, 1, (size, size)))
    return np.asarray(np.clip(np.where(inside, tissue, air), 0, 255), np.uint8)


if __name__ == "__main__":
    main()
