"""`mrigan test`: checkpoint in, image grids out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mri_gan.cli import options
from mri_gan.cli.use import drawing
from mri_gan.config import require

if TYPE_CHECKING:
    from PIL import Image

    from mri_gan.synth.figures import Drawing


EPILOG = """\b
Examples:
  mrigan test RUN --size 64
  mrigan test RUN/ckpt-000600000.pt --size 64 --seed 7 --psi 1 --out pictures
  mrigan test RUN --figure all --data OASIS_PRE --out pictures
"""

FIGURES = ("samples", "mixing", "matrix", "truncation", "strip", "noise")
NEED_STYLES = {"mixing", "matrix", "truncation"}
DEFAULT = ("samples", "mixing")


@click.command("test", epilog=EPILOG)
@click.argument("ckpt", type=options.PATH)
@drawing.shared()
@options.setting("--rows", click.IntRange(1, 64), 4, "Rows of the sheet.")
@options.setting("--cols", click.IntRange(1, 64), 8, "Columns of the sheet.")
@options.setting("--crossover", int, None, "Layers taken from the coarse source  [default: 3/4].")
@options.setting(
    "--figure",
    click.Choice([*FIGURES, "all"]),
    None,
    "Pictures to draw; may be repeated  [default: samples, and mixing where there are styles].",
    name="figures",
    multiple=True,
)
@options.path("--data", "Store; shows the nearest training slice beside each sample.")
@drawing.styles
@options.seed
@options.path("--out", "Folder of the pictures  [default: beside the checkpoint].")
@options.device
@options.as_json
@options.quiet
def command(
    ckpt: Path,
    how: drawing.How,
    rows: int,
    cols: int,
    crossover: int | None,
    figures: tuple[str, ...],
    data: Path | None,
    styles: tuple[Path, ...],
    seed: int,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw picture sheets from a checkpoint or run folder CKPT.

    samples: one picture per seed. mixing: structure from the top row, detail from the left
    column. matrix: coarse, middle or fine styles of the row's picture in the column's. truncation:
    psi from 0 up. strip: from one picture to another. noise: without, with, and what it changes.
    Only stylegan and stylegan2 have mixing, matrix, truncation and noise.
    With --styles: samples and mixing of projected images, in files called projected.
    """
    from mri_gan.files import make_folder
    from mri_gan.pictures import Shows, save_png

    drawing.require_folder(out)
    hand = how.load(ckpt)
    trained, look = hand.trained, hand.look
    layers = trained.generator.num_layers(look.px)
    require(
        crossover is None or 0 < crossover < layers,
        f"--crossover {crossover}",
        f"{look.px} px has {layers} layers: give 1 to {layers - 1}",
    )
    seeds = range(seed * 1000, seed * 1000 + rows * cols)  # neighbours share no picture
    folder = out or trained.path.parent
    make_folder(folder)
    if not (quiet or as_json):
        click.echo(f"from {trained.path} ({trained.nimg / 1000:g} kimg)")
    if styles:
        options.report_files(_draw_styles(hand, styles, crossover, folder), as_json, quiet)
        return
    wanted = FIGURES if "all" in figures else (figures or DEFAULT)
    lacking = _find_lacking(hand, wanted)
    for reason, names in lacking.items():
        require(not set(names) & set(figures), f"--figure {names[0]}", reason)
        if figures and not quiet:  # not of pictures that nobody asked for
            click.echo(f"left out: {', '.join(names)} ({reason})", err=True)
    without = {*itertools.chain(*lacking.values())}
    names = [*(n for n in wanted if n not in without), *(["nearest"] if data else [])]
    drawn = {name: _draw(name, hand, seeds, rows, cols, crossover, data) for name in names}
    paths = {folder / f"{name}-{look.size}px.png": name for name in drawn}
    for path, name in paths.items():
        shows = Shows.BOTH if name == "nearest" else Shows.SYNTHETIC
        save_png(path, drawn[name], shows, trained.nimg)
    options.report_files(list(paths), as_json, quiet)


def _draw_styles(
    hand: Drawing, styles: tuple[Path, ...], crossover: int | None, folder: Path
) -> list[Path]:
    """The two sheets of projected images, as files."""
    from mri_gan.pictures import Shows, save_png
    from mri_gan.synth.project import draw_projections, load_projection, mix_projections

    found = [load_projection(path, hand) for path in styles]
    sheets = {"projected": hand.sheet(draw_projections(hand, found), min(len(found), 8))}
    if hand.trained.generator.has_styles:
        sheets["projected-mixing"] = mix_projections(hand, found, crossover)
    paths = {folder / f"{name}-{hand.look.size}px.png": sheet for name, sheet in sheets.items()}
    for path, sheet in paths.items():
        save_png(path, sheet, Shows.LIKENESS, hand.trained.nimg)
    return list(paths)


def _find_lacking(hand: Drawing, wanted: Sequence[str]) -> dict[str, list[str]]:
    """The figures that a network cannot have, by the reason."""
    from mri_gan.synth.sample import only_styled

    net, lacking = hand.trained.generator, dict[str, list[str]]()
    for name in wanted:
        without_styles = name in NEED_STYLES and not net.has_styles
        if without_styles or (name == "noise" and not hand.has_noise):
            what = "have styles" if without_styles else "add noise"
            lacking.setdefault(only_styled(what, hand.trained), []).append(name)
    return lacking


def _draw(
    name: str,
    hand: Drawing,
    seeds: range,
    rows: int,
    cols: int,
    crossover: int | None,
    data: Path | None,
) -> Image.Image:
    """One picture by its name."""
    from mri_gan.synth import figures

    few = seeds[: min(rows, 4)]
    donors = range(seeds[0] + 500, seeds[0] + 500 + rows)
    if name == "nearest" and data is not None:
        from mri_gan.store.reader import StoreReader

        with StoreReader(data) as store:
            return figures.nearest_slices(hand, seeds[: 4 * rows], store)
    drawn: dict[str, Callable[[], Image.Image]] = {
        "samples": lambda: figures.sample_sheet(hand, seeds, cols),
        "mixing": lambda: figures.mixing_sheet(hand, seeds[:cols], donors, crossover),
        "matrix": lambda: figures.mixing_matrix(hand, seeds[:cols], donors[:3]),
        "truncation": lambda: figures.truncation_sweep(hand, few),
        "strip": lambda: figures.interpolation_strip(
            hand, list(zip(few, donors, strict=False)), max(cols, 3)
        ),
        "noise": lambda: figures.noise_effect(hand, few),
    }
    return drawn[name]()
