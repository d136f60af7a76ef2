"""`mrigan generate`: checkpoint and seeds in, image files out."""

from __future__ import annotations

import time
from pathlib import Path

import click

from mri_gan.cli import options
from mri_gan.cli.use import drawing
from mri_gan.config import require

EPILOG = """\b
Examples:
  mrigan generate RUN --seeds 0-999 --out fakes
  mrigan generate RUN --seeds 0-99 --format nifti --pixel-mm 1 --out volumes
  mrigan generate RUN --seeds 7 --format zip --depth 16 --psi 1 --out seven.zip
  mrigan generate RUN --seeds 0-99 --condition group=CN,age=70 --out controls
"""

SEEDS_OR_STYLES = "give --seeds 0-999 or --styles projection.npz"
# Listed here and compared by a test, so that help does not import torch.
FORMATS = ("png", "zip", "nifti")


@click.command("generate", epilog=EPILOG)
@click.argument("ckpt", type=click.Path(path_type=Path))
@click.option("--seeds", default=None, help="Seeds: numbers and ranges such as 0-999,2000.")
@drawing.styles
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder, or file for zip; nothing else is written.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="png",
    show_default=True,
    help="One PNG or NIfTI per seed, or one zip of PNGs.",
)
@click.option(
    "--depth",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    help="Bits per pixel.",
)
@drawing.size
@drawing.psi
@drawing.noise
@drawing.condition
@click.option(
    "--pixel-mm",
    type=float,
    default=None,
    help="Pixel size for NIfTI  [default: that of the training slices, where known].",
)
@drawing.device
@options.as_json
@options.quiet
def command(
    ckpt: Path,
    seeds: str | None,
    styles: tuple[Path, ...],
    out: Path,
    format_: str,
    depth: str,
    size: int | None,
    psi: float,
    noise: float,
    condition: str | None,
    pixel_mm: float | None,
    device: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw one image for each seed from a checkpoint or run folder CKPT.

    A seed gives the same image whatever else is drawn with it. Run the same command again to
    continue, or with more seeds to add some. Every file is marked as synthetic in its metadata.
    """
    from mri_gan.files import stop_on_signal
    from mri_gan.synth.figures import Drawing
    from mri_gan.synth.generate import GenerateConfig, generate, pixel_size
    from mri_gan.synth.projected import write_projections
    from mri_gan.synth.sample import describe_seeds, parse_seeds

    require(bool(seeds) != bool(styles), "neither --seeds nor --styles, or both", SEEDS_OR_STYLES)
    if styles:
        require(format_ == "png", f"--format {format_} with --styles", "only png is possible")
        trained, look = drawing.load(ckpt, size, 1.0, noise, device)
        written = write_projections(Drawing(trained, look, condition), styles, out, int(depth))
        if as_json:
            options.report_files(written, as_json, quiet, generator_digest=trained.digest)
        elif not quiet:
            click.echo(f"{out}: {len(written):,} images that look like what was projected")
        return
    wanted = parse_seeds(seeds or "")
    trained, look = drawing.load(ckpt, size, psi, noise, device)
    config = GenerateConfig(
        look.size,
        look.alpha,
        psi,
        noise,
        condition,
        format_,
        int(depth),
        pixel_mm or pixel_size(trained, look.size),
        look.drawn_px,
    )
    start = time.perf_counter()
    bar = options.Progress(len(wanted), " images", quiet or as_json)
    with stop_on_signal() as stop, bar:
        new = generate(trained, config, wanted, out, stop, bar.show)
    seconds = time.perf_counter() - start
    if as_json:
        options.print_json(
            {
                "out": str(out),
                "seeds": describe_seeds(wanted),
                "images": len(wanted),
                "new": new,
                "generator_digest": trained.digest,
                "seconds": round(seconds, 3),
            }
        )
    elif not quiet:
        rate = f", {new / seconds:,.1f} images/s" if new else ""
        click.echo(f"{out}: {len(wanted):,} synthetic images, {new:,} of them new{rate}")
