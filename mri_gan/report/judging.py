"""The sections that `mrigan evaluate`, `audit` and `utility` fill."""

from __future__ import annotations

import shlex
from typing import Any

from mri_gan.report.facts import Result, RunFacts
from mri_gan.report.sections import Section, Table, embed, plain

HEAD = ("figure", "value", "95 % interval", "fakes against half", "real halves")
MEANING = (
    "Compare the last two columns: the same distance between synthetic slices and one half of the "
    "real people, and between the two halves of the real people. The second is the noise floor; "
    "no generator can be shown to be better than that."
)


def evaluation(run: RunFacts) -> Section:
    """Figures of quality with their noise floors."""
    section = Section("evaluation", "Quality, beside what real people score")
    result = run.results.get("evaluation")
    if result is None:
        return _missing(section, f"mrigan evaluate {shlex.quote(run.folder.name)} --data STORE")
    document = result.document
    rows = [figure_row(figure) for figure in document.get("figures", [])]
    section.notes.append(MEANING)
    section.tables.append(Table(_caption(document), rows, HEAD))
    for left in document.get("left_out", []):
        section.notes.append(
            f"Left out: {left['family']} needs {left['needs']} images, there are {left['has']}."
        )
    return _with_pictures(section, result)


def figure_row(figure: dict[str, Any]) -> list[str]:
    """One figure as the cells of the table."""
    return [
        str(figure["name"]),
        plain(figure["value"]),
        f"{plain(figure['low'])} .. {plain(figure['high'])}",
        plain(figure["at_floor"]),
        plain(figure["floor"]),
    ]


def _caption(document: dict[str, Any]) -> str:
    counts, store = document.get("counts", {}), document.get("store", {})
    return (
        f"{counts.get('fakes')} synthetic images against {counts.get('reals')} real slices of "
        f"{counts.get('people')} people ({store.get('split', 'train')}), {document.get('size')} px"
    )


def _missing(section: Section, command: str) -> Section:
    section.hint, section.command = "Not measured yet. This does it:", command
    return section


def _with_pictures(section: Section, result: Result) -> Section:
    for path in result.pictures:
        name = path.stem.replace("-", " ").replace("_", " ")
        section.pictures.append(embed(path, f"{section.name}: {name}", name))
    return section


def audit(run: RunFacts) -> Section:
    section = Section("audit", "Copies of training slices")
    return _missing(section, f"mrigan audit {shlex.quote(run.folder.name)} --data STORE")


def utility(run: RunFacts) -> Section:
    section = Section("utility", "Usefulness")
    return _missing(section, f"mrigan utility {shlex.quote(run.folder.name)} --data STORE")
