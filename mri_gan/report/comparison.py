"""Several runs side by side: what differs and what they draw, each with its own floor."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace

from mri_gan.charts import (
    LOSSES,
    RUN_CHARTS,
    X_NAME,
    Curve,
    build_chart,
    join_short_ticks,
    metric_points,
    name_metric,
)
from mri_gan.conditions import columns_of
from mri_gan.config import METRICS
from mri_gan.report import sections
from mri_gan.report.facts import RunFacts, showing
from mri_gan.report.judging import copies_answer, figure_table, quality_answer
from mri_gan.report.page import render
from mri_gan.report.sections import Answer, Section, Table
from mri_gan.report.terms import say_name

LAST_POINTS = 30  # of a curve, for the means at the end; fewer where it has fewer


def build_comparison(runs: Sequence[RunFacts]) -> str:
    """The page of several runs; their folders' names must differ."""
    parts = [
        answers(runs),
        last_grids(runs),
        *(figures(run, number) for number, run in enumerate(runs)),
        differing(runs),
        ends(runs),
        overlaid(runs),
    ]
    return render(f"{len(runs)} runs side by side", parts, any(run.with_people for run in runs))


def answers(runs: Sequence[RunFacts]) -> Section:
    """What is known about each run, in words."""
    section = Section("verdicts", "What is known, and what is not")
    apart = [*say_sizes(runs), *filter(None, [say_data(runs)])]
    section.answers += [Answer("Do their figures compare?", said) for said in apart]
    for run in runs:
        for answer in (copies_answer(run), quality_answer(run)):
            section.answers.append(replace(answer, question=f"{run.name}: {answer.question}"))
    return section


@showing("evaluation")
def size_of(run: RunFacts) -> int:
    """Pixels of the images that the figures are about: those evaluated, or else the largest."""
    result = run.results.get("evaluation")
    judged = result.document.get("size") if result else None
    return int(judged or run.settings.get("max_size", 0))


def say_sizes(runs: Sequence[RunFacts]) -> list[str]:
    """A sentence where the images of the runs are not of one size."""
    if len({size_of(run) for run in runs}) == 1:
        return []
    sizes = ", ".join(f"{run.name} {size_of(run)} px" for run in runs)
    return [f"Their images are of different sizes ({sizes}), so that their figures do not compare."]


def differing(runs: Sequence[RunFacts]) -> Section:
    """The settings that are not the same everywhere."""
    section = Section("settings", "What differs")
    rows = [
        [say_name(name), *(sections.say_value(name, run.settings.get(name, "")) for run in runs)]
        for name in sections.changed_settings(runs)
    ]
    if apart := say_data(runs):
        rows.append(["training data", *map(data_of, runs)])
        section.notes.append(apart)
    if said := say_sizes(runs):
        rows.append(["size of the images compared", *(f"{size_of(run)} px" for run in runs)])
        section.notes += said
    if rows:
        head = ("setting", *(run.name for run in runs))
        section.tables.append(Table("Settings", rows, head))
    else:
        section.notes.append("Nothing: the settings and the data are the same.")
    return section


def data_of(run: RunFacts) -> str:
    """The digest of the store and the number of its slices that a run was trained on.

    Of a run of an earlier version the digest of slices and labels.
    """
    store = run.config.get("store_digest")
    slices = run.config.get("data", {}).get("training_slices", "?")
    return f"{store}, {slices} slices" if store else str(run.config.get("data_digest", ""))


def say_data(runs: Sequence[RunFacts]) -> str:
    """A sentence where the runs were, or may have been, trained on different data."""
    if len(set(map(data_of, runs))) == 1:
        return ""
    known = all(run.config.get("store_digest") for run in runs)
    labels = {
        json.dumps(columns_of(run.settings.get("conditions")), sort_keys=True) for run in runs
    }
    if known or len(labels) == 1:
        return "They were trained on different data: their figures do not compare."
    return "Whether they were trained on the same slices is not recorded, only that labels differ."


def ends(runs: Sequence[RunFacts]) -> Section:
    """Where each run stands, and the means of its last metrics."""
    rows = [
        ["real images shown", *(sections.kimg(run.nimg) for run in runs)],
        ["resolution", *map(_resolution, runs)],
        ["points in each mean below", *(say_points(run) for run in runs)],
    ]
    for title, _, series in RUN_CHARTS:
        for name in series:
            means = [sections.to_text(_mean_at_end(run, name)) for run in runs]
            rows += [[name_metric(title, name), *means]] if any(means) else []
    head = ("", *(run.name for run in runs))
    table = Table("Progress, and means at the end of the curves", rows, head)
    problems = [sections.list_problems_of(run, f"{run.name}: problems") for run in runs]
    return Section("ends", "Where they stand", tables=[table, *itertools.chain(*problems)])


def _resolution(run: RunFacts) -> str:
    return f"{run.metrics[-1].get('resolution', '')} px" if run.metrics else "none yet"


@showing(METRICS)
def say_points(run: RunFacts) -> str:
    """How many points of a run's curves its means are of: what there is, if that is less."""
    known = len(join_short_ticks(run.metrics))
    if known > LAST_POINTS:
        return f"the last {LAST_POINTS} of {known:,}"
    return f"all {known}" if known > 1 else str(known)


@showing(METRICS)
def _mean_at_end(run: RunFacts, name: str) -> float | None:
    values = [value for _, value in metric_points(run.metrics, name)[-LAST_POINTS:]]
    return sum(values) / len(values) if values else None


def last_grids(runs: Sequence[RunFacts]) -> Section:
    """The newest samples of each."""
    section = Section("grids", "Newest synthetic samples")
    for run in runs:
        pictures = [grid.picture for grid in run.grids]
        section.notes += [
            f"{run.name}: {said}" for said in sections.left_out(pictures, run.with_people)
        ]
        shown = [grid for grid in run.grids if sections.may_show(grid.picture, run.with_people)]
        for grid in shown[-1:]:
            name = f"{run.name}, {sections.kimg(grid.nimg)}, {grid.size} px"
            section.pictures.append(sections.embed(grid.picture, name))
    return section


def overlaid(runs: Sequence[RunFacts]) -> Section:
    """Each curve of all runs in one chart; losses of different kinds have a chart each."""
    section = Section("curves", "Curves")
    kinds = dict.fromkeys(str(run.settings.get("loss", "")) for run in runs)
    for title, y_name, series in RUN_CHARTS:
        for name, kind in itertools.product(series, kinds if title == LOSSES else [""]):
            curves = [_curve(run, name) for run in runs if kind in ("", run.settings.get("loss"))]
            of_kind = f" ({kind})" if kind and len(kinds) > 1 else ""
            chart = build_chart(name_metric(title, name) + of_kind, curves, X_NAME, y_name)
            section.charts += [chart] if chart else []
    return section


@showing(METRICS)
def _curve(run: RunFacts, name: str) -> Curve:
    return Curve(run.name, metric_points(run.metrics, name))


@showing("evaluation")
def figures(run: RunFacts, number: int) -> Section:
    """The figures of one run with the floor that was measured for it, and for no other."""
    section = Section(f"evaluation-{number}", f"{run.name}: quality beside its own floor")
    result = run.results.get("evaluation")
    if result is None:
        section.ask_for(run, "evaluate")
        return section
    section.tables.append(figure_table(result.document))
    digest = result.document.get("store", {}).get("digest")
    if digest:
        section.notes.append(f"Store {digest}. Floors of other splits or stores do not apply.")
    return section
