"""`mrigan report`: a run folder as one page."""

from __future__ import annotations

from pathlib import Path

import click

from mri_gan.cli import options

EPILOG = """\b
Examples:
  mrigan report RUN
  mrigan report RUN --out run.html --figures figures
"""


@click.command("report", epilog=EPILOG)
@click.argument("run", type=options.PATH)
@options.path("--out", "HTML file  [default: report.html in the run folder].")
@options.with_people
@options.path("--figures", "Also write charts as SVG and PDF, and the newest samples, here.")
@options.as_json
@options.quiet
def command(
    run: Path,
    out: Path | None,
    with_people: bool,
    figures: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a self-contained HTML page about a RUN folder.

    What is known about copies and quality, samples over time, whatever `mrigan test`, `walk`,
    `evaluate`, `audit` and `utility` left in the folder, a data sheet, a model card, and how to
    reproduce it. The page needs no network and shows no real people unless --with-people is given.
    """
    from mri_gan.charts import save_charts
    from mri_gan.files import make_folder
    from mri_gan.report.facts import copy_figures, read_run
    from mri_gan.report.page import build_report
    from mri_gan.report.sections import curves

    facts = read_run(run, with_people)
    page, charts = out or run / "report.html", list[Path]()
    options.write_page(page, build_report(facts), quiet or as_json)
    if figures is not None:
        make_folder(figures)
        charts = save_charts(figures, curves(facts).charts)
        charts += copy_figures(facts, figures)
    options.report_files([page, *charts] if as_json else charts, as_json, quiet)
