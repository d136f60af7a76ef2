"""`mrigan import`: weights that other programs trained, as a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from mri_gan.cli import options
from mri_gan.config import require

EPILOG = """\b
Examples:
  mrigan import network-snapshot-005000.pkl --out brain.pt
  mrigan import 550000.pt --to-channels 1 --out grey.pt
  mrigan import train_step-6.model --size 256 --out old.pt
"""


@click.command("import", epilog=EPILOG)
@click.argument("file", type=options.PATH)
@options.path("--out", "Checkpoint to write, .pt.", required=True)
@options.setting("--to-channels", int, None, "1 makes a three-channel network grey.")
@options.setting(
    "--size",
    int,
    None,
    "Largest size to take of a progressive network  [default: the largest trained].",
)
@click.option("--overwrite", is_flag=True, help="Replace a file at --out.")
@options.as_json
@options.quiet
def command(
    file: Path,
    out: Path,
    to_channels: int | None,
    size: int | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Import a FILE of weights; nothing in it is executed.

    Reads network pickles of the StyleGAN2-ADA and StyleGAN3 repositories (StyleGAN2's
    architecture), and checkpoints of the common PyTorch ports of StyleGAN2 and of the progressive
    StyleGAN. The result can be sampled and trained further.
    """
    from mri_gan.files import make_folder
    from mri_gan.synth.foreign.bring import import_weights, summary

    require(overwrite or not out.exists(), f"{out}: exists", "name another file, or --overwrite")
    require(file.is_file() or not file.exists(), f"{file}: is a folder", "give a file")
    make_folder(out.parent)
    checkpoint, model, notes = import_weights(file, out, to_channels, size)
    said = summary(model, checkpoint.state)
    if as_json:
        options.print_json({"files": [str(out)], "summary": said, "notes": list(notes)})
    if quiet or as_json:
        return
    for note in notes:
        click.echo(f"mrigan: {note}", err=True)
    click.echo(f"{out}: {said}")
