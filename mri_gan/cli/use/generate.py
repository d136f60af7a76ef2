"""`mrigan generate`: checkpoint and seeds in, image files out."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mri_gan.cli import options
from mri_gan.cli.use import drawing
from mri_gan.config import require
from mri_gan.values import say_count

if TYPE_CHECKING:
    from mri_gan.synth.figures import Drawing

EPILOG = """\b
Examples:
  mrigan generate RUN --seeds 0-999 --out fakes
  mrigan generate RUN --seeds 0-99 --format nifti --out volumes
  mrigan generate RUN --seeds 7 --format zip --depth 16 --psi 1 --out seven.zip
  mrigan generate RUN --seeds 0-99 --condition group=CN,age=70 --out controls
"""

SEEDS_OR_STYLES = "give --seeds 0-999 or --styles projection.npz"
# Listed here and compared by a test, so that help does not import torch.
FORMATS = ("png", "zip", "nifti")


@click.command("generate", epilog=EPILOG)
@click.argument("ckpt", type=options.PATH)
@options.setting("--seeds", str, None, "Seeds: numbers and ranges such as 0-999,2000.")
@drawing.styles
@options.path("--out", "Folder to write to; for zip, the file.", required=True)
@options.setting(
    "--format",
    click.Choice(FORMATS),
    "png",
    "One PNG or NIfTI per seed, or one zip of PNGs.",
    name="format_",
)
@options.setting("--depth", click.Choice(["8", "16"]), "8", "Bits per pixel.")
@drawing.shared()
@options.setting(
    "--pixel-mm",
    float,
    None,
    "Pixel size for NIfTI  [default: that of the training slices, where known].",
)
@options.device
@options.as_json
@options.quiet
def command(
    ckpt: Path,
    seeds: str | None,
    styles: tuple[Path, ...],
    out: Path,
    format_: str,
    depth: str,
    how: drawing.How,
    pixel_mm: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw one image for each seed from a checkpoint or run folder CKPT.

    A seed gives the same image whatever else is drawn with it. Run the same command again to
    continue, or with more seeds to add some. Every file is marked as synthetic in its metadata.
    """
    from mri_gan.files import stop_on_signal
    from mri_gan.synth.generate import GenerateConfig, generate
    from mri_gan.synth.sample import describe_seeds, parse_seeds

    drawing.require_folder(out)
    both = "--seeds and --styles" if seeds else "neither --seeds nor --styles"
    require(bool(seeds) != bool(styles), both, SEEDS_OR_STYLES)
    if styles:
        require(format_ == "png", f"--format {format_} with --styles", "only png is possible")
        _write_projections(how.load(ckpt, psi=1.0), styles, out, int(depth), as_json, quiet)
        return
    wanted = parse_seeds(seeds or "")
    hand = how.load(ckpt)
    trained, look = hand.trained, hand.look
    known_mm = trained.pixel_mm_at(look.size)
    if pixel_mm and known_mm and not math.isclose(pixel_mm, known_mm, rel_tol=0.01) and not quiet:
        click.echo(
            f"warning: --pixel-mm {pixel_mm:g}: training slices had {known_mm:.4g} mm at this size",
            err=True,
        )
    pixel_mm = pixel_mm or known_mm
    config = GenerateConfig(look, how.condition, format_, int(depth), pixel_mm)
    start = time.perf_counter()
    bar = options.Progress(len(wanted), " images", quiet)
    with stop_on_signal() as stop, bar:
        new = generate(trained, config, wanted, out, stop, bar.show)
    seconds = time.perf_counter() - start
    if as_json:
        facts = {"images": len(wanted), "new": new, "generator_digest": trained.digest}
        said = {"out": str(out), "seeds": describe_seeds(wanted), **facts}
        options.print_json({**said, "seconds": round(seconds, 3)})
    elif not quiet:
        rate = f", {new / seconds:,.1f} images/s" if new else ""
        click.echo(f"{out}: {say_count(len(wanted), 'synthetic image')}, {new:,} new{rate}")


def _write_projections(
    hand: Drawing, styles: tuple[Path, ...], out: Path, depth: int, as_json: bool, quiet: bool
) -> None:
    from mri_gan.synth.project import write_projections

    written = write_projections(hand, styles, out, depth)
    if as_json:
        options.report_files(written, as_json, quiet, generator_digest=hand.trained.digest)
    elif not quiet:
        click.echo(f"{out}: {say_count(len(written), 'image')} from projected styles")
