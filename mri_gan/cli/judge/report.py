"""`mrigan report`: a run folder as one page."""

from __future__ import annotations

from pathlib import Path

import click

from mri_gan.cli import options

EPILOG = """\b
Examples:
  mrigan report RUN
  mrigan report RUN --out run.html
"""


@click.command("report", epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="The HTML file  [default: report.html in the run folder].",
)
@options.quiet
def command(run: Path, out: Path | None, quiet: bool) -> None:
    """Write a self-contained HTML page about a RUN folder.

    Data sheet, curves, samples over time, whatever `mrigan test`, `walk`, `evaluate`, `audit` and
    `utility` left in the folder, and how to reproduce it. The page needs no network. It shows real
    training slices, so it is as confidential as they are.
    """
    from mri_gan.report.facts import read_run
    from mri_gan.report.page import build_report

    options.write_page(out or run / "report.html", build_report(read_run(run)), quiet)
