"""`mrigan export`: a store as files that other tools read."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mri_gan.cli import options
from mri_gan.config import SPLITS
from mri_gan.values import say_count

if TYPE_CHECKING:
    from mri_gan.export.export import ExportConfig
    from mri_gan.store.reader import StoreReader

EPILOG = """\b
Examples:
  mrigan export OASIS_PRE --format png --out slices
  mrigan export OASIS_PRE --format stylegan-zip --split train --level 256 --out oasis.zip
  mrigan export STORE --format nifti --anonymous --out volumes
"""

# Listed here and compared by a test, so that help does not import the writers.
FORMATS = ("png", "png16", "nifti", "stylegan-zip", "stylegan-lmdb", "webdataset")
MAX_WORKERS = 16


@click.command("export", epilog=EPILOG)
@click.argument("store", type=options.PATH)
@options.setting(
    "--format", click.Choice(FORMATS), None, "Format to write.", name="format_", required=True
)
@options.path("--out", "Folder to write to; for stylegan-zip, the file.", required=True)
@options.setting(
    "--level",
    int,
    None,
    "Pixels  [default: the largest native level; all levels for stylegan-lmdb].",
)
@options.setting("--split", click.Choice(SPLITS), None, "Write this split only.")
@click.option(
    "--anonymous",
    is_flag=True,
    help="Number the subjects instead of naming them, and leave out their labels (age, diagnosis), "
    "which can identify somebody.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export at --out.")
@options.setting("--workers", click.IntRange(1, 256), None, "Threads  [default: one per CPU].")
@options.as_json
@options.quiet
def command(
    store: Path,
    format_: str,
    out: Path,
    level: int | None,
    split: str | None,
    anonymous: bool,
    overwrite: bool,
    workers: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the slices of a STORE as PNG, NIfTI, or the data set of another tool.

    png and png16 make folders split/subject; nifti reassembles volumes. Their manifest.tsv lists
    all files with the labels of the subjects; webdataset has these in its .json. stylegan-zip is
    for StyleGAN2 and 3, stylegan-lmdb for the PyTorch ports of StyleGAN. Masks are written beside
    their images with the labels of their source; StyleGAN's formats cannot hold them.
    """
    from mri_gan.export.export import ExportConfig, count_images, describe_export, export
    from mri_gan.files import stop_on_signal
    from mri_gan.store.reader import StoreReader

    config = ExportConfig(format_, level, split, anonymous, overwrite)
    count = workers or min(os.cpu_count() or 1, MAX_WORKERS)
    start = time.perf_counter()
    with StoreReader(store) as opened:
        total = count_images(opened, config)
        if not quiet and (said := _say_names(opened, config)):
            click.echo(f"warning: {said}", err=True)
        with stop_on_signal() as stop, options.Progress(total, " images", quiet) as bar:
            export(opened, config, out, count, stop, bar.show)
        said = describe_export(opened, config)
    seconds = time.perf_counter() - start
    if as_json:
        facts = {"out": str(out), "format": format_, "images": total, "seconds": round(seconds, 3)}
        options.print_json(facts | ({"note": said} if said else {}))
    elif not quiet:
        speed = f"{total / max(seconds, 1e-9):,.0f} images/s"
        click.echo(f"{out}: {say_count(total, 'image')}, {speed}")
        if said:
            click.echo(said)


def _say_names(store: StoreReader, config: ExportConfig) -> str:
    """That an export keeps what looks like people's names; empty where none is seen."""
    from mri_gan.ingest.plan.label_files import say_called

    if config.anonymous or config.format.startswith("stylegan"):  # which name nobody
        return ""
    said = say_called((record.subject for record in store.records), "the export keeps")
    return said and f"{said} --anonymous"
