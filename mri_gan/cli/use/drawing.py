"""Options that all commands share which draw from a checkpoint, and loading it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mri_gan.cli import options
from mri_gan.config import require

if TYPE_CHECKING:
    from mri_gan.synth.sample import Look, Trained


size = click.option(
    "--size",
    type=int,
    default=None,
    help="Pixels; smaller images are shrunk  [default: the largest trained].",
)
psi = click.option(
    "--psi", type=float, default=0.7, show_default=True, help="Truncation; 1 is none."
)
noise = click.option(
    "--noise",
    type=float,
    default=1.0,
    show_default=True,
    help="Strength of the noise; 0 shows the anatomy alone.",
)
condition = click.option(
    "--condition",
    default=None,
    metavar="NAME=VALUE,..",
    help="Labels to draw, for a model trained with them  [default: as in training].",
)
styles = click.option(
    "--styles",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A projection.npz of `mrigan project` in place of seeds; may be repeated.",
)
device = options.device


def load(
    ckpt: Path, size: int | None, psi: float, noise: float, device: str
) -> tuple[Trained, Look]:
    """The generator of a checkpoint or run folder, and how to draw with it."""
    from mri_gan.synth.sample import load_trained, look_at

    require(-2 <= psi <= 2, f"--psi {psi}", "give -2 to 2; 1 is no truncation")
    require(0 <= noise <= 2, f"--noise {noise}", "give 0 to 2; 1 is as trained")
    trained = load_trained(ckpt, device)
    return trained, look_at(trained, size, psi, noise)
