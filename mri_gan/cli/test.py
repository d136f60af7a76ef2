"""`mrigan test`: checkpoint in, image grids out."""

from __future__ import annotations

from pathlib import Path

import click

from mri_gan.cli import options
from mri_gan.config import require

EPILOG = """\b
Examples:
  mrigan test RUN --size 256
  mrigan test RUN/ckpt-000600000.pt --size 64 --seed 7 --psi 1 --out pictures
"""


@click.command("test", epilog=EPILOG)
@click.argument("ckpt", type=click.Path(path_type=Path))
@click.option("--size", type=int, default=None, help="Pixels  [default: the largest trained].")
@click.option("--psi", type=float, default=0.7, show_default=True, help="Truncation; 1 is none.")
@click.option(
    "--noise",
    type=float,
    default=1.0,
    show_default=True,
    help="Strength; 0 shows the anatomy alone.",
)
@click.option("--rows", type=click.IntRange(1, 64), default=4, show_default=True, help="Rows.")
@click.option("--cols", type=click.IntRange(1, 64), default=8, show_default=True, help="Columns.")
@click.option(
    "--crossover", type=int, default=None, help="Layers from the coarse source  [default: 3/4]."
)
@options.seed
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the pictures  [default: beside the checkpoint].",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, mps.")
@options.quiet
def command(
    ckpt: Path,
    size: int | None,
    psi: float,
    noise: float,
    rows: int,
    cols: int,
    crossover: int | None,
    seed: int,
    out: Path | None,
    device: str,
    quiet: bool,
) -> None:
    """Draw two grids from a checkpoint or run folder CKPT: plain samples, and style mixing.

    In the mixing grid the top row gives the coarse structure and the left column the detail.
    """
    from mri_gan.files import make_folder
    from mri_gan.pictures import save_png
    from mri_gan.synth.grids import mixing_grid, sample_grid
    from mri_gan.synth.sample import Look, alpha_for, load_trained

    trained = load_trained(ckpt, device)
    size = trained.size if size is None else size
    alpha = alpha_for(trained, size)
    layers = trained.generator.num_layers(size)
    require(
        crossover is None or 0 < crossover < layers,
        f"--crossover {crossover}",
        f"{size} px has {layers} layers: give 1 to {layers - 1}",
    )
    folder = out or trained.path.parent
    make_folder(folder)
    first = seed * 1000  # neighbouring seeds share no picture
    seeds = range(first, first + rows * cols)
    look = Look(size, alpha, psi, noise)
    fine_seeds = range(first + 500, first + 500 + rows)
    plain = sample_grid(trained.generator, seeds, cols, look)
    mixed = mixing_grid(trained.generator, seeds[:cols], fine_seeds, look, crossover)
    paths = (folder / f"samples-{size}px.png", folder / f"mixing-{size}px.png")
    if not quiet:
        click.echo(f"from {trained.path} ({trained.nimg / 1000:g} kimg)")
    for path, picture in zip(paths, (plain, mixed), strict=True):
        save_png(path, picture)
        if not quiet:
            click.echo(path)
