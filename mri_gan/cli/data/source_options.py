"""Options that say what the sources are and how they are cut, alike for `prepare` and `inspect`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.errors import DataError, UsageError, printable
from mri_gan.ingest.options import ALSO, FITS, INTENSITIES, LAYOUTS, PLANES, PrepareConfig
from mri_gan.values import say_count, say_some

if TYPE_CHECKING:
    from mri_gan.ingest.plan.plan import Plan
    from mri_gan.ingest.source import Source

MOST_PLACES = 3  # named in a sentence
setting = options.of_config(PrepareConfig)


def read_landmarks(
    _ctx: click.Context, _param: click.Parameter, folder: Path | None
) -> tuple[float, ...]:
    """A click callback for `--landmarks STORE`: what `--intensity nyul` has learned there."""
    if folder is None:
        return ()
    from mri_gan.store.reader import StoreReader

    with StoreReader(folder) as store:
        learned = store.header.get("learned", {}).get("landmarks", ())
    if not learned:
        raise UsageError(f"{folder}: has no landmarks", "prepare it with --intensity nyul")
    return tuple(learned)


def parse_numbers(
    count: int, kind: Callable[[str], Any]
) -> Callable[[click.Context, click.Parameter, str], tuple[Any, ...]]:
    """A click callback for `80,10,10`: exactly `count` numbers with commas."""

    def parse(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[Any, ...]:
        try:
            numbers = tuple(kind(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != count:
            raise click.BadParameter(f"give {count} numbers with commas between them")
        return numbers

    return parse


def parse_split(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[int, ...]:
    """A click callback for `80,10,10`; `0.8,0.1,0.1` says the same."""
    try:
        shares = [float(part) for part in text.split(",")]
        whole = 100 if sum(shares) <= 1 + 1e-9 else 1  # of shares, or of per cents
        per_cent = tuple(round(share * whole) for share in shares)
    except (ValueError, OverflowError):
        shares, whole, per_cent = [], 1, ()
    if len(shares) != 3 or [number / whole for number in per_cent] != shares:
        raise click.BadParameter("give three whole per cents with commas, such as 80,10,10")
    return per_cent


def split_words(_context: click.Context, _option: click.Parameter, text: str) -> tuple[str, ...]:
    """The words of a list with commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


# What the sources are.
source_options = options.together(
    setting(
        "--plane",
        "How volumes are cut: auto takes the plane of thick slices, otherwise axial.",
        click.Choice(("auto", *PLANES)),
    ),
    click.option(
        "--reorient",
        is_flag=True,
        help="Turn brains whose header disagrees with the picture, as inspect reports them; left "
        "and right are kept as they are.",
    ),
    setting(
        "--scan",
        "Version of a scan to take: t88_masked_gfc, t88_gfc, subj_111 or raw of OASIS-1; "
        "a file's name, such as norm, of neurite-OASIS.",
        metavar="NAME",
    ),
    options.setting(
        "--contrast",
        str,
        "",
        "Take only scans of these contrasts, such as T1w or t1ce,flair, in the words of BIDS, "
        "BraTS, nnU-Net (0000) and most other names; t1c and t1gd are t1ce.",
        metavar="NAMES",
        callback=split_words,
    ),
    options.setting(
        "--channels",
        str,
        "",
        "Make contrasts of one head the channels of one image, such as t1,t1ce,t2,flair; they "
        "must share one voxel grid.",
        metavar="NAMES",
        callback=split_words,
    ),
    setting(
        "--include",
        "Take only files whose path matches, such as '*_T1w.nii.gz'; may be repeated.",
        multiple=True,
        metavar="GLOB",
    ),
    setting(
        "--exclude",
        "Leave out files whose path matches, such as 'derivatives/*'; may be repeated.",
        multiple=True,
        metavar="GLOB",
    ),
    setting(
        "--layout", "Naming scheme of the files; auto decides for each.", click.Choice(LAYOUTS)
    ),
    setting(
        "--naming",
        "Regular expression for your own file names, with the named group subject and optionally "
        "session, split, side, slice, mask and class.",
        metavar="REGEX",
    ),
    click.option(
        "--classes",
        is_flag=True,
        help="Image files are in class folders, as in MNIST: the folder becomes the label class.",
    ),
    options.setting(
        "--also",
        str,
        "",
        f"Kinds of DICOM files to take besides MR scans: {', '.join(ALSO)}.",
        metavar="KINDS",
        callback=lambda _ctx, _param, text: tuple(filter(None, text.split(","))),
    ),
    setting(
        "--volume",
        "Which volume to take from files that hold several, such as fMRI; counted from 0.",
        click.IntRange(0),
        metavar="N",
    ),
)
# Who is who, and how careful to be about it.
people_options = options.together(
    options.setting(
        "--people",
        options.UserPath(dir_okay=False),
        None,
        "Table of who is who, with the columns file (or folder) and person, and optionally "
        "session, split and labels.",
        name="people_file",
        metavar="TABLE",
    ),
    click.option(
        "--strict",
        is_flag=True,
        help="Refuse when people or contrasts are ambiguous, instead of warning.",
    ),
)
# Which slices there are, and what they look like.
slice_options = options.together(
    setting(
        "--fit",
        "Make slices square by padding or by cropping, never by stretching; pad and crop enlarge "
        "to the next level, or shrink by at most a tenth; keep leaves square pixels as they are "
        "and pads to the next level.",
        click.Choice(FITS),
    ),
    setting(
        "--fov",
        "Common field of view: a square of this width for every volume, cropped or padded about "
        "its middle  [default: each its own].",
        metavar="MM",
    ),
    setting(
        "--slices",
        "Part of each stack: shares of the range from the first to the last slice with tissue, "
        "such as 0.2:0.8, or mm along the axis, such as -20mm:30mm.",
        metavar="LOW:HIGH",
    ),
    setting("--every", "Take every n-th slice."),
    setting(
        "--intensity",
        "How a volume's values become grey levels; nyul learns from the training split, keep "
        "leaves 8-bit values as they are.",
        click.Choice(INTENSITIES),
    ),
    options.setting(
        "--landmarks",
        options.UserPath(file_okay=False),
        None,
        "Reuse the landmarks that nyul learned for another store.",
        callback=read_landmarks,
        metavar="STORE",
    ),
    options.setting(
        "--window",
        str,
        "0.5,99.5",
        "Percentiles for black (of all voxels) and white (of the foreground).",
        callback=parse_numbers(2, float),
    ),
    setting("--min-foreground", "Drop slices of volumes with a smaller fraction of tissue."),
    options.setting(
        "--depth",
        click.Choice(["8", "16"]),
        "8",
        "Bits per pixel.",
        callback=lambda _ctx, _param, bits: int(bits),
    ),
)


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


def say_kept(paths: Sequence[Path], kept: Sequence[Source]) -> str:
    """That these sources keep their ids, and where they are, to go on with a sentence."""
    from mri_gan.ingest.source import name_of

    if not kept:
        return ""
    files = {source.member.container for source in kept}
    around = files.union(*(file.parents for file in files))
    places = [str(path) for path in paths if {path.absolute(), path.resolve()} & around]
    keep = "keeps its id" if len(kept) == 1 else "keep their ids"
    scans = f"{say_count(len(kept), 'scan')} of {say_some(places, MOST_PLACES)}"
    who = name_of(kept[0].naming.subject)
    return f", but {printable(scans)} {keep} ({printable(who)}{', ...' * (len(kept) > 1)})"


def report_twins(out: Path, facts: dict[str, Any], *, strict: bool, quiet: bool) -> None:
    """Warn of equal slices of two people or splits; raises DataError where it is strict."""
    from mri_gan.store.twins import say_twins

    texts = say_twins(facts)
    if strict and texts:
        raise DataError(f"--strict: {texts[0]}", f"{out} is complete; mrigan inspect names them")
    for text in [] if quiet else texts:
        click.echo(f"warning: {text}", err=True)
