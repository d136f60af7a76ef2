"""The options of `mrigan train` that concern architectures and augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mri_gan.cli.training.train_setup import use_defaults
from mri_gan.config import AUGMENTS, CRITICS

OPTIONS = (
    click.option(
        "--critic",
        type=click.Choice(CRITICS),
        default="own",
        callback=use_defaults,
        is_eager=True,
        help="The architecture's critic, critics on frozen ImageNet features, or both  "
        "[default: own; fastgan: both].",
    ),
    click.option(
        "--share-fakes",
        is_flag=True,
        help="Train both networks on one batch of fakes, which is faster  [default with features].",
    ),
    click.option(
        "--mapping-depth", type=int, default=8, show_default=True, help="Layers from z to w."
    ),
    click.option(
        "--channel-base",
        type=int,
        default=0,
        help="stylegan2: width times resolution, up to 512 wide  [default: 32768].",
    ),
    click.option(
        "--path-weight",
        type=float,
        default=0.0,
        help="Weight of the path length penalty  [default: stylegan2: 2, others none].",
    ),
    click.option(
        "--path-every",
        type=int,
        default=4,
        show_default=True,
        help="Generator steps per path length penalty.",
    ),
    click.option(
        "--augment",
        type=click.Choice(AUGMENTS),
        default="none",
        show_default=True,
        help="Augment what the critic sees: with fixed or adaptive probability.",
    ),
    click.option(
        "--augment-p",
        type=float,
        default=0.0,
        show_default=True,
        help="Probability of each augmentation; ada starts from it.",
    ),
    click.option(
        "--augment-kinds",
        default="blit,geometry,colour",
        show_default=True,
        help="More kinds: tone, filter, noise, cutout. Left and right are kept without --flip.",
    ),
    click.option(
        "--ada-target",
        type=float,
        default=0.6,
        show_default=True,
        help="Mean sign of real scores above which ada augments more.",
    ),
    click.option(
        "--ada-kimg",
        type=float,
        default=500.0,
        show_default=True,
        help="Fewest thousand images in which ada goes from 0 to 1.",
    ),
)


def architecture(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, in the order above."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
