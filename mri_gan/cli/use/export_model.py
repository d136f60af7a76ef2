"""`mrigan export-model`: a generator for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from mri_gan.cli import options
from mri_gan.cli.use import drawing

EPILOG = """\b
Examples:
  mrigan export-model RUN --format torchscript --out model
  mrigan export-model RUN --format medigan --size 64 --psi 1 --out package
"""

# Listed here and compared by a test, so that help does not import torch.
FORMATS = ("safetensors", "torchscript", "torch-export", "onnx", "medigan", "monai")


@click.command("export-model", epilog=EPILOG)
@click.argument("ckpt", type=options.PATH)
@options.setting(
    "--format", click.Choice(FORMATS), None, "Format to write.", name="format_", required=True
)
@options.path("--out", "Folder.", required=True)
@drawing.shared()
@options.as_json
@options.quiet
def command(
    ckpt: Path,
    format_: str,
    out: Path,
    how: drawing.How,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the generator of a checkpoint or run folder CKPT for other programs, with a model card.

    safetensors keeps the weights; the others draw an image for each z, with size, truncation, noise
    and condition fixed. What was written is run and compared with the network before it is kept.
    """
    from mri_gan.synth.export_model import write_model

    hand = how.load(ckpt)
    written = list(write_model(hand, format_, out))
    if hand.trained.conditions and not (quiet or as_json):
        click.echo(f"every image is of {hand.words([0])[0]}: choose others with --condition")
    options.report_files(written, as_json, quiet, generator_digest=hand.trained.digest)
