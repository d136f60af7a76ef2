"""`mrigan explore`: a page on this machine to move what a generator takes."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from mri_gan.cli import options
from mri_gan.config import require
from mri_gan.errors import Interrupted, Stopped

EPILOG = """\b
Examples:
  mrigan explore RUN
  mrigan explore RUN --port 8000 --out liked      # remotely: ssh -L 8000:localhost:8000 SERVER
"""


@click.command("explore", epilog=EPILOG)
@click.argument("ckpt", type=options.PATH)
@options.path("--out", "Folder of the images you save  [default: explored, beside the checkpoint].")
@options.setting(
    "--method",
    click.Choice(["sefa", "pca"]),
    "sefa",
    "How directions are found, as in `mrigan directions`.",
)
@options.setting("--count", click.IntRange(0, 50), 6, "Number of directions.")
@options.setting(
    "--port",
    click.IntRange(0, 65535),
    0,
    "Port of this machine  [default: a free one].",
)
@click.option("--open", "open_", is_flag=True, help="Open the page in your browser, too.")
@options.device
def command(
    ckpt: Path, out: Path | None, method: str, count: int, port: int, open_: bool, device: str
) -> None:
    """Serve a page for a checkpoint or run folder CKPT: move a control, see the slice.

    Seeds, truncation, noise, style mixing, directions, labels and slice position, as far as the
    model has them. The page is for this machine only; keep the address to yourself. Ctrl-C ends it.
    """
    from mri_gan.explore.scene import Explorer
    from mri_gan.explore.server import Server
    from mri_gan.synth.sample import load_trained

    require(out is None or not out.is_file(), f"--out {out}: is a file", "give a folder")
    trained = load_trained(ckpt, device)
    server = Server(Explorer(trained, method, count), out or trained.path.parent / "explored", port)
    with server:
        try:
            click.echo(f"{server.url} (Ctrl-C ends it)")
            if open_:
                click.launch(server.url)
            server.serve_forever()
        except Interrupted as stopped:
            if stopped.signum != signal.SIGINT:  # Ctrl-C is how it ends
                raise Stopped("stopped", "", stopped.signum) from None
