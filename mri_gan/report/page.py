"""One self-contained HTML page about a run, or about several runs side by side."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence

import jinja2
from markupsafe import Markup

from mri_gan import __version__
from mri_gan.report import judging, sections
from mri_gan.report.charts import Curve, draw_chart
from mri_gan.report.facts import RunFacts
from mri_gan.report.judging import figure_row
from mri_gan.report.sections import (
    CHARTS,
    Chart,
    Section,
    Shown,
    Table,
    changed_settings,
    embed,
    kimg,
    metric_points,
    plain,
    words,
)

# Sections to one self-contained HTML page


def build_report(run: RunFacts) -> str:
    """The page of one run."""
    shown = [
        sections.grids(run),
        sections.drawings(run),
        judging.evaluation(run),
        judging.audit(run),
        judging.utility(run),
        sections.curves(run),
        sections.data_sheet(run),
        sections.reproduction(run),
    ]
    return render("report.html", f"Training run {run.folder.resolve().name}", shown)


def render(template: str, title: str, sections: Sequence[Section]) -> str:
    """A template filled; every value is escaped, and the page may load nothing."""
    return (
        _templates()
        .get_template(template)
        .render(
            title=title,
            version=__version__,
            sections=sections,
            contents=[(section.id, section.name) for section in sections],
        )
    )


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mri_gan.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["frames_json"] = frames_json
    return environment


def frames_json(frames: Sequence[Shown]) -> Markup:
    """Frames for the slider, safe inside a script element."""
    text = json.dumps([dataclasses.asdict(frame) for frame in frames])
    return Markup(text.replace("<", "\\u003c"))


# Several runs side by side: what differs, how they went, and what they draw

LAST_LINES = 30  # of the metrics, for the means at the end


def build_comparison(runs: Sequence[RunFacts]) -> str:
    """The page of several runs; their folders' names must differ."""
    names = [run.folder.resolve().name for run in runs]
    sections = [differing(runs, names), ends(runs, names), last_grids(runs, names)]
    sections += [overlaid(runs, names), figures(runs, names)]
    return render("report.html", f"{len(runs)} runs side by side", sections)


def differing(runs: Sequence[RunFacts], names: Sequence[str]) -> Section:
    """The settings that are not the same everywhere."""
    section = Section("settings", "What differs")
    rows = [
        [words(name), *(plain(run.settings.get(name)) for run in runs)]
        for name in changed_settings(runs)
    ]
    digests = [run.config.get("data_digest", "") for run in runs]
    if len(set(digests)) > 1:
        rows.append(["training data", *digests])
        section.notes.append("They were trained on different data: their figures do not compare.")
    if rows:
        section.tables.append(Table("Settings", rows, ("setting", *names)))
    else:
        section.notes.append("Nothing: the settings and the data are the same.")
    return section


def ends(runs: Sequence[RunFacts], names: Sequence[str]) -> Section:
    """Where each run stands, and the means of its last metrics."""
    rows = [
        ["real images shown", *(kimg(run.nimg) for run in runs)],
        ["resolution", *(f"{_last(run, 'resolution')} px" for run in runs)],
    ]
    for title, series in CHARTS:
        for name in series:
            rows.append([f"{title}: {name}", *(plain(_mean_at_end(run, name)) for run in runs)])
    table = Table(f"Means of the last {LAST_LINES} lines of the metrics", rows, ("", *names))
    return Section("ends", "Where they stand", tables=[table])


def _last(run: RunFacts, name: str) -> object:
    return run.metrics[-1].get(name, "") if run.metrics else ""


def _mean_at_end(run: RunFacts, name: str) -> float | None:
    values = [line[name] for line in run.metrics[-LAST_LINES:] if line.get(name) is not None]
    return sum(values) / len(values) if values else None


def last_grids(runs: Sequence[RunFacts], names: Sequence[str]) -> Section:
    """The newest samples of each."""
    section = Section("grids", "Newest synthetic samples")
    for run, name in zip(runs, names, strict=True):
        if run.grids:
            grid = run.grids[-1]
            label = f"{name}: {kimg(grid.nimg)}, {grid.size} px"
            section.pictures.append(embed(grid.path, f"Synthetic slices of {label}", label))
    return section


def overlaid(runs: Sequence[RunFacts], names: Sequence[str]) -> Section:
    """Each curve of all runs in one chart."""
    section = Section("curves", "Curves")
    for title, series in CHARTS:
        for name in series:
            curves = [
                Curve(run_name, metric_points(run, name))
                for run, run_name in zip(runs, names, strict=True)
            ]
            heading = f"{title}: {words(name)}"
            svg = draw_chart(heading, curves, "thousand real images shown")
            if svg:
                section.charts.append(Chart(heading, svg))
    return section


def figures(runs: Sequence[RunFacts], names: Sequence[str]) -> Section:
    """The figures of `mrigan evaluate` that all runs have."""
    section = Section("evaluation", "Quality, value and 95 % interval")
    found = [
        {row["name"]: figure_row(row) for row in run.results["evaluation"].document["figures"]}
        if "evaluation" in run.results
        else {}
        for run in runs
    ]
    common = [name for name in found[0] if all(name in rows for rows in found)]
    if common:
        rows = [[n, *(f"{f[n][1]} ({f[n][2]})" for f in found), found[0][n][4]] for n in common]
        section.tables.append(Table("", rows, ("figure", *names, "real halves")))
    else:
        section.hint = "Not measured for all of them yet. For each run:"
        section.command = "mrigan evaluate RUN --data STORE"
    return section
