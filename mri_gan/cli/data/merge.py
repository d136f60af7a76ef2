"""`mrigan merge`: several stores in, one store out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from mri_gan.cli import options
from mri_gan.config import require

EPILOG = """\b
Examples:
  mrigan merge PART_* --out WHOLE
"""


@click.command("merge", epilog=EPILOG)
@click.argument("stores", nargs=-1, required=True, type=options.PATH)
@options.path("--out", "Folder of the store to write.", required=True)
@options.as_json
@options.quiet
def command(stores: tuple[Path, ...], out: Path, as_json: bool, quiet: bool) -> None:
    """Join STORES made with the same options into one; slices keep the given order.

    The parts that `mrigan prepare --shard` wrote are put in the order of their numbers, and none
    may be missing. Refused when a subject would be in two splits or a slice is in two stores.
    """
    from mri_gan.cli.data.info import print_tables
    from mri_gan.cli.data.source_options import report_twins
    from mri_gan.files import stop_on_signal
    from mri_gan.store.companions import write_companions
    from mri_gan.store.merge import merge_stores
    from mri_gan.store.reader import StoreReader

    counts = Counter(store.resolve() for store in stores)
    for store in stores:
        once = counts[store.resolve()] == 1
        require(once, f"{store}: is given more than once", "name every store once")
    total = 0
    for store in stores:
        with StoreReader(store) as opened:
            total += len(opened)
    with stop_on_signal() as stop, options.Progress(total, " slices", quiet) as bar:
        merge_stores(stores, out, stop, bar.show)
    facts = write_companions(out)
    report_twins(out, facts, strict=False, quiet=quiet)
    if as_json:
        options.print_json(facts)
    elif not quiet:
        print_tables(facts)
