"""`mrigan audit`: do synthetic slices copy people of the training set?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.judge import judging
from mri_gan.config import CONFIG
from mri_gan.errors import DataError

if TYPE_CHECKING:
    from mri_gan.library.quality import Judged
    from mri_gan.store.reader import StoreReader


EPILOG = """\b
Examples:
  mrigan audit RUN --data OASIS_PRE
  mrigan audit RUN --data OASIS_PRE --count 5000 --psi 1
  mrigan audit --images fakes/ --data OASIS_PRE --strict
"""
FEWEST = 50  # evaluate.audit.FEWEST_SAMPLES, which would load PyTorch before the options are read
SAID = ("limits", "kinds", "warning", "sentence")  # in this order, the verdict last
UNKNOWN_STORE = (
    "whether the model was trained on this store is not known, since an older mrigan wrote the "
    "checkpoint and it has labels; the audit means nothing for another store"
)


@click.command("audit", epilog=EPILOG)
@click.argument("ckpt", type=options.PATH, required=False)
@options.path("--images", "Audit the pictures of this folder instead of a checkpoint's.")
@options.setting("--count", click.IntRange(FEWEST), 1000, "Samples to audit.")
@click.option("--strict", is_flag=True, help="Exit code 1 unless the verdict is `pass`.")
@options.path(
    "--out",
    "Folder of the results  [default: audit/ beside the checkpoint].",
    callback=options.check_out,
)
@judging.shared(psi=0.7)
def command(
    ckpt: Path | None,
    images: Path | None,
    data: Path,
    count: int,
    strict: bool,
    out: Path | None,
    drawing: judging.Drawing,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare samples of CKPT with every training slice of the store that it was trained on.

    Samples are drawn as `mrigan generate` draws them. The limit of likeness is measured on
    people: how like their slices are to those of other people. Planted copies show which kinds of
    copies would be detected. Exit code 1 if the model was trained on another store.
    """
    from mri_gan.library.quality import DEPTH
    from mri_gan.pictures import Shows, save_png
    from mri_gan.store.reader import StoreReader

    judging.require_one(ckpt, images)
    with StoreReader(data) as store:
        judged = judging.find_judged(store, ckpt, images, count, drawing, DEPTH)
        folder = judging.find_folder(out, judged, "audit", store)
        facts, sheet = _audit(store, judged, count, drawing.seed, quiet)
    written = judging.write_results(folder, "audit.json", facts)
    save_png(folder / "worst-pairs.png", sheet, Shows.BOTH)
    if as_json:
        options.print_json(facts)
    elif not quiet:
        _print_table(facts)
        click.echo(f"{written}\n{folder / 'worst-pairs.png'}")
    wrong = facts["trained_on_this_store"] is False
    if wrong or (strict and facts["verdict"] != "pass"):
        remedy = "give --data the store of this run" if wrong else "look at worst-pairs.png there"
        raise DataError(f"{written}: {facts['sentence']}", remedy)


def _audit(
    store: StoreReader, judged: Judged, count: int, seed: int, quiet: bool
) -> tuple[dict[str, Any], Any]:
    """What the JSON file says, and the picture of the most alike pairs."""
    from mri_gan.evaluate.verdict import worst_pairs
    from mri_gan.library.quality import audit_judged, gather_to_audit
    from mri_gan.pictures import read_edges

    sets = gather_to_audit(store, judged, count, seed)
    if sets.right is False and not quiet:
        click.echo("warning: the model was trained on another store than --data", err=True)
    if sets.right is None and judged.trained is not None and not quiet:
        click.echo(f"warning: {UNKNOWN_STORE}", err=True)
    with options.Progress(sets.total, " images", quiet) as bar:
        result = audit_judged(store, judged, sets, seed, bar.add)
    edges = read_edges(judged.trained.path.parent / CONFIG) if judged.trained else ()
    return result.to_dict(), worst_pairs(result, sets.samples, sets.train, edges=edges)


def _print_table(facts: dict[str, Any]) -> None:
    from mri_gan.report.judging import say_audited, say_membership

    drawn = f"; psi {facts['psi']:g}, noise {facts['noise']:g}" if "psi" in facts else ""
    title = f"{say_audited(facts)}{drawn}{judging.say_channel(facts['store'])}"
    head = ("likeness (Fisher's z)", *(view["name"] for view in facts["views"]))
    judging.print_table(title, head, _table_rows(facts["views"]))
    membership = facts["membership"]
    if membership:
        click.echo(say_membership(membership))
    else:
        click.echo(f"membership inference left out: {facts['membership_left_out']}")
    for line in filter(None, (facts[name] for name in SAID)):
        click.echo(line)
    click.echo(f"{facts['images_per_s']:,.0f} images/s")


def _table_rows(views: list[dict[str, Any]]) -> Iterator[list[str]]:
    for name, whose, key in (
        ("median sample", "samples", "p50"),
        ("most alike sample", "samples", "max"),
        ("median person to other people", "people", "p50"),
        ("most alike person", "people", "max"),
    ):
        yield [name, *(f"{view['likeness'][whose][key]:.3f}" for view in views)]
    yield ["limit for new people", *(f"{view['limit']:.3f}" for view in views)]
    yield ["samples above the limit", *(f"{v['copies']} ({v['share']:.2%})" for v in views)]
