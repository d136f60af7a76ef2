"""One self-contained HTML page about a run, or about several runs side by side."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Sequence

import jinja2
from markupsafe import Markup, escape

from mri_gan import __version__
from mri_gan.report import cards, judging, sections
from mri_gan.report.facts import RunFacts
from mri_gan.report.sections import Section, Shown

SYNTHETIC_PAGE = (
    "This page shows synthetic images and charts. Pictures of real people are left out, and so are "
    "picture files of unknown origin. Synthetic is not the same as anonymous: read "
    "what is known about copies first."
)
PEOPLE_PAGE = (
    "This page may show real people: it is as confidential as the scans that they come from. "
    "Each caption says what a picture shows."
)

OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


def build_report(run: RunFacts) -> str:
    """The page of one run: verdicts and their limits first, then pictures, then all the rest."""
    return render(f"Training run {run.name}", build_sections(run), run.with_people)


def build_sections(run: RunFacts) -> list[Section]:
    """The sections of one run, in the order of the page."""
    return [
        judging.verdicts(run),
        sections.grids(run),
        sections.drawings(run),
        judging.evaluation(run),
        judging.audit(run),
        judging.utility(run),
        cards.data_sheet(run),
        cards.model_card_section(run),
        sections.curves(run),
        sections.progress(run),
        sections.reproduction(run),
    ]


def render(title: str, sections: Sequence[Section], with_people: bool) -> str:
    """The template filled; every value is escaped, and the page may load nothing."""
    return (
        _templates()
        .get_template("report.html")
        .render(
            title=title,
            version=__version__,
            warning=PEOPLE_PAGE if with_people else SYNTHETIC_PAGE,
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
    environment.filters |= {"frames_json": frames_json, "breakable": breakable}
    return environment


def breakable(text: str) -> Markup:
    """Text with names that may end a line behind an underscore, and options that stay whole.

    What is copied from the page is the same.
    """
    named = str(escape(text)).replace("_", "_<wbr>")
    return Markup(OPTION.sub(r'<span class="whole">\g<0></span>', named))


def frames_json(frames: Sequence[Shown]) -> Markup:
    """Frames for the slider, safe inside a script element."""
    text = json.dumps([dataclasses.asdict(frame) for frame in frames])
    return Markup(text.replace("<", "\\u003c"))
