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
@click.argument("ckpt", type=click.Path(path_type=Path))
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), required=True, help="Format to write."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder.")
@drawing.size
@drawing.psi
@drawing.noise
@drawing.condition
@options.as_json
@options.quiet
def command(
    ckpt: Path,
    format_: str,
    out: Path,
    size: int | None,
    psi: float,
    noise: float,
    condition: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the generator of a checkpoint or run folder CKPT for other programs, with a model card.

    safetensors keeps the weights; the others draw an image for each z, with size, truncation, noise
    and condition fixed. What was written is run and compared with the network before it is kept.
    """
    from mri_gan.synth.export_model import write_model
    from mri_gan.synth.figures import Drawing

    trained, look = drawing.load(ckpt, size, psi, noise, "cpu")
    written = list(write_model(Drawing(trained, look, condition), format_, out))
    options.report_files(written, as_json, quiet, generator_digest=trained.digest)
