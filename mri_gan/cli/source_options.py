"""Options that say what the sources are; `prepare` and `inspect` read them alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mri_gan.preparation import LAYOUTS, PLANES

Command = TypeVar("Command", bound=Callable[..., Any])

_plane = click.option(
    "--plane",
    type=click.Choice(PLANES),
    default="axial",
    show_default=True,
    help="How volumes are cut.",
)
_scan = click.option(
    "--scan",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="Which version of a scan to take: of OASIS-1 t88_masked_gfc, t88_gfc, subj_111 or raw; "
    "of neurite-OASIS a file's name, such as norm.",
)
_layout = click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="auto",
    show_default=True,
    help="Whose file names these are; auto looks at each.",
)
_naming = click.option(
    "--naming",
    default="auto",
    show_default=True,
    metavar="REGEX",
    help="Your own file names: a regular expression with the named group subject and, where you "
    "like, session, split, side, slice, mask and class.",
)
_classes = click.option(
    "--classes",
    is_flag=True,
    help="Image files lie in class folders, as in MNIST: the folder becomes the label class.",
)


def source_options(command: Command) -> Command:
    """Add them all, in the order of the help text."""
    for option in (_classes, _naming, _layout, _scan, _plane):
        command = option(command)
    return command
