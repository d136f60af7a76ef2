"""`mrigan compare`: several run folders on one page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from mri_gan.cli import options
from mri_gan.config import require

EPILOG = """\b
Example:
  mrigan compare RUN_1 RUN_2 --out comparison.html
"""


@click.command("compare", epilog=EPILOG)
@click.argument("runs", nargs=-1, required=True, type=options.PATH)
@options.setting("--out", options.PATH, Path("comparison.html"), "The HTML file.")
@options.with_people
@options.as_json
@options.quiet
def command(
    runs: tuple[Path, ...], out: Path, with_people: bool, as_json: bool, quiet: bool
) -> None:
    """Write a self-contained HTML page that shows several RUN folders side by side.

    Each run keeps its own split, people, counts and noise floor.
    """
    from mri_gan.report.comparison import build_comparison, say_sizes
    from mri_gan.report.facts import read_run

    require(len(runs) > 1, "one run cannot be compared", "give two or more")
    folders = Counter(run.resolve() for run in runs)
    names = Counter(folder.name for folder in folders)
    for run in runs:
        once = folders[run.resolve()] == 1
        require(once, f"{run}: is given more than once", "name every run once")
        alone = names[run.resolve().name] == 1
        require(alone, f"{run}: has the name of another of the runs", "rename one")
    facts = [read_run(run, with_people) for run in runs]
    options.write_page(out, build_comparison(facts), quiet or as_json)
    for said in say_sizes(facts):
        click.echo(f"warning: {said}", err=True)
    if as_json:
        options.print_json({"files": [str(out)], "runs": names})
