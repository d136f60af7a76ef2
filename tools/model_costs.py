"""Parameters and work of every architecture at every size; docs/models.md has an excerpt.

Counted on torch's meta device, where shapes are computed and nothing else: two FLOP for a
multiply-add of convolutions and matrix products, forward, for one image.
"""

from __future__ import annotations

import click
import torch
from torch import nn

from mri_gan.config import ARCHS, LEVELS, ModelConfig, defaults_of
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.train.cost import forward_work


@click.command()
@click.option("--channels", default=1, show_default=True, help="Of the images.")
@click.option("--capacity", default=1.0, show_default=True, help="1 is the paper's width.")
def main(channels: int, capacity: float) -> None:
    """Print one table of parameters and one of GFLOP per image (generator, critic)."""
    for title, cell in (("Parameters, M", millions), ("GFLOP per image, forward", gigaflop)):
        click.echo(f"\n| {title} | {' | '.join(ARCHS)} |\n| --- |{' --- |' * len(ARCHS)}")
        for size in LEVELS:
            cells = []
            for arch in ARCHS:
                latent = defaults_of(arch).get("latent_dim", 512)
                model = ModelConfig(
                    arch=arch,
                    max_size=size,
                    channels=channels,
                    capacity=capacity,
                    latent_dim=latent,
                )
                cells.append(cell(model))
            click.echo(f"| {size} px | {' | '.join(cells)} |")


def millions(model: ModelConfig) -> str:
    """Parameters of generator and critic."""
    with torch.device("meta"):
        return f"{count(build_generator(model)):.2f} + {count(build_critic(model)):.2f}"


def count(net: nn.Module) -> float:
    """Millions of parameters."""
    return sum(parameter.numel() for parameter in net.parameters()) / 1e6


def gigaflop(model: ModelConfig) -> str:
    """Work of generator and critic for one image."""
    work = [flop / 1e9 for flop in forward_work(model, model.max_size)]
    return f"{work[0]:.2f} + {work[1]:.2f}"


if __name__ == "__main__":
    main()
