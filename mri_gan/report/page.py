"""Sections to one self-contained HTML page."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence

import jinja2
from markupsafe import Markup

from mri_gan import __version__
from mri_gan.report import judging, training
from mri_gan.report.facts import RunFacts
from mri_gan.report.sections import Section, Shown


def build_report(run: RunFacts) -> str:
    """The page of one run."""
    sections = [
        training.grids(run),
        training.drawings(run),
        judging.evaluation(run),
        judging.audit(run),
        judging.utility(run),
        training.curves(run),
        training.data_sheet(run),
        training.reproduction(run),
    ]
    return render("report.html", f"Training run {run.folder.resolve().name}", sections)


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
