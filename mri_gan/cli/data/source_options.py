"""Options that say what the sources are and how they are cut, alike for `prepare` and `inspect`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mri_gan.cli import options
from mri_gan.errors import DataError, printable
from mri_gan.preparation import ALSO, FITS, INTENSITIES, LAYOUTS, PLANES

if TYPE_CHECKING:
    from mri_gan.ingest.plan.plan import Plan

Command = TypeVar("Command", bound=Callable[..., Any])

_plane = click.option(
    "--plane",
    type=click.Choice(("auto", *PLANES)),
    default="auto",
    show_default=True,
    help="How volumes are cut: auto takes the plane of thick slices, otherwise axial.",
)
_reorient = click.option(
    "--reorient",
    is_flag=True,
    help="Turn brains whose header disagrees with the picture, as inspect reports them; left and "
    "right are kept as they are.",
)
_scan = click.option(
    "--scan",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="Version of a scan to take: t88_masked_gfc, t88_gfc, subj_111 or raw of OASIS-1; "
    "a file's name, such as norm, of neurite-OASIS.",
)
_layout = click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="auto",
    show_default=True,
    help="Naming scheme of the files; auto decides for each.",
)
_naming = click.option(
    "--naming",
    default="auto",
    show_default=True,
    metavar="REGEX",
    help="Regular expression for your own file names, with the named group subject and optionally "
    "session, split, side, slice, mask and class.",
)
_classes = click.option(
    "--classes",
    is_flag=True,
    help="Image files are in class folders, as in MNIST: the folder becomes the label class.",
)
_include = click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Take only files whose path matches, such as '*_T1w.nii.gz'; may be repeated.",
)
_exclude = click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out files whose path matches, such as 'derivatives/*'; may be repeated.",
)
_contrast = click.option(
    "--contrast",
    default="",
    metavar="NAMES",
    callback=options.split_words,
    help="Take only scans of these contrasts, such as T1w or t1ce,flair, in the words of BIDS, "
    "BraTS, nnU-Net (0000) and most other names.",
)
_channels = click.option(
    "--channels",
    default="",
    metavar="NAMES",
    callback=options.split_words,
    help="Make contrasts of one head the channels of one image, such as t1,t1ce,t2,flair; they "
    "must share one voxel grid.",
)
_people_file = click.option(
    "--people",
    "people_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="TABLE",
    help="Table of who is who, with the columns file (or folder) and person, and optionally "
    "session, split and labels.",
)
_strict = click.option(
    "--strict",
    is_flag=True,
    help="Refuse when people or contrasts are ambiguous, instead of warning.",
)
_fit = click.option(
    "--fit",
    type=click.Choice(FITS),
    default="pad",
    show_default=True,
    help="Make slices square by padding or by cropping, never by stretching; pad and crop may "
    "resample to the nearest level, keep leaves square pixels as they are and pads to the next.",
)
_fov = click.option(
    "--fov",
    type=float,
    default=0.0,
    metavar="MM",
    help="Common field of view: a square of this width for every volume, cropped or padded about "
    "its middle.",
)
_slices = click.option(
    "--slices",
    default="all",
    show_default=True,
    metavar="LOW:HIGH",
    help="Part of each stack: shares of the range from the first to the last slice with tissue, "
    "such as 0.2:0.8, or mm along the axis, such as -20mm:30mm.",
)
_every = click.option(
    "--every", type=int, default=1, show_default=True, help="Take every n-th slice."
)
_intensity = click.option(
    "--intensity",
    type=click.Choice(INTENSITIES),
    default="percentile",
    show_default=True,
    help="How a volume's values become grey levels; nyul learns from the training split, keep "
    "leaves 8-bit values as they are.",
)
_landmarks = click.option(
    "--landmarks",
    type=click.Path(path_type=Path, file_okay=False),
    callback=options.read_landmarks,
    metavar="STORE",
    help="Reuse the landmarks that nyul learned for another store.",
)
_window = click.option(
    "--window",
    default="0.5,99.5",
    show_default=True,
    callback=options.parse_numbers(2, float),
    help="Percentiles for black (of all voxels) and white (of the foreground).",
)
_min_foreground = click.option(
    "--min-foreground",
    type=float,
    default=0.02,
    show_default=True,
    help="Drop slices of volumes with a smaller fraction of tissue.",
)
_depth = click.option(
    "--depth",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    callback=lambda _ctx, _param, bits: int(bits),
    help="Bits per pixel.",
)


_also = click.option(
    "--also",
    default="",
    metavar="KINDS",
    callback=lambda _ctx, _param, text: tuple(filter(None, text.split(","))),
    help=f"Kinds of DICOM files to take besides MR scans: {', '.join(ALSO)}.",
)
_volume = click.option(
    "--volume",
    type=click.IntRange(0),
    default=None,
    metavar="N",
    help="Which volume to take from files of several, such as fMRI; counted from 0.",
)


def source_options(command: Command) -> Command:
    """Add them all, in the order of the help text."""
    return _add(
        command,
        (
            _plane,
            _reorient,
            _scan,
            _contrast,
            _channels,
            _include,
            _exclude,
            _layout,
            _naming,
            _classes,
            _also,
            _volume,
        ),
    )


def people_options(command: Command) -> Command:
    """Add those that say who is who, and how careful to be about it."""
    return _add(command, (_people_file, _strict))


def report_people(plan: Plan, *, strict: bool, quiet: bool, as_json: bool) -> None:
    """Print who was found, and warn about what is doubtful; raises DataError where it is strict."""
    if strict and plan.doubts:
        raise DataError(
            f"--strict: {plan.doubts[0]}"
            + (f" (and {len(plan.doubts) - 1} more)" if len(plan.doubts) > 1 else ""),
            "nothing was written; leave --strict out to continue anyway",
        )
    if quiet:
        return
    if not as_json:
        click.echo(printable(plan.conclusion))
    for doubt in plan.doubts:
        click.echo(f"warning: {printable(doubt)}", err=True)


def slice_options(command: Command) -> Command:
    """Add those that decide which slices there are and what they look like."""
    return _add(
        command,
        (_fit, _fov, _slices, _every, _intensity, _landmarks, _window, _min_foreground, _depth),
    )


def _add(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
