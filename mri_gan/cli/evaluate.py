"""`mrigan evaluate`: figures of quality, each beside what real people score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import judging, options
from mri_gan.config import SPLITS

if TYPE_CHECKING:
    from mri_gan.evaluate.evaluation import Evaluation

EPILOG = """\b
Examples:
  mrigan evaluate RUN --data OASIS_PRE
  mrigan evaluate RUN/ckpt-000600000.pt --data OASIS_PRE --split test --count 2000
"""
FORMAT, VERSION = "mrigan-evaluation", 1


@click.command("evaluate", epilog=EPILOG)
@click.argument("ckpt", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    default="train",
    show_default=True,
    help="The real people to compare with; splits are never mixed.",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Most images of each set; fakes are as many as the reals.",
)
@click.option(
    "--resamples",
    type=click.IntRange(20, 10_000),
    default=100,
    show_default=True,
    help="Bootstrap draws for the intervals.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the results  [default: evaluation/ beside the checkpoint].",
)
@judging.shared
def command(
    ckpt: Path,
    data: Path,
    split: str,
    size: int | None,
    count: int,
    psi: float,
    noise: float,
    seed: int,
    resamples: int,
    out: Path | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare images from a checkpoint or run folder CKPT with the real slices of one split.

    Every figure stands beside its noise floor: the same distance between two halves of the real
    people. docs/evaluation.md says what each can tell and what it cannot.
    """
    from mri_gan.evaluate.evaluation import evaluate, to_json
    from mri_gan.evaluate.images import fakes_of, reals_of
    from mri_gan.evaluate.patches import ssim_family, swd_family
    from mri_gan.store.reader import StoreReader
    from mri_gan.synth.sample import Look

    with StoreReader(data) as store:
        trained, size, alpha = judging.open_fakes(ckpt, store, size, device)
        reals = reals_of(store, (split,), size, count, seed)
        seeds = range(seed * 1_000_000, seed * 1_000_000 + len(reals))
        look = Look(size, alpha, psi, noise)
        fakes = fakes_of(trained, look, seeds, int(store.header["depth"]))
        families = [swd_family(size, len(reals), seed), ssim_family()]
        with options.Progress(len(reals) + len(fakes), " images", quiet or as_json) as bar:
            result = evaluate(reals, fakes, families, resamples, seed, bar.add)
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "model": judging.describe_model(trained),
            "store": {**judging.describe_store(store), "split": split},
            "size": size,
            "resizer": "store",
            "psi": psi,
            "noise": noise,
            "seed": seed,
            "resamples": resamples,
        }
    results = {**facts, **to_json(result)}
    written = judging.write_results(
        out or trained.path.parent / "evaluation", "evaluation.json", results
    )
    if as_json:
        options.print_json(results)
    elif not quiet:
        _print_table(result, results)
        click.echo(written)


def _print_table(result: Evaluation, facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=_title(result, facts), title_justify="left", caption_justify="left")
    for name in ("figure", "value", "95 % interval", "at half", "real halves"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for figure in result.figures:
        table.add_row(
            escape(figure.name),
            f"{figure.value:.4g}",
            f"{figure.low:.4g} .. {figure.high:.4g}",
            f"{figure.at_floor:.4g}",
            f"{figure.floor:.4g}",
        )
    table.caption = "at half: fakes against half of the people; real halves: people against people"
    console = Console(highlight=False)
    console.print(table)
    for left in result.left_out:
        console.print(f"left out: {left.family} needs {left.needs} images, there are {left.has}")
    console.print(f"{result.images_per_s:,.0f} images/s")


def _title(result: Evaluation, facts: dict[str, Any]) -> str:
    return (
        f"{result.fakes} fakes against {result.reals} slices of {result.people} people "
        f"({facts['store']['split']}), {facts['size']} px, {facts['store']['depth']} bits"
    )
