"""`mrigan evaluate`: figures of quality, each beside what real people score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mri_gan.cli import options
from mri_gan.cli.judge import judging
from mri_gan.config import SPLITS
from mri_gan.values import say_number

if TYPE_CHECKING:
    from rich.table import Table

    from mri_gan.evaluate.evaluation import Evaluation
    from mri_gan.store.reader import StoreReader


EPILOG = """\b
Examples:
  mrigan evaluate RUN --data OASIS_PRE
  mrigan evaluate RUN/ckpt-000600000.pt --data OASIS_PRE --split test --fakes 2000
  mrigan evaluate --images other-model/ --data OASIS_PRE --json
"""


def parse_features(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    """Names with commas between them, or `none`."""
    from mri_gan.config import FEATURE_NAMES

    names = tuple(name for name in value.split(",") if name not in ("", "none"))
    unknown = sorted(set(names) - set(FEATURE_NAMES))
    if unknown:
        raise click.BadParameter(
            f"unknown features {', '.join(unknown)}; choose from {', '.join(FEATURE_NAMES)}, none"
        )
    return names


@click.command("evaluate", epilog=EPILOG)
@click.argument("ckpt", type=options.PATH, required=False)
@options.path("--images", "Judge the pictures of this folder instead of a checkpoint's.")
@options.setting(
    "--split",
    click.Choice(SPLITS),
    "train",
    "The real people to compare with; splits are never mixed.",
)
@options.setting("--count", click.IntRange(1), 10_000, "Largest number of images in each set.")
@options.setting(
    "--fakes", click.IntRange(1), None, "Images to draw  [default: as many as the reals]."
)
@options.setting(
    "--features",
    str,
    "pca,random-cnn,texture",
    "Features to compare; also efficientnet-lite0, efficientnet-lite2 (slow), or none.",
    callback=parse_features,
)
@options.path(
    "--features-file",
    "A TorchScript network as further features. It is a program: use only files you trust.",
    multiple=True,
)
@options.setting(
    "--resamples", click.IntRange(20, 10_000), 100, "Bootstrap draws for the intervals."
)
@options.path(
    "--out",
    "Folder of the results  [default: evaluation/ beside the checkpoint].",
    callback=options.check_out,
)
@judging.trained_on
@judging.shared(psi=1.0)
def command(
    ckpt: Path | None,
    data: Path,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    **choices: Any,
) -> None:
    """Compare images from a checkpoint or run folder CKPT with the real slices of one split.

    Every figure stands beside its noise floor: the same distance between two halves of the real
    people. docs/evaluation.md explains what each can and cannot show.
    """
    from mri_gan.charts import save_figures
    from mri_gan.evaluate.evaluation import save_map
    from mri_gan.store.reader import StoreReader

    judging.require_one(ckpt, choices["images"])
    with StoreReader(data) as store:
        result, folder, both = _evaluate(store, ckpt, out, quiet, **choices)
    facts = result.to_dict()
    written = judging.write_results(folder, "evaluation.json", facts)
    pictures = [folder / "evaluation.png", folder / "evaluation.pdf"]
    for picture in pictures:
        save_figures(picture, result.figures)
    if result.points:
        maps = [folder / "map.png", folder / "map.pdf"]
        save_map(maps, result.points)
        pictures += maps
    if as_json:
        options.print_json(facts)
    elif not quiet:
        print_table(result, facts)
        judging.print_both(both)
        click.echo("\n".join(map(str, [written, *pictures])))


def _evaluate(
    store: StoreReader,
    ckpt: Path | None,
    out: Path | None,
    quiet: bool,
    *,
    images: Path | None,
    split: str,
    count: int,
    fakes: int | None,
    features: tuple[str, ...],
    features_file: tuple[Path, ...],
    resamples: int,
    trained_on: Path | None,
    drawing: judging.Drawing,
) -> tuple[Evaluation, Path, list[str] | None]:
    """The figures, the folder to write into, and people in both."""
    from mri_gan.evaluate.evaluation import (
        build_families,
        build_features,
        compare_both,
        describe_both,
        read_people,
    )
    from mri_gan.evaluate.features import load_torchscript
    from mri_gan.library.quality import describe_evaluation, refuse_trained_on

    seed, device = drawing.seed, drawing.device
    more = [load_torchscript(path, device) for path in features_file]
    judged = judging.find_judged(store, ckpt, images, count, drawing)
    refuse_trained_on(judged, features)
    folder = judging.find_folder(out, judged, "evaluation", store)
    reals, apart = read_people(store, split, judged.size, count, seed)
    drawn = judged.take_images(fakes or len(reals))
    built = build_features(features, apart, device, more)
    families = build_families(judged.size, max(len(reals), len(drawn)), built, seed)
    both = judging.people_in_both(judged.trained, store, (split,), trained_on)
    with options.Progress(len(reals) + len(drawn), " images", quiet) as bar:
        described = describe_both(reals, drawn, families, seed, bar.add)
    with options.Progress(len(described.families), " kinds of figures", quiet, even=False) as bar:
        result = compare_both(described, resamples, seed, bar.add)
    result.facts = describe_evaluation(
        store, judged, split, reals, apart, resamples, seed, features_file, both
    )
    return result, folder, both


LEGEND = (
    "at half: synthetic against half of the people; real halves: people against people. within: as "
    "people differ among themselves; outside: worse; too near: nearer than people are to each "
    "other, run audit; more upright: than people are, no sign of copies; not known: with so few "
    "people, even the worst would be within"
)


def print_table(result: Evaluation, facts: dict[str, Any]) -> None:
    """The figures, and what to know about them."""
    from mri_gan.report.judging import QUALITY, say_left, sum_up

    console = options.open_console()
    table = _build_table(result, facts, with_interval=True)
    wide = console.options.update(max_width=10_000)
    if console.measure(table, options=wide).maximum > console.width:
        table = _build_table(result, facts, with_interval=False)
    console.print(table)
    figures = [vars(figure) for figure in result.figures]
    click.echo(f"{QUALITY} {sum_up(figures, len(result.left_out))}")
    if facts["warning"]:
        click.echo(f"warning: {facts['warning']}")
    for left in result.left_out:
        click.echo(f"left out: {say_left(vars(left))}")
    described = (result.reals + result.fakes) / (result.real_s + result.fake_s)
    click.echo(
        f"{described:,.0f} images/s drawn or read, and described; "
        f"{result.images_per_s:,.0f} images/s with all comparisons"
    )


def _build_table(result: Evaluation, facts: dict[str, Any], with_interval: bool) -> Table:
    """The figures; in a narrow terminal without the interval of the value, which the file has."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from mri_gan.report.judging import say_compared

    table = Table(
        title=f"{say_compared(facts)}, {facts['store']['depth']} bits"
        + judging.say_channel(facts["store"]),
        caption=LEGEND if with_interval else f"{LEGEND}. 95% intervals are in the file",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("figure", overflow="fold")  # never cut
    for name in ("value", *["95% interval"] * with_interval, "at half", "real\nhalves"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for figure in result.figures:
        table.add_row(
            escape(f"{figure.name} ({figure.unit})" if figure.unit else figure.name),
            _short(figure.value),
            *[f"{_short(figure.low)} .. {_short(figure.high)}"] * with_interval,
            _short(figure.at_floor),
            _short(figure.floor),
            figure.verdict,
        )
    return table


def _short(value: float) -> str:
    """Three digits, and 0 for what is nothing but rounding; in words where it is not known."""
    if value != value:
        return "too few\nimages"
    return say_number(value if abs(value) >= 1e-6 else 0.0)
