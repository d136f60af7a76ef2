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
@click.argument("image", type=options.PATH)
@options.path("--ckpt", "Checkpoint or run folder.", required=True)
@options.path("--out", "Folder of the result.", required=True)
@options.setting(
    "--space",
    click.Choice(["w", "w+"]),
    "w",
    "One style, or one for each layer: nearer, but less like what the model draws.",
)
@options.setting("--steps", int, 500, "Optimiser steps.")
@options.setting("--lr", float, 0.1, "Learning rate.")
@options.path(
    "--features-file", "TorchScript network whose features are compared  [default: the critic's]."
)
@drawing.shared(psi=False)
@options.seed
@options.device
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
    how: drawing.How,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the style that makes a model draw an IMAGE (grey or colour, 8 or 16 bits).

    Writes projection.png (target, result, difference, curve), result.png, and w and noise as
    projection.npz. The image is padded to a square and scaled to the model's size.
    """
    from mri_gan.files import make_folder
    from mri_gan.synth import project

    effort = project.Effort(steps, lr, space, seed=seed)
    hand = how.load(ckpt)
    target = project.read_target(image, hand.look.size, hand.trained.config.channels)
    make_folder(out)
    features = (
        project.network_features(features_file, how.device)
        if features_file
        else project.critic_features(hand, how.device)
    )
    with options.Progress(steps, " steps", quiet) as bar:
        found = project.project(hand, target, features, effort, lambda step, _loss: bar.show(step))
    wanted, drawn = target[0].numpy(), found.image.numpy()
    project.draw_projection(out / "projection.png", wanted, drawn, found.losses, hand.edges)
    project.save_projection(out, found, hand.trained)
    rms = project.root_mean_square(wanted, drawn)
    if as_json:
        options.print_json({"out": str(out), "rms_grey": rms, "distance": found.losses[-1]})
    elif not quiet:
        click.echo(f"{out}: {rms:.1f} grey levels (root mean square) from {image}")
