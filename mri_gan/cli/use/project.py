"""`mrigan project`: the style that draws a given image."""

from __future__ import annotations

from pathlib import Path

import click

from mri_gan.cli import options
from mri_gan.cli.use import drawing

EPILOG = """\b
Examples:
  mrigan project slice.png --ckpt RUN --out found
  mrigan project slice.png --ckpt RUN --space w+ --steps 1000 --out found
  mrigan project slice.png --ckpt RUN --features-file vgg.pt --out found
"""


@click.command("project", epilog=EPILOG)
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--ckpt", required=True, type=click.Path(path_type=Path), help="Checkpoint or run folder."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the result.")
@click.option(
    "--space",
    type=click.Choice(["w", "w+"]),
    default="w",
    show_default=True,
    help="One style, or one for each layer: nearer, but less like what the model draws.",
)
@click.option("--steps", type=int, default=500, show_default=True, help="Optimiser steps.")
@click.option("--lr", type=float, default=0.1, show_default=True, help="Learning rate.")
@click.option(
    "--features-file",
    type=click.Path(path_type=Path),
    default=None,
    help="TorchScript network to compare features of  [default: the critic].",
)
@drawing.size
@drawing.noise
@drawing.condition
@options.seed
@drawing.device
@options.as_json
@options.quiet
def command(
    image: Path,
    ckpt: Path,
    out: Path,
    space: str,
    steps: int,
    lr: float,
    features_file: Path | None,
    size: int | None,
    noise: float,
    condition: str | None,
    seed: int,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the style with which a model draws an IMAGE (grey or colour, 8 or 16 bits).

    Writes projection.png (target, result, difference, curve), result.png, and w and noise as
    projection.npz. The image is padded to a square and scaled to the model's size.
    """
    from mri_gan.files import make_folder
    from mri_gan.synth.figures import Drawing
    from mri_gan.synth.project import (
        Effort,
        critic_features,
        draw_projection,
        network_features,
        project,
        read_target,
        root_mean_square,
        save_projection,
    )

    effort = Effort(steps, lr, space, seed=seed)
    trained, look = drawing.load(ckpt, size, 1.0, noise, device)
    target = read_target(image, look.size, trained.config.channels)
    make_folder(out)
    hand = Drawing(trained, look, condition)
    features = (
        network_features(features_file, device) if features_file else critic_features(hand, device)
    )
    with options.Progress(steps, " steps", quiet or as_json) as bar:
        found = project(hand, target, features, effort, lambda step, _loss: bar.show(step))
    wanted, drawn = target[0].numpy(), found.image.numpy()
    draw_projection(out / "projection.png", wanted, drawn, found.losses)
    save_projection(out, found, trained)
    rms = root_mean_square(wanted, drawn)
    if as_json:
        options.print_json({"out": str(out), "rms_grey": rms, "distance": found.losses[-1]})
    elif not quiet:
        click.echo(f"{out}: {rms:.1f} grey levels (root mean square) from {image}")
