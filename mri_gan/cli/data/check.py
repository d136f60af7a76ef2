"""`mrigan check`: is every byte of a store what was written?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.errors import DataError, Stopped
from mri_gan.ingest.options import GIVEN_FILE
from mri_gan.values import say_some

if TYPE_CHECKING:
    from mri_gan.store.check import Report


EPILOG = """\b
Examples:
  mrigan check OASIS_PRE
  mrigan check OASIS_PRE --json
"""

MAX_NAMED = 3
MAX_THREADS = 16


@click.command("check", epilog=EPILOG)
@click.argument("store", type=options.PATH)
@options.setting("--threads", click.IntRange(1, 256), None, "Threads  [default: one per CPU].")
@options.as_json
@options.quiet
def command(store: Path, threads: int | None, as_json: bool, quiet: bool) -> None:
    """Read all of a STORE and compare it with its checksums, counts and digest.

    Exit code 1 if it is damaged; the first damaged images or other faults are named. A missing
    preview.png, manifest.tsv or splits.tsv is a warning: they hold nothing that the store lacks.
    """
    from mri_gan.config import LEVELS
    from mri_gan.files import stop_on_signal
    from mri_gan.store.check import check_store
    from mri_gan.store.reader import StoreReader

    with StoreReader(store) as opened:
        total = len(opened) * len(LEVELS)
    count = threads or min(os.cpu_count() or 1, MAX_THREADS)
    with stop_on_signal() as stop, options.Progress(total, " images", quiet) as bar:
        report = check_store(store, count, bar.show, stop)
    if report.stopped:
        raise Stopped(
            f"{store}: stopped at {report.images} of {total} images", signum=stop.signum or 2
        )
    if as_json:
        options.print_json(describe(store, report))
    elif not quiet:
        _print_table(store, report)
        if missing := find_missing(store):
            click.echo(
                f"warning: {store}: without {', '.join(missing)}; the same mrigan prepare or "
                "merge writes what is missing, and the slices stay as they are",
                err=True,
            )
    _raise_if_wrong(store, report)


def find_missing(store: Path) -> list[str]:
    """The files that `prepare` writes beside the data and that are no longer there."""
    from mri_gan.store.schema import COMPANIONS

    missing = [name for name in COMPANIONS if not (store / name).is_file()]
    # `merge` and earlier versions write no options, so that alone tells nothing.
    options_too = bool(missing) and not (store / GIVEN_FILE).is_file()
    return [*missing, *([GIVEN_FILE] if options_too else [])]


def describe(store: Path, report: Report) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "store": str(store),
        "ok": not report.bad and not report.wrong,
        "slices": report.slices,
        "images": report.images,
        "computed": report.computed,
        "stored_bytes": report.stored_bytes,
        "pixel_bytes": report.pixel_bytes,
        "seconds": round(report.seconds, 3),
        "mb_per_s": round(report.mb_per_s, 1),
        "bad": [{"level": b.level, "slice": b.index, "reason": b.reason} for b in report.bad],
        "wrong": report.wrong,
        "missing": find_missing(store),
    }


def _print_table(store: Path, report: Report) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(str(store)), show_header=False, title_justify="left")
    sizes = f"{options.human_bytes(report.stored_bytes)} stored"
    pixels = f"{options.human_bytes(report.pixel_bytes)} of pixels"
    speed = f"{options.human_seconds(report.seconds)}, {report.mb_per_s:,.0f} MB/s"
    table.add_row("slices", f"{report.slices:,}")
    table.add_row("images", f"{report.images:,} ({report.computed:,} computed on read)")
    table.add_row("read", f"{sizes}, {pixels}")
    table.add_row("time", speed)
    table.add_row("damaged images", f"{len(report.bad):,}")
    table.add_row("result", "wrong" if report.bad or report.wrong else "intact")
    options.open_console().print(table)


def _raise_if_wrong(store: Path, report: Report) -> None:
    """One line with the first bad images, or with the first wrong fact."""
    findings = [str(bad) for bad in report.bad] + report.wrong
    if not findings:
        return
    raise DataError(
        f"{store}: {say_some(findings, MAX_NAMED)}",
        "copy the store again, or delete the folder and run `mrigan prepare` again",
    )
