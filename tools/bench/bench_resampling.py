"""Ways to bring a volume's slices to their level, in processor time per slice, in one run.

All resample by Lanczos from 208 x 176 to 256 x 217 px, as `prepare` does with the T88 volumes of
OASIS-1. All but whole matrices, which are here for comparison, include the way to 8 bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mri_gan.ingest.cut.intensity import quantise
from mri_gan.ingest.cut.lanczos import find_bands, resample
from mri_gan.ingest.cut.slices import SLAB

HEIGHT, WIDTH, HAVE = 256, 217, (208, 176)
Shades = NDArray[np.float32]


@click.command()
@click.option("--slices", default=128, show_default=True)
@click.option("--repeats", default=5, show_default=True)
def main(slices: int, repeats: int) -> None:
    """Print the least processor time of each way, and how far ours is from float32."""
    rng = np.random.default_rng(0)
    waves = np.cumsum(rng.normal(0, 0.05, (slices, *HAVE)), axis=2) + 0.5
    shades = np.clip(waves + rng.normal(0, 0.03, waves.shape), 0, 1).astype(np.float32)
    greys = quantise(shades, 8)
    ways: dict[str, Callable[[], Any]] = {
        "ours: banded products, exact, a slab at once": lambda: by_bands(shades),
        "Pillow, float32, slice by slice": lambda: quantise(by_pillow(shades), 8),
        "Pillow, 8 bits, which rounds before and between": lambda: by_pillow(greys),
        "whole matrices, float32": lambda: by_matrices(shades),
    }
    for name, way in ways.items():
        least = min(processor_time(way) for _ in range(repeats))
        click.echo(f"{name:<48} {1e6 * least / slices:7.0f} us per slice")
    ours, exact = by_bands(shades), quantise(by_pillow(shades), 8)
    apart = np.abs(ours.astype(int) - exact)
    click.echo(f"ours differs from float32 by {apart.max()} at most, in {(apart > 0).mean():.1%}")


def by_bands(shades: Shades) -> NDArray[Any]:
    """What `prepare` does."""
    parts = [shades[start : start + SLAB] for start in range(0, len(shades), SLAB)]
    return np.concatenate([resample(part, HEIGHT, WIDTH, 8) for part in parts])


def by_pillow(pixels: NDArray[Any]) -> NDArray[Any]:
    """Its own Lanczos, in the mode of the pixels."""
    lanczos = Image.Resampling.LANCZOS
    images = (Image.fromarray(one).resize((WIDTH, HEIGHT), lanczos) for one in pixels)
    return np.stack([np.asarray(image) for image in images])


def by_matrices(shades: Shades) -> Shades:
    """Two products with matrices that are mostly zeros."""
    rows, columns = whole_matrix(HAVE[0], HEIGHT), whole_matrix(HAVE[1], WIDTH)
    return np.stack([rows @ one @ columns.T for one in shades])


def whole_matrix(have: int, want: int) -> Shades:
    """The weights of all bands in one matrix [want, have]."""
    matrix = np.zeros((want, have), np.float32)
    for band in find_bands(have, want, 8, want):
        matrix[band.out, band.into] = band.weights
    return matrix


def processor_time(work: Callable[[], object]) -> float:
    """Seconds of all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
