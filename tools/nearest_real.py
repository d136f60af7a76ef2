"""How near samples come to training slices, against how near new people come to them.

A first look at memorisation, before any picture is shown to others: a generator that copies gives
samples that lie closer to a training slice than slices of people it has never seen.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import Look, draw_seeds, load_trained


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--count", default=512, show_default=True, help="Samples.")
@click.option("--psi", default=1.0, show_default=True)
@click.option("--noise", default=0.0, show_default=True)
def main(run: Path, store: Path, count: int, psi: float, noise: float) -> None:
    """Print distances (root mean square, in grey levels) to the nearest training slice."""
    trained = load_trained(run)
    look = Look(trained.size, trained.alpha, psi, noise)
    drawn = draw_seeds(trained.generator, range(count), look).clamp(-1, 1).numpy()
    samples = np.asarray((drawn + 1) * 127.5, np.float32).reshape(count, -1)
    train, held_out = (read_flat(store, trained.size, splits) for splits in (("train",), OTHERS))
    distances = {"samples": nearest(samples, train), "held-out people": nearest(held_out, train)}
    for name, values in distances.items():
        low, middle, high = np.percentile(values, [0, 50, 100])
        click.echo(
            f"{name:<16} n {len(values):<5} min {low:5.1f}  median {middle:5.1f}  max {high:5.1f}"
        )
    closer = float((distances["samples"] < distances["held-out people"].min()).mean())
    click.echo(f"samples nearer to a training slice than any held-out slice: {closer:.1%}")


OTHERS = ("validate", "test")


def read_flat(folder: Path, size: int, splits: tuple[str, ...]) -> NDArray[np.float32]:
    """All slices of some splits as rows of pixels."""
    with StoreReader(folder) as store:
        indices = np.concatenate([store.indices(split) for split in splits])
        return store.read(size, indices).reshape(len(indices), -1).astype(np.float32)


def nearest(rows: NDArray[np.float32], train: NDArray[np.float32]) -> NDArray[np.float32]:
    """Root mean square difference of each row to its nearest training row."""
    squares = (rows**2).sum(1)[:, None] - 2 * rows @ train.T + (train**2).sum(1)
    return np.asarray(np.sqrt(np.maximum(squares, 0).min(1) / rows.shape[1]))


if __name__ == "__main__":
    main()
