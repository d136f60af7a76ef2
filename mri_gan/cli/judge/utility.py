"""`mrigan utility`: what a network learns from synthetic slices, measured on real people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.judge import judging

if TYPE_CHECKING:
    from mri_gan.store.reader import StoreReader


EPILOG = """\b
Examples:
  mrigan utility RUN --data OASIS_PRE
  mrigan utility RUN --data OASIS_MASKS --task mask --count 2000 --json
"""
FORMAT, VERSION = "mrigan-utility", 1


@click.command("utility", epilog=EPILOG)
@click.argument("ckpt", type=options.PATH)
@options.setting(
    "--task",
    click.Choice(("auto", "position", "mask")),
    "auto",
    "What to learn: the position of a slice, or its tissues where store and model have masks.",
)
@options.setting(
    "--count", click.IntRange(1), 2000, "Largest number of training slices of each kind."
)
@options.setting(
    "--steps", click.IntRange(1, 100_000), 400, "Training steps of each of the nine small networks."
)
@options.path(
    "--out",
    "Folder of the results  [default: utility/ beside the checkpoint].",
    callback=options.check_out,
)
@judging.trained_on
@judging.shared(psi=1.0)
def command(
    ckpt: Path,
    data: Path,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Train small networks on slices of CKPT and on real ones; test all on held-out people.

    The scores show how much of what real slices teach is also learned from synthetic ones. Takes
    minutes on a CPU, at 64 px or less.
    """
    from mri_gan.store.reader import StoreReader

    with StoreReader(data) as store:
        facts, beside, both = _compare(store, ckpt, quiet, **choices)
    written = judging.write_results(out or beside / "utility", "utility.json", facts)
    if as_json:
        options.print_json(facts)
    elif not quiet:
        _print_table(facts)
        judging.print_both(both)
        click.echo(written)


def _compare(
    store: StoreReader,
    ckpt: Path,
    quiet: bool,
    *,
    task: str,
    count: int,
    steps: int,
    trained_on: Path | None,
    drawing: judging.Drawing,
) -> tuple[dict[str, Any], Path, list[str] | None]:
    """What the JSON file says, the folder to write beside, and people in both stores."""
    from mri_gan.evaluate import utility
    from mri_gan.evaluate.utility import NETWORKS, compare_training, to_json
    from mri_gan.library.quality import ALL, SEEDS_APART, describe_store, say_both
    from mri_gan.train.data import was_trained_on

    judged = judging.find_judged(store, ckpt, None, 0, drawing)
    trained, look, conditions = judged.generator
    size, seed, held_out = judged.size, drawing.seed, utility.HELD_OUT
    right = was_trained_on(trained, store)
    both = judging.people_in_both(trained, store, held_out, trained_on)
    name = utility.pick_task(store, trained, task)
    real = utility.read_examples(store, ("train",), size, name, count, seed)
    test = utility.read_examples(store, held_out, size, name, ALL, seed)
    values = utility.mask_values(store, size) if name == "mask" else None
    first, depth = seed * SEEDS_APART, int(store.header["depth"])
    with options.Progress(len(real), " slices drawn", quiet) as bar:
        seeds = range(first, first + len(real))
        drawn, labels = utility.draw_examples(
            trained, look, seeds, depth, conditions, values, bar.add
        )
    with options.Progress(3 * NETWORKS * steps, " steps", quiet) as bar:
        classes = 2 if values is None else len(values)
        result = compare_training(name, real, drawn, labels, test, classes, seed, steps, bar.add)
    facts = {
        "format": FORMAT,
        "version": VERSION,
        **judged.facts,
        "store": {**describe_store(store), "test_splits": list(held_out)},
        "trained_on_this_store": right,
        "people_in_both": None if both is None else len(both),
        "warning": say_both(both, right),
        "seed": seed,
        "steps": steps,
        **to_json(result),
    }
    return facts, judged.beside, both


def _print_table(facts: dict[str, Any]) -> None:
    from mri_gan.report.usefulness import ROWS, say_task, say_taught

    scores = [(name, facts[key]) for name, key in ROWS]
    rows = [
        (name, f"{score['value']:.4f}", f"{score['low']:.4f} .. {score['high']:.4f}")
        for name, score in scores
    ]
    rows.append(("nothing (a guess)", f"{facts['guess']:.4f}", ""))
    caption = f"score: {facts['measure']}; labels of synthetic slices: {facts['labels']}"
    judging.print_table(say_task(facts), ("trained on", "score", "95% interval"), rows, caption)
    if facts["warning"]:
        click.echo(f"warning: {facts['warning']}")
    click.echo(say_taught(facts))
