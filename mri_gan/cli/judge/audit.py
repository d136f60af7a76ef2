"""`mrigan audit`: do synthetic slices copy people of the training set?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.judge import judging
from mri_gan.config import require
from mri_gan.errors import DataError

if TYPE_CHECKING:
    from mri_gan.evaluate.images import ImageSet
    from mri_gan.evaluate.membership import Membership
    from mri_gan.store.reader import StoreReader


EPILOG = """\b
Examples:
  mrigan audit RUN --data OASIS_PRE
  mrigan audit RUN --data OASIS_PRE --count 5000 --strict && echo may be shared
  mrigan audit --images other-model/ --data OASIS_PRE
"""
FORMAT, VERSION = "mrigan-audit", 1


@click.command("audit", epilog=EPILOG)
@click.argument("ckpt", type=click.Path(path_type=Path), required=False)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    default=None,
    help="Audit the pictures of this folder instead of a checkpoint's.",
)
@click.option(
    "--count", type=click.IntRange(1), default=1000, show_default=True, help="Samples to audit."
)
@click.option("--strict", is_flag=True, help="Exit code 1 unless the verdict is `pass`.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the results  [default: audit/ beside the checkpoint].",
)
@judging.shared
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

    What is too near is told by real people: no slice of anyone else comes nearer to the training
    slices. Planted copies tell whether the audit would have seen a copy at all.
    """
    from mri_gan.pictures import Shows, save_png
    from mri_gan.store.reader import StoreReader

    judging.calm_threads()
    require(
        (ckpt is None) != (images is None),
        "what is to be audited?",
        "give a checkpoint or --images DIR, one of them",
    )
    with StoreReader(data) as store:
        judged = judging.Judged.find(store, ckpt, images, count, drawing)
        facts, sheet = _audit(store, judged, count, drawing.seed, quiet or as_json)
    folder = out or judged.beside / "audit"
    written = judging.write_results(folder, "audit.json", facts)
    save_png(folder / "worst-pairs.png", sheet, Shows.BOTH)
    if as_json:
        options.print_json(facts)
    elif not quiet:
        _print_table(facts)
        click.echo(f"{written}\n{folder / 'worst-pairs.png'}")
    if strict and facts["verdict"] != "pass":
        raise DataError(f"{written}: {facts['sentence']}", f"look at {folder / 'worst-pairs.png'}")


def _audit(
    store: StoreReader, judged: judging.Judged, count: int, seed: int, silent: bool
) -> tuple[dict[str, Any], Any]:
    """What the JSON file says, and the picture of the worst pairs."""
    from mri_gan.evaluate.audit import audit, equalise
    from mri_gan.evaluate.features import fit_cnn, read_fit
    from mri_gan.evaluate.images import reals_of
    from mri_gan.evaluate.verdict import to_json, worst_pairs, worst_view

    train = reals_of(store, ("train",), judged.size, judging.ALL, seed)
    held_out = _held_out(store, judged.size, seed)
    samples = judged.take(count)
    features = fit_cnn(equalise(read_fit(train)))
    total = len(samples) + len(train) + (len(held_out) if held_out else 0)
    with options.Progress(total, " images", silent) as bar:
        result = audit(samples, train, held_out, features, seed, bar.add)
    membership, why = _membership(store, judged, train, held_out, seed)
    facts = {
        "format": FORMAT,
        "version": VERSION,
        **judged.facts,
        "store": judging.describe_store(store),
        "trained_on_this_store": judging.is_trained_on(judged.trained, store),
        "seed": seed,
        **to_json(result, membership, why),
    }
    return facts, worst_pairs(worst_view(result.views), samples, train)


def _held_out(store: StoreReader, size: int, seed: int) -> ImageSet | None:
    """Slices of people that were never trained on, or None where the store has none."""
    from mri_gan.evaluate.images import reals_of

    splits = ("validate", "test")
    if not any(len(store.indices(split)) for split in splits):
        return None
    return reals_of(store, splits, size, judging.ALL, seed)


def _membership(
    store: StoreReader,
    judged: judging.Judged,
    train: ImageSet,
    held_out: ImageSet | None,
    seed: int,
) -> tuple[Membership | None, str]:
    from mri_gan.evaluate.membership import judge_membership

    if judged.trained is None:
        return None, "pictures without a checkpoint"
    return judge_membership(judged.trained, store, train, held_out, seed)


def _print_table(facts: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    counts = facts["counts"]
    table = Table(
        title=f"{counts['samples']} samples against {counts['train']} slices of "
        f"{counts['train_people']} people; {counts['held_out_people']} people held out",
        title_justify="left",
    )
    table.add_column("")
    for view in facts["views"]:
        table.add_column(view["name"], justify="right")
    for name, values in _table_rows(facts["views"]):
        table.add_row(escape(name), *values)
    options.open_console().print(table)
    membership = facts["membership"]
    if membership:
        click.echo(
            f"membership AUC of the critic: {membership['auc']:.3f} "
            f"({membership['low']:.3f} .. {membership['high']:.3f}); 0.5 is a guess"
        )
    else:
        click.echo(f"membership inference left out: {facts['membership_left_out']}")
    if facts["trained_on_this_store"] is False:
        click.echo("warning: the run's data digest is not this store's; is it the right one?")
    for line in filter(None, (facts["warning"], facts["sentence"])):
        click.echo(line)
    click.echo(f"{facts['images_per_s']:,.0f} images/s")


def _table_rows(views: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    kinds = views[0]["recall"]
    return [
        ("nearest sample", [f"{v['distances']['samples']['min']:.4g}" for v in views]),
        ("nearest person (threshold)", [f"{v['threshold']:.4g}" for v in views]),
        ("median sample", [f"{v['distances']['samples']['p50']:.4g}" for v in views]),
        ("median person", [f"{v['distances']['people']['p50']:.4g}" for v in views]),
        ("samples below the threshold", [f"{v['near_share']:.2%}" for v in views]),
        ("may be by chance", [f"{v['near_limit']:.2%}" for v in views]),
        ("samples as near as copies", [f"{v['copies']}" for v in views]),
        *((f"copies found: {k}", [f"{v['recall'][k]:.0%}" for v in views]) for k in kinds),
        ("counts for the verdict", ["yes" if v["trusted"] else "no" for v in views]),
    ]
